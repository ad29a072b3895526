//! What follows a failed attempt.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Error, ErrorKind, ServiceBuilderExt, Timeouts,
    cancel::CancelLayer,
    drain::Drain,
    fallback::{
        Cause, CoolDowns, Decision, DefaultPolicy, Failed, FallbackLayer, Idempotent, Pause,
        Policy, Target, Targets,
    },
    timeout::Clock,
    trail::{Next, Note, Outcome, Reason, WaitReason},
    transport::{Delivery, FreshConnection, SendFailure},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use support::{
    Answer, PROMPT, Step, Upstream, chat, kind, models, read, seconds, send, stack, stack_with,
    trail, trail_of,
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

// Decisions.

#[tokio::test(start_paused = true)]
async fn the_callers_fault_stops_and_a_bad_key_skips() {
    for (status, attempts) in [(400, 1), (422, 1), (401, 2), (404, 2)] {
        let upstream = Upstream::new([Answer::status(status, "{}"), Answer::stream(&["b"])]);
        let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
            .await
            .unwrap();
        assert_eq!(upstream.attempts(), attempts, "{status}");
        let expected = if attempts == 1 { status } else { 200 };
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_timeout_another_target_is_preferred() {
    let upstream = Upstream::new([Answer::hang()]);
    let timeouts = Timeouts::new().headers(seconds(1));
    let service = stack_with(Targets::new("a").then("b").retries(1), timeouts, &upstream);
    let error = send(&service, chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Timeout(Clock::Headers));
    assert_eq!(models(&upstream), ["a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn x_should_retry_overrides_both_ways() {
    let refused = Answer::status(400, "{}").header("x-should-retry", "true");
    let upstream = Upstream::new([refused, Answer::stream(&["a"])]);
    send(&stack(Targets::new("a"), &upstream), chat())
        .await
        .unwrap();
    assert_eq!(upstream.attempts(), 2);
    let upstream = Upstream::new([Answer::status(500, "{}").header("x-should-retry", "false")]);
    send(&stack(Targets::new("a"), &upstream), chat())
        .await
        .unwrap();
    assert_eq!(upstream.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_the_users_and_sees_what_it_needs() {
    #[derive(Debug)]
    struct Mine(Arc<AtomicUsize>);
    impl Policy for Mine {
        fn decide(&self, failed: &Failed<'_>) -> Decision {
            self.0.fetch_add(1, SeqCst);
            match failed.cause {
                Cause::Status { status, body, .. } if status == 418 => {
                    assert_eq!(body, b"teapot");
                    assert_eq!((failed.attempt, failed.target), (1, "a"));
                    assert_eq!((failed.retries_left, failed.targets_left), (2, 1));
                    Decision::Retry(Pause::AtLeast(seconds(4)))
                }
                _ => DefaultPolicy.decide(failed),
            }
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let upstream = Upstream::new([Answer::status(418, "teapot"), Answer::stream(&["a"])]);
    let targets = Targets::new("a").then("b").policy(Mine(asked.clone()));
    let start = Instant::now();
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert_eq!(Instant::now() - start, seconds(4));
    assert_eq!(asked.load(SeqCst), 1);
    assert_eq!(trail(&response)[0].wait.unwrap().reason, WaitReason::Policy);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_processed_is_not_repeated_where_that_is_turned_off() {
    let upstream = Upstream::new([Answer::hang()]);
    let targets = Targets::new("a").then("b").retry_uncertain(false);
    let timeouts = Timeouts::new().headers(seconds(1));
    let error = send(&stack_with(targets, timeouts, &upstream), chat())
        .await
        .unwrap_err();
    assert_eq!(upstream.attempts(), 1);
    let attempt = &trail_of(&error).attempts()[0];
    assert!(attempt.uncertain);
    assert_eq!(attempt.next, Some(Next::Stop(Reason::Uncertain)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_encoded_as_identity_is_legible() {
    let up = Upstream::new([Answer::status(
        429,
        r#"{"error":{"code":"insufficient_quota","type":"insufficient_quota"}}"#,
    )
    .header("content-encoding", "identity")]);
    let s = stack(Targets::new("a").retries(2), &up);
    let _ = send(&s, chat()).await;
    assert_eq!(up.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_status_layer_is_classified_as_an_answer() {
    let up = Upstream::new([Answer::status(400, "{}")]);
    let s = ServiceBuilder::new()
        .fallback(Targets::new("a").retries(2).seed(1))
        .unwrap()
        .status_error()
        .service(up.clone());
    let _ = send(&s, chat()).await;
    assert_eq!(up.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_ends_the_call_once() {
    let n = Arc::new(AtomicUsize::new(0));
    let n2 = n.clone();
    let layer = CancelLayer::new().on_cancel(move |_| {
        n2.fetch_add(1, SeqCst);
        async {}
    });
    let hooks = layer.hooks();
    let up = Upstream::new([Answer::status(500, "{}")]);
    let s = layer.layer(stack(Targets::new("a").policy(Boom), &up));
    let j = tokio::spawn(async move {
        let _ = send(&s, chat()).await;
    })
    .await;
    assert!(j.is_err());
    hooks.wait(seconds(1)).await;
    assert_eq!(n.load(SeqCst), 1);
    assert_eq!(hooks.in_flight(), 0);
    assert_eq!(up.live(), 0);
}

#[derive(Debug)]
struct Boom;
impl Policy for Boom {
    fn decide(&self, _: &Failed<'_>) -> Decision {
        panic!("boom")
    }
}

// The plain dialect.

#[tokio::test(start_paused = true)]
async fn plain_calls_need_no_model_and_repeat_only_what_is_harmless() {
    let request = |idempotent: bool, method: &str| {
        let mut request = Request::builder()
            .method(method)
            .uri("http://vectors.example/query")
            .body(Body::from("not json at all"))
            .unwrap();
        if idempotent {
            request.extensions_mut().insert(Idempotent);
        }
        request
    };
    for (idempotent, method, status, attempts) in [
        (false, "POST", 500, 1),
        (true, "POST", 500, 2),
        (false, "GET", 500, 2),
        (false, "POST", 503, 2),
        (false, "POST", 429, 2),
        (false, "POST", 400, 1),
    ] {
        let upstream = Upstream::new([Answer::status(status, "{}"), Answer::json("{}")]);
        let service = stack(Targets::plain(Target::named("vectors")), &upstream);
        send(&service, request(idempotent, method)).await.unwrap();
        assert_eq!(
            upstream.attempts(),
            attempts,
            "{method} {status} {idempotent}"
        );
        assert_eq!(upstream.seen()[0].body, "not json at all");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_model_is_plain() {
    let mut a = Answer::json("");
    a.head = Some((0, vec![]));
    let up = Upstream::new([a, Answer::json("{}")]);
    let s = stack(Targets::new(Target::named("db")).retries(1), &up);
    let _ = send(&s, post("/collections/x/add", "{\"ids\":[1]}")).await;
    assert_eq!(
        up.attempts(),
        1,
        "a write that may have arrived was repeated"
    );
}

fn post(path: &str, body: &'static str) -> Request<Body> {
    Request::post(format!("https://db.example.com{path}"))
        .body(Body::from(body))
        .unwrap()
}

// Exhausted.

#[tokio::test(start_paused = true)]
async fn the_first_targets_last_word_is_returned() {
    let upstream = Upstream::new([
        Answer::status(500, "first"),
        Answer::status(502, "first again").header("x-which", "1"),
        Answer::status(400, "second"),
    ]);
    let targets = Targets::new("a").then("b").retries(1);
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["x-which"], "1");
    assert_eq!(trail(&response).len(), 3);
    assert_eq!(trail(&response)[2].status, Some(StatusCode::BAD_REQUEST));
    assert_eq!(read(response.into_body()).await.0, "first again");
}

#[tokio::test(start_paused = true)]
async fn the_first_targets_failure_is_the_error() {
    let upstream = Upstream::new([Answer::hang(), Answer::status(500, "x")]);
    let targets = Targets::new("a").then("b").retries(0);
    let timeouts = Timeouts::new().headers(seconds(1));
    let error = send(&stack_with(targets, timeouts, &upstream), chat())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Timeout(Clock::Headers));
    assert_eq!(Error::find(&*error).unwrap().target(), Some("a"));
    assert_eq!(trail_of(&error).attempts()[1].outcome, Outcome::Status);
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_that_breaks_off_has_a_true_length() {
    let mut a = Answer::status(503, "0123456789").header("content-length", "1000");
    a.steps.push(Step::Fail);
    for retries in [0, 1] {
        let up = Upstream::new([a.clone()]);
        let s = stack(
            Targets::new("a").retries(retries).retry_uncertain(true),
            &up,
        );
        let r = send(&s, chat()).await.unwrap();
        let cl = r
            .headers()
            .get("content-length")
            .map(|v| v.to_str().unwrap().to_owned());
        let (b, _) = read(r.into_body()).await;
        assert!(
            cl.is_none() || cl == Some(b.len().to_string()),
            "{cl:?} for {} bytes",
            b.len()
        );
    }
}

// Connections and readiness.

#[tokio::test(start_paused = true)]
async fn a_request_lost_on_a_used_connection_is_sent_once_more_over_a_new_one() {
    for (losses, attempts) in [(1, 1), (2, 2)] {
        let sendings = Arc::new(AtomicUsize::new(0));
        let fresh = Arc::new(AtomicUsize::new(0));
        let (count, fresh_count) = (sendings.clone(), fresh.clone());
        let leaf = tower::service_fn(move |request: Request<Body>| {
            let number = count.fetch_add(1, SeqCst);
            if request.extensions().get::<FreshConnection>().is_some() {
                fresh_count.fetch_add(1, SeqCst);
            }
            async move {
                if number < losses {
                    return Err(BoxError::from(SendFailure::new(Delivery::maybe_sent(true))));
                }
                Ok(Response::new(Full::<Bytes>::from("x")))
            }
        });
        let service = FallbackLayer::new(Targets::new("a").retries(1))
            .unwrap()
            .layer(leaf);
        let response = service.oneshot(chat()).await.unwrap();
        assert_eq!(trail(&response).len(), attempts);
        assert_eq!(trail(&response)[0].notes, [Note::Resent]);
        assert!(trail(&response)[0].uncertain);
        assert_eq!(sendings.load(SeqCst), losses + 1);
        assert_eq!(fresh.load(SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn any_request_body_is_replayed() {
    async fn twice<B>(body: B)
    where
        B: backstay::ReplayableBody + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let upstream = Upstream::new([Answer::status(500, "{}"), Answer::json("{}")]);
        let service = stack(Targets::new("b"), &upstream);
        let request = chat().map(|_| body);
        service.oneshot(request).await.unwrap();
        let expected = PROMPT.replace(r#""a""#, r#""b""#);
        assert!(upstream.seen().iter().all(|seen| seen.body == expected));
        assert_eq!(upstream.attempts(), 2);
    }
    let frames = || {
        let halves = [&PROMPT[..9], &PROMPT[9..]];
        StreamBody::new(futures_util::stream::iter(halves.map(|half| {
            Ok::<_, BoxError>(http_body::Frame::data(Bytes::from(half)))
        })))
    };
    twice(Body::from(PROMPT)).await;
    twice(Full::<Bytes>::from(PROMPT)).await;
    twice(BoxBody::new(frames())).await;
    twice(http_body_util::combinators::UnsyncBoxBody::new(frames())).await;
    twice(Body::wrap(frames())).await;
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_ends_the_call_and_is_not_uncertain() {
    let up = Upstream::new([Answer::json("{}")]);
    let s = ServiceBuilder::new()
        .fallback(Targets::plain(Target::named("db")).retries(1).seed(1))
        .unwrap()
        .service(NotReady(Arc::default(), up.clone()));
    let error = send(&s, post("/x", "{}")).await.err().unwrap();
    let attempts = Error::find(&*error).unwrap().trail().unwrap().attempts();
    assert!(!attempts[0].uncertain);
    assert_eq!(attempts[0].next, Some(Next::Stop(Reason::Unready)));
    assert_eq!(up.attempts(), 0);
}

#[derive(Clone)]
struct NotReady(Arc<AtomicUsize>, Upstream);
impl Service<Request<Body>> for NotReady {
    type Response = Response<support::ScriptedBody>;
    type Error = BoxError;
    type Future = <Upstream as Service<Request<Body>>>::Future;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.0.fetch_add(1, SeqCst) == 0 {
            Poll::Ready(Err("overloaded".into()))
        } else {
            Poll::Ready(Ok(()))
        }
    }
    fn call(&mut self, r: Request<Body>) -> Self::Future {
        self.1.call(r)
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_is_passed_on_with_every_frame_and_its_trailers() {
    let frames: usize = 3000;
    let mut answer = Answer::status(400, "");
    answer.steps = vec![Step::Data(Bytes::from_static(b"x")); frames];
    answer.steps.push(Step::Trailers);
    let stack = stack(Targets::new("a").retries(0), &Upstream::new([answer]));
    let response = send(&stack, chat()).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert!(body.trailers().is_some());
    assert_eq!(body.to_bytes().len(), frames);
}

#[tokio::test(start_paused = true)]
async fn the_first_targets_answer_has_its_trailers_though_another_was_asked() {
    let mut answer = Answer::status(503, "busy");
    answer.steps.push(Step::Trailers);
    let upstream = Upstream::new([answer, Answer::status(500, "b")]);
    let stack = stack(Targets::new("a").then("b").retries(0), &upstream);
    let response = send(&stack, chat()).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(upstream.attempts(), 2);
    assert!(body.trailers().is_some());
    assert_eq!(body.to_bytes(), "busy");
}

#[tokio::test(start_paused = true)]
async fn a_drain_below_is_asked_once_and_says_nothing_of_its_targets() {
    let drain = Drain::new();
    drain.start();
    let cool_downs = CoolDowns::new().failures(1);
    let targets = Targets::new("a")
        .then("b")
        .retries(2)
        .cool_downs(cool_downs.clone());
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let stack = ServiceBuilder::new()
        .fallback(targets)
        .unwrap()
        .drain(&drain)
        .service(upstream.clone());
    let start = Instant::now();
    let error = send(&stack, chat()).await.err().unwrap();
    assert_eq!(kind(&error), ErrorKind::Draining);
    assert_eq!(Instant::now(), start);
    let attempts = trail_of(&error).attempts();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].next, Some(Next::Stop(Reason::Unready)));
    assert!(!attempts[0].uncertain);
    assert_eq!(cool_downs.list(), []);
    assert_eq!(upstream.attempts(), 0);
}
