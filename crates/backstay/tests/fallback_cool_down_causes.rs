//! What makes a target cool down, and for how long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::cool_down::Why;
use backstay::fallback::{CoolDowns, Target, Targets};
use backstay::timeout::Clock;
use backstay::trail::Outcome;
use backstay::{ServiceBuilderExt, Timeouts};
use backstay_dialect::FailureClass;
use http::Response;
use support::{
    Answer, Upstream, chat, data, models, read, role, seconds, send, stack, stack_with, token,
    trail, wait,
};
use tokio::time::{Duration, Instant};
use tower::ServiceBuilder;

const BUSY: &str = r#"{"error":{"code":"server_is_overloaded","message":"x"}}"#;

fn served_by<B>(response: &Response<B>) -> String {
    trail(response).last().unwrap().target.to_string()
}

/// `a` fails as it is told to, `b` answers: what a call after that does, and why `a` cools down, if it does.
async fn after(failure: Answer, target: Target) -> (Option<Why>, Option<Duration>) {
    let cool_downs = CoolDowns::new();
    let upstream = Upstream::new([failure, Answer::stream(&["b"])]);
    let targets = Targets::new(target).then("b").retries(0);
    let service = stack(targets.cool_downs(cool_downs.clone()), &upstream);
    let start = Instant::now();
    send(&service, chat()).await.unwrap();
    let cooling = cool_downs.of("a");
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(served_by(&response) == "b", cooling.is_some());
    (
        cooling.as_ref().map(|cooling| cooling.why),
        cooling.map(|cooling| cooling.until - start),
    )
}

