//! What a target changes in the body beside the model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::{FallbackLayer, Target, Targets};
use backstay::trail::Reason;
use backstay::{Body, BoxError, BuildError, Trail};
use http::{HeaderValue, Request};
use support::{Answer, PROMPT, Upstream, chat, chat_with, send, stack};

#[tokio::test(start_paused = true)]
async fn fields_are_patched_from_the_original_and_the_length_is_right() {
    let prompt =
        r#"{"model":"m","temperature":1,"logit_bias":{"1":2},"stream":true,"messages":[]}"#;
    let upstream = Upstream::new([
        Answer::status(500, "{}"),
        Answer::status(500, "{}"),
        Answer::stream(&["x"]),
    ]);
    let patched = Target::model("a").patch(r#"{"temperature":0.2,"logit_bias":null,"top_p":1}"#);
    let targets = Targets::new(patched)
        .then(Target::named("b").patch(r#"{"seed":7}"#))
        .then(Target::named("c"))
        .retries(0);
    let mut request = chat_with(prompt);
    let length = HeaderValue::from(prompt.len());
    request.headers_mut().insert("content-length", length);
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    assert_eq!(
        seen[0].body,
        r#"{"top_p":1,"model":"a","temperature":0.2,"stream":true,"messages":[]}"#
    );
    assert_eq!(seen[1].body, prompt.replacen('{', r#"{"seed":7,"#, 1));
    assert_eq!(seen[2].body, prompt);
    for seen in seen {
        assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_copies_no_prompt() {
    use http_body::Body as _;
    let prompt = bytes::Bytes::from(format!(
        r#"{{"model":"m","temperature":1,"messages":["{}"],"n":1}}"#,
        "x".repeat(100_000)
    ));
    let range = prompt.as_ptr_range();
    let upstream = tower::service_fn(move |request: Request<Body>| {
        let range = range.clone();
        async move {
            let mut body = request.into_body();
            let mut largest = bytes::Bytes::new();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            while let std::task::Poll::Ready(Some(Ok(frame))) =
                std::pin::Pin::new(&mut body).poll_frame(&mut context)
            {
                let data = frame.into_data().unwrap();
                if data.len() > largest.len() {
                    largest = data;
                }
            }
            assert!(largest.len() > 100_000);
            assert!(range.contains(&largest.as_ptr()));
            Ok::<_, BoxError>(http::Response::new(http_body_util::Full::from("{}")))
        }
    });
    let target = Target::model("another").patch(r#"{"temperature":null,"n":2,"seed":1}"#);
    let layer = FallbackLayer::new(Targets::new(target)).unwrap();
    let service = tower::Layer::layer(&layer, upstream);
    let request = chat().map(|_| Body::from(prompt));
    send(&service, request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_turns_streaming_off_turns_the_clocks_of_streams_off() {
    use backstay::Timeouts;
    use support::{seconds, stack_with};
    let timeouts = Timeouts::new()
        .for_streams(|clocks| clocks.headers(seconds(1)))
        .for_unary(|clocks| clocks.headers(seconds(9)));
    let upstream = Upstream::new([Answer::json(r#"{"choices":[]}"#).after(seconds(5))]);
    let targets = Targets::new(Target::named("t").patch(r#"{"stream":false}"#));
    let response = send(&stack_with(targets, timeouts, &upstream), chat()).await;
    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_patched_is_refused_or_passed_over() {
    for patch in ["[]", "{", r#"{"model":"x"}"#, r#"{"a":1,"a":2}"#] {
        let built = FallbackLayer::new(Targets::new(Target::named("t").patch(patch))).map(drop);
        assert!(matches!(built, Err(BuildError::Patch { .. })), "{patch}");
    }
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["c"])]);
    let mut request = chat();
    let gzip = HeaderValue::from_static("gzip");
    request.headers_mut().insert("content-encoding", gzip);
    let targets = Targets::new(Target::named("a"))
        .then(Target::named("b").patch(r#"{"n":1}"#))
        .then(Target::named("c"))
        .retries(0);
    let response = send(&stack(targets, &upstream), request).await.unwrap();
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(
        (&*passed[0].target, passed[0].reason),
        ("b", Reason::Unsuitable)
    );
    assert!(upstream.seen().iter().all(|seen| seen.body == PROMPT));
}
