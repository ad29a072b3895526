//! Targets whose context window does not hold the request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::{FallbackLayer, PromptTokens, Target, Targets};
use backstay::trail::Reason;
use backstay::{BuildError, Trail};
use support::{Answer, PROMPT, Upstream, chat, chat_with, models, send, stack};

fn windows() -> Targets {
    Targets::new(Target::model("small").context_window(100))
        .then(Target::model("middle").context_window(1_000))
        .then(Target::model("large").context_window(10_000))
        .retries(0)
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_window_does_not_hold_the_request_is_passed_over_without_being_called() {
    for (tokens, asked) in [
        (100, "small"),
        (101, "middle"),
        (1_001, "large"),
        // None holds it: the provider of the first judges.
        (10_001, "small"),
    ] {
        let upstream = Upstream::new([Answer::stream(&["x"])]);
        let mut request = chat();
        request.extensions_mut().insert(PromptTokens(tokens));
        let response = send(&stack(windows(), &upstream), request).await.unwrap();
        assert_eq!(models(&upstream), [asked], "{tokens}");
        let passed = response.extensions().get::<Trail>().unwrap().passed_over();
        assert!(
            passed
                .iter()
                .all(|passed| passed.reason == Reason::ContextWindow)
        );
        assert_eq!(
            passed.len(),
            ["small", "middle", "large"]
                .iter()
                .position(|name| *name == asked)
                .unwrap()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_count_only_a_body_that_is_surely_too_long_is_left_out_and_data_never() {
    let long: &'static str = Box::leak(
        format!(
            r#"{{"model":"m","stream":true,"messages":["{}"]}}"#,
            "x".repeat(4_000)
        )
        .into_boxed_str(),
    );
    let image: &'static str = Box::leak(long.replace("xxxx\"]", ";base64,\"]").into_boxed_str());
    for (body, asked) in [(PROMPT, "small"), (long, "middle"), (image, "small")] {
        let upstream = Upstream::new([Answer::stream(&["x"])]);
        send(&stack(windows(), &upstream), chat_with(body))
            .await
            .unwrap();
        assert_eq!(models(&upstream), [asked]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_first_does_not_hold_it_the_one_that_was_asked_has_the_last_word() {
    let upstream = Upstream::new([
        Answer::status(502, "middle"),
        Answer::status(504, "middle again"),
        Answer::status(500, "large"),
    ]);
    let mut request = chat();
    request.extensions_mut().insert(PromptTokens(500));
    let service = stack(windows().retries(1), &upstream);
    let response = send(&service, request).await.unwrap();
    assert_eq!(models(&upstream), ["middle", "middle", "large", "large"]);
    assert_eq!(response.status(), 504);
}

#[test]
fn a_window_of_nothing_is_refused_at_build() {
    let built = FallbackLayer::new(Targets::new(Target::model("a").context_window(0)));
    assert!(matches!(built, Err(BuildError::Zero { .. })));
}