#[tokio::test(start_paused = true)]
async fn what_a_target_says_of_itself_cools_it_for_as_long_as_that_deserves() {
    let quota = r#"{"error":{"code":"insufficient_quota","message":"x"}}"#;
    let limit = r#"{"error":{"code":"rate_limit_exceeded","message":"x"}}"#;
    for (answer, class, length) in [
        (
            Answer::status(503, BUSY),
            FailureClass::Overloaded,
            seconds(5),
        ),
        (
            Answer::status(429, limit),
            FailureClass::RateLimit,
            seconds(5),
        ),
        (
            Answer::status(429, limit).header("retry-after", "17"),
            FailureClass::RateLimit,
            seconds(17),
        ),
        (
            Answer::status(500, "{}").header("retry-after-ms", "700"),
            FailureClass::Server,
            Duration::from_millis(700),
        ),
        (
            Answer::status(429, quota),
            FailureClass::Quota,
            seconds(300),
        ),
        (
            Answer::status(404, "{}"),
            FailureClass::ModelGone,
            seconds(300),
        ),
    ] {
        let expected = (Some(Why::Failure(class)), Some(length));
        assert_eq!(
            after(answer, Target::model("a")).await,
            expected,
            "{class:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_cools_its_target_only_if_it_is_the_targets_own() {
    let refused = || Answer::status(401, "{}");
    let cooled = after(refused(), Target::model("a").bearer("own")).await.0;
    assert_eq!(cooled, Some(Why::Failure(FailureClass::Authentication)));
    assert_eq!(after(refused(), Target::model("a")).await.0, None);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_the_caller_named_cools_nothing() {
    let gone = Answer::status(404, "{}");
    assert_eq!(after(gone, Target::named("a")).await.0, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_targets_doing_never_cools_it() {
    let context = r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#;
    let policy = r#"{"error":{"code":"content_policy_violation","message":"x"}}"#;
    let faults = [
        Answer::status(400, "{}"),
        Answer::status(422, "{}"),
        Answer::status(400, context),
        Answer::status(400, policy),
    ];
    for fault in faults {
        let cool_downs = CoolDowns::new().failures(1);
        let upstream = Upstream::new([fault]);
        let targets = Targets::new("a").then("b").cool_downs(cool_downs.clone());
        send(&stack(targets, &upstream), chat()).await.unwrap();
        assert_eq!(cool_downs.list(), []);
        assert_eq!(models(&upstream), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn cancellations_the_deadline_and_the_callers_own_clocks_never_cool_a_target() {
    let cool_downs = CoolDowns::new().failures(1).slow_starts(1);
    let targets = || Targets::new("a").then("b").cool_downs(cool_downs.clone());
    let silent = || Answer::events(vec![role(), wait(60)]);

    let upstream = Upstream::new([silent()]);
    let service = stack_with(targets(), Timeouts::new(), &upstream);
    let call = send(&service, chat());
    assert!(tokio::time::timeout(seconds(1), call).await.is_err());

    let service = ServiceBuilder::new()
        .deadline(seconds(2))
        .unwrap()
        .fallback(targets())
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(upstream.clone());
    send(&service, chat()).await.unwrap_err();

    let mut request = chat();
    let hasty = Timeouts::new().first_token(seconds(1));
    request.extensions_mut().insert(hasty);
    // The first falls over, and the second is not held: nothing could follow.
    let response = send(&stack(targets().retries(0), &upstream), request)
        .await
        .unwrap();
    let outcome = trail(&response)[0].outcome;
    assert_eq!(outcome, Outcome::Timeout(Clock::FirstToken));
    assert!(read(response.into_body()).await.1.is_some());

    // The share of the deadline that the reserve leaves.
    let service = ServiceBuilder::new()
        .deadline(seconds(4))
        .unwrap()
        .fallback(targets().reserve(seconds(2)))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(upstream.clone());
    send(&service, chat()).await.unwrap_err();

    // A stream that its reader leaves.
    let upstream = Upstream::new([Answer::events(vec![token("a"), wait(60)])]);
    drop(send(&stack(targets(), &upstream), chat()).await.unwrap());
    assert_eq!(cool_downs.list(), []);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_cool_a_target_although_none_says_so() {
    for (failure, timeouts, why, rows) in [
        (Answer::status(500, "{}"), Timeouts::new(), Why::Failures, 5),
        (
            Answer::events(vec![role()]),
            Timeouts::new(),
            Why::Failures,
            5,
        ),
        (Answer::status(0, ""), Timeouts::new(), Why::Failures, 5),
        (
            Answer::hang(),
            Timeouts::new().headers(seconds(1)),
            Why::Failures,
            5,
        ),
        (
            Answer::events(vec![role(), wait(60)]),
            Timeouts::new().first_token(seconds(1)),
            Why::SlowStarts,
            3,
        ),
    ] {
        let cool_downs = CoolDowns::new();
        let answers = (0..rows).flat_map(|_| [failure.clone(), Answer::stream(&["b"])]);
        let upstream = Upstream::new(answers.chain([Answer::stream(&["b"])]));
        let targets = Targets::new("a").then("b").retries(0);
        let targets = targets.cool_downs(cool_downs.clone());
        let service = stack_with(targets, timeouts, &upstream);
        for row in 0..rows {
            assert_eq!(cool_downs.of("a"), None, "{row}");
            send(&service, chat()).await.unwrap();
        }
        assert_eq!(cool_downs.of("a").unwrap().why, why);
        let response = send(&service, chat()).await.unwrap();
        assert_eq!(served_by(&response), "b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_commit_counts_too() {
    let in_band = || data(r#"{"error":{"code":"server_is_overloaded","message":"x"}}"#);
    let upstream = Upstream::new([Answer::events(vec![token("a"), in_band()])]);
    let cool_downs = CoolDowns::new();
    let targets = Targets::new("a").then("b").cool_downs(cool_downs.clone());
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert_eq!(cool_downs.of("a"), None);
    assert!(read(response.into_body()).await.1.is_some());
    assert_eq!(
        cool_downs.of("a").unwrap().why,
        Why::Failure(FailureClass::Overloaded)
    );
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_is_never_sent_twice_to_the_same_target() {
    let quota =
        r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"x"}}"#;
    for header in [None, Some("true")] {
        let mut answer = Answer::status(429, quota).header("retry-after", "1");
        if let Some(should) = header {
            answer = answer.header("x-should-retry", should);
        }
        let upstream = Upstream::new([answer, Answer::stream(&["b"])]);
        let service = stack(Targets::new("a").then("b").retries(5), &upstream);
        let response = send(&service, chat()).await.unwrap();
        assert_eq!(models(&upstream), ["a", "b"]);
        assert_eq!(trail(&response)[0].outcome, Outcome::Status);
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_given_longer_and_a_failure_of_a_server_is_retried_whatever_it_mentions()
 {
    let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["a"])]);
    let start = Instant::now();
    send(&stack(Targets::new("a"), &upstream), chat())
        .await
        .unwrap();
    assert!(Instant::now() - start >= seconds(5));

    let context =
        r#"{"error":{"code":"context_length_exceeded","message":"maximum context length"}}"#;
    let upstream = Upstream::new([Answer::status(500, context), Answer::stream(&["a"])]);
    let response = send(&stack(Targets::new("a"), &upstream), chat())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(models(&upstream), ["a", "a"]);
}
