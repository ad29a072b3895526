//! Ready policies, and conversations that stay where they were served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::{Commit, Conversation, Pins, Target, Targets, recipes::Recipe};
use backstay::trail::{Next, Outcome, Reason};
use backstay::{Body, ErrorKind, Timeouts, Trail};
use http::Request;
use support::{
    Answer, Upstream, chat, chat_with, data, done, kind, models, read, role, seconds, send, stack,
    stack_with, token, trail,
};
use tokio::time::sleep;

fn too_long() -> Answer {
    Answer::status(
        400,
        r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#,
    )
}

fn windows() -> Targets {
    Targets::new(Target::model("middle").context_window(500))
        .then(Target::model("small").context_window(100))
        .then("undeclared")
        .then(Target::model("same").context_window(500))
        .then(Target::model("large").context_window(1_000))
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_too_long_is_final_by_default() {
    let upstream = Upstream::new([too_long(), Answer::stream(&["x"])]);
    let response = send(&stack(windows(), &upstream), chat()).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(models(&upstream), ["middle"]);
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_too_long_goes_to_larger_windows_only() {
    let policy = Recipe::new().larger_windows();
    let upstream = Upstream::new([too_long(), Answer::stream(&["x"])]);
    let service = stack(windows().policy(policy), &upstream);
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(models(&upstream), ["middle", "large"]);
    let attempts = trail(&response);
    assert_eq!(attempts[0].next, Some(Next::Skip(Reason::ContextWindow)));
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(passed.len(), 3);
    assert!(
        passed
            .iter()
            .all(|passed| passed.reason == Reason::ContextWindow)
    );

    let upstream = Upstream::new([too_long()]);
    let service = stack(windows().policy(policy), &upstream);
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(models(&upstream), ["middle", "large"]);
}

const WITHHELD: &str =
    r#"{"id":"c","choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}"#;

fn unary() -> Request<Body> {
    chat_with(r#"{"model":"m","messages":[]}"#)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_by_default() {
    let refused = r#"{"error":{"code":"content_policy_violation","message":"x"}}"#;
    for (answer, status) in [
        (Answer::json(WITHHELD), 200),
        (Answer::status(400, refused), 400),
    ] {
        let upstream = Upstream::new([answer, Answer::json("{}")]);
        let service = stack(Targets::new("a").then("b"), &upstream);
        let response = send(&service, unary()).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(models(&upstream), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_goes_to_the_next_target_where_that_is_asked_for() {
    let refused = r#"{"error":{"code":"content_policy_violation","message":"x"}}"#;
    let filter = || data(r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#);
    let stream = Answer::events(vec![role(), filter(), done()]);
    for (answer, request, outcome) in [
        (Answer::json(WITHHELD), unary(), Outcome::Refused),
        (Answer::status(400, refused), unary(), Outcome::Status),
        (stream, chat(), Outcome::Refused),
    ] {
        let good = match outcome {
            Outcome::Refused => Answer::stream(&["x"]),
            _ => Answer::json(r#"{"choices":[]}"#),
        };
        let upstream = Upstream::new([answer, good]);
        let targets = Targets::new("a").then("b");
        let service = stack(
            targets.policy(Recipe::new().elsewhere_on_refusal()),
            &upstream,
        );
        let response = send(&service, request).await.unwrap();
        assert_eq!(models(&upstream), ["a", "b"]);
        assert_eq!(trail(&response)[0].outcome, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_others_fail_the_refusal_is_the_answer() {
    let policy = || Recipe::new().elsewhere_on_refusal();
    let upstream = Upstream::new([Answer::json(WITHHELD), Answer::status(500, "{}")]);
    let targets = Targets::new("a").then("b").retries(0).policy(policy());
    let response = send(&stack(targets, &upstream), unary()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(trail(&response).len(), 2);
    assert_eq!(read(response.into_body()).await.0, WITHHELD);

    // Of a stream only a part was read.
    let filter = data(r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#);
    let stream = Answer::events(vec![role(), filter, done()]);
    let upstream = Upstream::new([stream.clone(), Answer::status(500, "{}")]);
    let targets = Targets::new("a").then("b").retries(0).policy(policy());
    let error = send(&stack(targets, &upstream), chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Refused);

    // Nothing could follow: it is let through.
    let upstream = Upstream::new([stream]);
    let targets = Targets::new("a").retries(0).policy(policy());
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert!(read(response.into_body()).await.1.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_withheld_after_content_is_final_unless_the_answer_is_held_to_its_end() {
    let filter = || data(r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#);
    for (commit, asked) in [(Commit::FirstContent, 1), (Commit::End, 2)] {
        let cut = Answer::events(vec![token("x"), filter(), done()]);
        let upstream = Upstream::new([cut, Answer::stream(&["b"])]);
        let targets = Targets::new("a").then("b").commit(commit);
        let service = stack(
            targets.policy(Recipe::new().elsewhere_on_refusal()),
            &upstream,
        );
        let response = send(&service, chat()).await.unwrap();
        assert!(read(response.into_body()).await.1.is_none());
        assert_eq!(upstream.attempts(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_once_it_was_sent_where_that_is_asked_for() {
    let upstream = Upstream::new([Answer::hang()]);
    let targets = Targets::new("a").then("b").retry_uncertain(false);
    let timeouts = Timeouts::new().headers(seconds(1));
    let service = stack_with(targets, timeouts, &upstream);
    send(&service, chat()).await.unwrap_err();
    assert_eq!(upstream.attempts(), 1);
}

// Conversations.

fn of(conversation: &str) -> Request<Body> {
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Conversation::of(conversation));
    request
}

#[tokio::test(start_paused = true)]
async fn a_conversation_stays_with_the_target_that_served_it() {
    let upstream = Upstream::new([
        Answer::status(500, "{}"),
        Answer::stream(&["b"]),
        Answer::stream(&["x"]),
    ]);
    let pins = Pins::new(10);
    let targets = Targets::new("a").then("b").then("c").retries(0);
    let service = stack(targets.pins(pins.clone()), &upstream);
    send(&service, of("one")).await.unwrap();
    send(&service, of("one")).await.unwrap();
    send(&service, of("two")).await.unwrap();
    send(&service, chat()).await.unwrap();
    assert_eq!(models(&upstream), ["a", "b", "b", "a", "a"]);
    assert_eq!(pins.target(Conversation::of("one")).as_deref(), Some("b"));
    pins.forget(Conversation::of("one"));
    send(&service, of("one")).await.unwrap();
    assert_eq!(models(&upstream)[5], "a");
}

#[tokio::test(start_paused = true)]
async fn a_pinned_target_that_fails_or_cools_down_is_left_and_the_others_are_tried_in_order() {
    let busy = || Answer::status(503, r#"{"error":{"code":"slow_down","message":"x"}}"#);
    let upstream = Upstream::new([
        Answer::status(500, "{}"),
        Answer::stream(&["b"]),
        busy(),
        Answer::stream(&["a"]),
        Answer::stream(&["x"]),
    ]);
    let targets = Targets::new("a").then("b").retries(0).pins(Pins::new(10));
    let service = stack(targets, &upstream);
    send(&service, of("one")).await.unwrap();
    // `b` is busy; `a` serves, and keeps the conversation from now on.
    let response = send(&service, of("one")).await.unwrap();
    // `a` had failed before, and did not cool down.
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(passed, []);
    sleep(seconds(60)).await;
    send(&service, of("one")).await.unwrap();
    assert_eq!(models(&upstream), ["a", "b", "b", "a", "a"]);
}
