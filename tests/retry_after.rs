//! A wait that the server asks for is kept where it fits, and never slept where it does not.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    fallback::Targets,
    trail::{Next, Outcome, Reason, WaitReason},
};
use backstay_mock::{Mock, Reply, Script};
use backstay_tests::{
    MS, PROMPTLY,
    answer::read,
    ask::{APIS, Api},
    stack::Setup,
    within,
};
use http::{StatusCode, header::RETRY_AFTER};
use std::time::Duration;
use tokio::time::Instant;

const BUDGET: Duration = Duration::from_secs(10);

fn too_long() -> Reply {
    Reply::status(429).header("retry-after", "30")
}

/// The wait is refused for the deadline's sake, and not because it is longer than any.
fn patient(targets: Targets) -> Setup {
    Setup::new(targets.max_wait(Duration::from_secs(600))).budget(BUDGET)
}

#[tokio::test]
async fn the_second_target_is_called_at_once() {
    for api in APIS {
        let mock = Mock::start().await.unwrap();
        mock.script("first", too_long());
        mock.script("second", Reply::text("Here"));
        let stack = patient(Targets::new("first").then("second")).http1();
        let started = Instant::now();
        let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert!(Instant::now().saturating_duration_since(started) < PROMPTLY);
        assert_eq!(
            (answer.status, answer.error.is_none()),
            (StatusCode::OK, true)
        );
        assert!(answer.contains("Here"));

        assert_eq!((mock.attempts("first"), mock.attempts("second")), (1, 1));
        let attempts = answer.attempts();
        let skipped = Next::Skip(Reason::WaitDoesNotFit);
        assert_eq!(attempts[0].next, Some(skipped));
        assert!(attempts[0].wait.is_none());
        assert_eq!(attempts[1].outcome, Outcome::Complete);
    }
}

#[tokio::test]
async fn without_a_second_target_the_answer_itself_comes_back_at_once() {
    // Also longer than what is read to learn why it failed.
    for body in [
        "{\"error\":{\"code\":\"rate_limit_exceeded\"}}".to_owned(),
        "x".repeat(300_000),
    ] {
        let mock = Mock::start().await.unwrap();
        mock.script("only", too_long().body(body.clone()));
        let stack = patient(Targets::new("only")).http1();
        let started = Instant::now();
        let response = within(stack.call(Api::OpenAi.stream(&mock.url(), "only"))).await;
        let answer = read(response.unwrap()).await;
        assert!(Instant::now().saturating_duration_since(started) < PROMPTLY);

        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(answer.error.is_none());
        assert_eq!(answer.headers[RETRY_AFTER], "30");
        assert!(answer.body == body.as_bytes(), "{}", answer.body.len());
        assert_eq!(answer.content_length(), Some(body.len()));
        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].next, Some(Next::Stop(Reason::WaitDoesNotFit)));
        assert_eq!(mock.log().len(), 1);
    }
}

#[tokio::test]
async fn a_wait_that_fits_is_kept() {
    let mock = Mock::start().await.unwrap();
    let script = Script::new()
        .attempt(Reply::status(429).header("retry-after-ms", "200"))
        .then(Reply::text("Here"));
    mock.script("first", script);
    let stack = patient(Targets::new("first").then("second")).http1();
    let response = within(stack.call(Api::OpenAi.stream(&mock.url(), "first"))).await;
    let answer = read(response.unwrap()).await;
    assert!(answer.contains("Here"));

    let attempts = answer.attempts();
    assert_eq!(attempts[0].next, Some(Next::Retry));
    let wait = attempts[0].wait.unwrap();
    assert_eq!(wait.reason, WaitReason::ServerHint);
    assert!(wait.duration >= 200 * MS);
    let log = mock.log();
    assert_eq!((log.len(), mock.attempts("second")), (2, 0));
    let between = log[1].at.saturating_duration_since(log[0].at);
    assert!(between >= 200 * MS, "{between:?}");
}
