//! Retry, and retry elsewhere, before commit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, BuildError, Error, ErrorKind, ServiceBuilderExt, Timeouts, Trail,
    error::RequestProblem,
    fallback::{
        Cause, Commit, Decision, DefaultPolicy, Failed, FallbackLayer, Idempotent, Pause, Policy,
        RetryBudget, Target, Targets,
    },
    timeout::Clock,
    trail::{Attempt, Next, Note, Outcome, Reason, WaitReason},
    transport::{Delivery, FreshConnection, SendFailure},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use support::{
    Answer, PROMPT, Step, Upstream, chat, chat_with, comment, data, done, finish, kind, read, role,
    seconds, send, token, wait,
};
use tokio::time::{Duration, Instant};
use tower::{Layer, ServiceBuilder, ServiceExt};

type Stack = backstay::fallback::FallbackService<backstay::timeout::TimeoutsService<Upstream>>;

fn stack(targets: Targets, upstream: &Upstream) -> Stack {
    stack_with(targets, Timeouts::new(), upstream)
}

fn stack_with(targets: Targets, timeouts: Timeouts, upstream: &Upstream) -> Stack {
    ServiceBuilder::new()
        .fallback(targets.seed(7))
        .unwrap()
        .timeouts(timeouts)
        .unwrap()
        .service(upstream.clone())
}

fn models(upstream: &Upstream) -> Vec<String> {
    upstream
        .seen()
        .iter()
        .map(|seen| {
            let body = std::str::from_utf8(&seen.body).unwrap();
            body.split('"').nth(3).unwrap().to_owned()
        })
        .collect()
}

fn trail<B>(response: &Response<B>) -> Vec<Attempt> {
    response
        .extensions()
        .get::<Trail>()
        .expect("each response has its trail")
        .attempts()
}

fn trail_of(error: &BoxError) -> Trail {
    Error::find(&**error).unwrap().trail().unwrap()
}

// Before commit.

#[tokio::test(start_paused = true)]
async fn a_retryable_status_is_retried_then_the_next_target_is_asked() {
    let upstream = Upstream::new([
        Answer::status(503, "{}"),
        Answer::status(500, "{}"),
        Answer::stream(&["ok"]),
    ]);
    let targets = Targets::new("a").then("b").retries(1);
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(models(&upstream), ["a", "a", "b"]);
    let attempts = trail(&response);
    assert_eq!(attempts[0].next, Some(Next::Retry));
    assert_eq!(attempts[0].wait.unwrap().reason, WaitReason::Backoff);
    assert_eq!(attempts[1].next, Some(Next::Skip(Reason::RetriesUsed)));
    assert_eq!(attempts[2].outcome, Outcome::Running);
    let (body, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert!(body.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_content_is_seen_by_nobody() {
    let in_band = data(r#"{"error":{"type":"server_error","code":"server_error","message":"x"}}"#);
    let failures = [
        (vec![role(), in_band], Outcome::InBand),
        (vec![role(), comment()], Outcome::Empty),
        (vec![], Outcome::Empty),
        (vec![done()], Outcome::Empty),
        (vec![role(), Step::Fail], Outcome::Transport),
        (vec![role(), wait(60)], Outcome::Timeout(Clock::FirstToken)),
    ];
    for (steps, outcome) in failures {
        let upstream = Upstream::new([Answer::events(steps), Answer::stream(&["b"])]);
        let targets = Targets::new("a").then("b").retries(0);
        let timeouts = Timeouts::new().first_token(seconds(5));
        let response = send(&stack_with(targets, timeouts, &upstream), chat())
            .await
            .unwrap();
        assert_eq!(models(&upstream), ["a", "b"]);
        assert_eq!(trail(&response)[0].outcome, outcome);
        let (body, error) = read(response.into_body()).await;
        assert!(error.is_none());
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(text.matches("role").count(), 1);
        assert_eq!(upstream.live(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_that_is_said_to_be_finished_is_an_answer() {
    let upstream = Upstream::new([Answer::events(vec![role(), finish(), done()])]);
    let targets = Targets::new("a").then("b");
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    let (_, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(upstream.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_finish_reason_and_the_end_is_an_end() {
    let upstream = Upstream::new([Answer::events(vec![token("x"), finish()])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    let (_, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(shared.attempts()[0].outcome, Outcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn unary_json_is_held_to_its_end() {
    let whole = r#"{"id":"chatcmpl-9","choices":[{"message":{"content":"hi"}}]}"#;
    let error = r#"{"error":{"code":"server_error","message":"x"}}"#;
    let failures = [
        (
            vec![Step::Data(Bytes::from_static(&whole.as_bytes()[..20]))],
            Outcome::Truncated,
        ),
        (
            vec![
                Step::Data(Bytes::from_static(&whole.as_bytes()[..20])),
                Step::Fail,
            ],
            Outcome::Transport,
        ),
        (vec![], Outcome::Empty),
        (
            vec![Step::Data(Bytes::from_static(error.as_bytes()))],
            Outcome::InBand,
        ),
    ];
    for (steps, outcome) in failures {
        let mut broken = Answer::json("");
        broken.steps = steps;
        let mut good = Answer::json("");
        good.steps = vec![
            Step::Data(Bytes::from_static(&whole.as_bytes()[..20])),
            wait(1),
            Step::Data(Bytes::from_static(&whole.as_bytes()[20..])),
        ];
        let upstream = Upstream::new([broken, good]);
        let targets = Targets::new("a").then("b").then("c").retries(0);
        let request = chat_with(r#"{"model":"a","messages":[]}"#);
        let response = send(&stack(targets, &upstream), request).await.unwrap();
        let shared = response.extensions().get::<Trail>().unwrap().clone();
        assert_eq!(shared.attempts()[0].outcome, outcome);
        assert_eq!(shared.attempts()[1].outcome, Outcome::Complete);
        assert_eq!(read(response.into_body()).await.0, whole);
    }
}

// After commit.

#[tokio::test(start_paused = true)]
async fn what_fails_after_content_is_a_typed_error_and_never_retried() {
    let in_band = data(r#"{"error":{"code":"server_error","message":"x"}}"#);
    type Expected = fn(ErrorKind) -> bool;
    let failures: [(Vec<Step>, Expected, Outcome); 4] = [
        (
            vec![token("a"), in_band],
            |kind| matches!(kind, ErrorKind::InBand(_)),
            Outcome::InBand,
        ),
        (
            vec![token("a")],
            |kind| kind == ErrorKind::Truncated,
            Outcome::Truncated,
        ),
        (
            vec![token("a"), Step::Fail],
            |kind| kind == ErrorKind::Transport,
            Outcome::Transport,
        ),
        (
            vec![token("a"), wait(60)],
            |kind| kind == ErrorKind::Timeout(Clock::Idle),
            Outcome::Timeout(Clock::Idle),
        ),
    ];
    for (steps, expected, outcome) in failures {
        let upstream = Upstream::new([Answer::events(steps), Answer::stream(&["b"])]);
        let targets = Targets::new("a").then("b");
        let timeouts = Timeouts::new().idle(seconds(5));
        let response = send(&stack_with(targets, timeouts, &upstream), chat())
            .await
            .unwrap();
        let mut body = response.into_body();
        let (read, error) = read(&mut body).await;
        let error = error.expect("no answer without its end");
        assert!(!read.is_empty());
        assert!(expected(kind(&error)), "{:?}", kind(&error));
        assert_eq!(trail_of(&error).attempts()[0].outcome, outcome);
        assert_eq!(upstream.attempts(), 1);
        assert_eq!(upstream.live(), 0);
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_over_at_its_marker_though_the_socket_stays_open() {
    let upstream = Upstream::new([Answer::events(vec![
        token("a"),
        finish(),
        done(),
        Step::Hang,
    ])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let start = Instant::now();
    let (_, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(Instant::now() - start, Duration::from_millis(50));
    assert_eq!(upstream.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_at_its_marker_is_read_to_its_end() {
    let upstream = Upstream::new([Answer::events(vec![
        token("a"),
        finish(),
        done(),
        Step::Wait(Duration::from_millis(20)),
    ])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    let mut body = response.into_body();
    while !body
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap()
        .ends_with(b"[DONE]\n\n")
    {}
    drop(body);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(upstream.ended(), 1);
    assert_eq!(upstream.live(), 0);
    assert_eq!(shared.attempts()[0].outcome, Outcome::Complete);
    assert_eq!(shared.attempts()[0].notes, [Note::Lingered]);
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_before_its_marker_is_a_cancellation() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), wait(60)])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    drop(response);
    assert_eq!(upstream.live(), 0);
    assert_eq!(shared.attempts()[0].outcome, Outcome::Cancelled);
}

// The commit point.

#[tokio::test(start_paused = true)]
async fn the_commit_point_is_the_users() {
    let cut = || Answer::events(vec![role(), token("a"), wait(1)]);
    for (point, attempts, after) in [
        (Commit::Head, 1, 0),
        (Commit::FirstContent, 1, 0),
        (Commit::End, 2, 1),
    ] {
        let upstream = Upstream::new([cut(), Answer::stream(&["b"])]);
        let service = stack(Targets::new("a").then("b").retries(0), &upstream);
        let mut request = chat();
        request.extensions_mut().insert(point);
        let start = Instant::now();
        let response = send(&service, request).await.unwrap();
        assert_eq!(upstream.attempts(), attempts, "{point:?}");
        assert_eq!(Instant::now() - start, seconds(after));
        let (_, error) = read(response.into_body()).await;
        assert_eq!(error.is_none(), attempts == 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_trail_says_when_the_answer_was_let_through() {
    for (point, after) in [
        (Commit::Head, 0),
        (Commit::FirstContent, 1),
        (Commit::End, 4),
    ] {
        let upstream = Upstream::new([Answer::events(vec![
            role(),
            wait(1),
            token("a"),
            wait(3),
            finish(),
            done(),
        ])]);
        let service = stack(Targets::new("a").then("b").retries(0), &upstream);
        let mut request = chat();
        request.extensions_mut().insert(point);
        let response = send(&service, request).await.unwrap();
        let trail = response.extensions().get::<Trail>().cloned().unwrap();
        assert!(read(response.into_body()).await.1.is_none());
        let attempt = &trail.attempts()[0];
        assert_eq!(attempt.first_token, Some(seconds(1)), "{point:?}");
        assert_eq!(attempt.committed, Some(seconds(after)), "{point:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_and_a_stack_can_choose_too() {
    let cut = || Answer::events(vec![token("a"), wait(1)]);
    let of_target = Targets::new(Target::model("a").commit(Commit::End))
        .then("b")
        .retries(0);
    let of_stack = Targets::new("a").then("b").retries(0).commit(Commit::End);
    for targets in [of_target, of_stack] {
        let upstream = Upstream::new([cut(), Answer::stream(&["b"])]);
        let response = send(&stack(targets, &upstream), chat()).await.unwrap();
        assert_eq!(trail(&response).len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_which_nothing_could_be_tried_is_not_held() {
    let upstream = Upstream::new([Answer::events(vec![
        role(),
        wait(9),
        token("a"),
        finish(),
        done(),
    ])]);
    let start = Instant::now();
    let response = send(&stack(Targets::new("a").retries(0), &upstream), chat())
        .await
        .unwrap();
    assert_eq!(Instant::now(), start);
    assert!(read(response.into_body()).await.1.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_bounded() {
    let comments = || Answer::events((0..50).flat_map(|_| [comment(), wait(1)]).collect());
    for targets in [
        Targets::new("a").then("b").hold_frames(10),
        Targets::new("a").then("b").hold_bytes(100),
        Targets::new("a").then("b").hold_time(seconds(10)),
    ] {
        let upstream = Upstream::new([comments()]);
        let response = send(&stack(targets, &upstream), chat()).await.unwrap();
        assert_eq!(trail(&response)[0].notes, [Note::HoldBound]);
        assert_eq!(upstream.attempts(), 1);
    }
}

// Time.

#[tokio::test(start_paused = true)]
async fn without_a_reserve_silent_targets_take_their_clock_until_the_deadline() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = ServiceBuilder::new()
        .deadline(seconds(10))
        .unwrap()
        .fallback(Targets::new("a").then("b").then("c"))
        .unwrap()
        .timeouts(Timeouts::new().attempt(seconds(6)))
        .unwrap()
        .service(upstream.clone());
    let start = Instant::now();
    let error = send(&service, chat()).await.unwrap_err();
    assert_eq!(Instant::now() - start, seconds(10));
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert_eq!(models(&upstream), ["a", "b"]);
    let trail = trail_of(&error);
    let attempts = trail.attempts();
    assert_eq!(attempts[0].outcome, Outcome::Timeout(Clock::Attempt));
    assert_eq!(attempts[0].next, Some(Next::Skip(Reason::Policy)));
    assert_eq!(attempts[1].outcome, Outcome::Deadline);
    assert_eq!(attempts[1].ended, Some(seconds(10)));
    let passed = trail.passed_over();
    assert_eq!(passed.len(), 1);
    assert_eq!(
        (&*passed[0].target, passed[0].reason),
        ("c", Reason::Deadline)
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_has_clocks_of_its_own_and_the_request_goes_first() {
    for (of_request, expected) in [(None, [2, 5]), (Some(3), [3, 3])] {
        let upstream = Upstream::new([Answer::hang()]);
        let hasty = Target::model("a").timeouts(Timeouts::new().headers(seconds(2)));
        let targets = Targets::new(hasty).then("b").retries(0);
        let clocks = Timeouts::new().headers(seconds(5));
        let mut request = chat();
        if let Some(limit) = of_request {
            let clocks = Timeouts::new().headers(seconds(limit));
            request.extensions_mut().insert(clocks);
        }
        let error = send(&stack_with(targets, clocks, &upstream), request)
            .await
            .unwrap_err();
        let lengths: Vec<_> = trail_of(&error)
            .attempts()
            .iter()
            .map(|attempt| (attempt.ended.unwrap() - attempt.started).as_secs())
            .collect();
        assert_eq!(lengths, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reserve_leaves_time_for_untried_targets() {
    for with_timeouts in [true, false] {
        let upstream = Upstream::new([Answer::hang()]);
        let targets = Targets::new("a").then("b").then("c").reserve(seconds(2));
        let builder = ServiceBuilder::new()
            .deadline(seconds(10))
            .unwrap()
            .fallback(targets)
            .unwrap();
        let start = Instant::now();
        // The limit holds also where no timeouts layer keeps it.
        let error = if with_timeouts {
            let clocks = Timeouts::new().attempt(seconds(6));
            let service = builder.timeouts(clocks).unwrap().service(upstream.clone());
            send(&service, chat()).await.unwrap_err()
        } else {
            let service = builder.service(upstream.clone());
            send(&service, chat()).await.unwrap_err()
        };
        assert_eq!(Instant::now() - start, seconds(10));
        assert_eq!(kind(&error), ErrorKind::Deadline);
        let lengths: Vec<_> = trail_of(&error)
            .attempts()
            .iter()
            .map(|attempt| (attempt.ended.unwrap() - attempt.started).as_secs())
            .collect();
        assert_eq!(lengths, [6, 2, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reserve_is_of_no_use_after_commit_and_ends_nothing() {
    let upstream = Upstream::new([Answer::events(vec![
        token("a"),
        wait(7),
        token("b"),
        finish(),
        done(),
    ])]);
    let service = ServiceBuilder::new()
        .deadline(seconds(10))
        .unwrap()
        .fallback(Targets::new("a").then("b").reserve(seconds(5)))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(upstream.clone());
    let response = send(&service, chat()).await.unwrap();
    assert!(read(response.into_body()).await.1.is_none());
    assert_eq!(upstream.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reserve_above_what_is_left_is_shared() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = ServiceBuilder::new()
        .deadline(seconds(3))
        .unwrap()
        .fallback(Targets::new("a").then("b").then("c").reserve(seconds(9)))
        .unwrap()
        .service(upstream.clone());
    let error = send(&service, chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert_eq!(upstream.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_with_too_little_time() {
    let upstream = Upstream::new([Answer::status(500, "{}").after(seconds(3))]);
    let targets = Targets::new("a")
        .then("b")
        .retries(0)
        .min_attempt(seconds(2));
    let service = ServiceBuilder::new()
        .deadline(seconds(4))
        .unwrap()
        .fallback(targets)
        .unwrap()
        .service(upstream.clone());
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(response.status(), 500);
    let trail = response.extensions().get::<Trail>().unwrap();
    assert_eq!(trail.passed_over()[0].reason, Reason::TooLittleTime);
    assert_eq!(upstream.attempts(), 1);
}

// Waits.

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_goes_to_the_next_target_at_once() {
    let limited = || {
        Answer::status(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#)
            .header("retry-after", "30")
    };
    let upstream = Upstream::new([limited(), Answer::stream(&["b"])]);
    let service = ServiceBuilder::new()
        .deadline(seconds(20))
        .unwrap()
        .fallback(Targets::new("a").then("b"))
        .unwrap()
        .service(upstream.clone());
    let start = Instant::now();
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(Instant::now(), start);
    assert_eq!(models(&upstream), ["a", "b"]);
    let first = &trail(&response)[0];
    assert_eq!(first.next, Some(Next::Skip(Reason::WaitDoesNotFit)));
    assert_eq!(first.code.as_deref(), Some("rate_limit_exceeded"));
}

#[tokio::test(start_paused = true)]
async fn without_a_next_target_the_answer_itself_comes_back_at_once() {
    let upstream = Upstream::new([Answer::status(429, "slow down").header("retry-after", "30")]);
    let service = ServiceBuilder::new()
        .deadline(seconds(20))
        .unwrap()
        .fallback(Targets::new("a"))
        .unwrap()
        .service(upstream.clone());
    let start = Instant::now();
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(Instant::now(), start);
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "30");
    assert_eq!(
        trail(&response)[0].next,
        Some(Next::Stop(Reason::WaitDoesNotFit))
    );
    assert_eq!(read(response.into_body()).await.0, "slow down");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_fits_is_waited_and_never_shortened() {
    let upstream = Upstream::new([
        Answer::status(429, "{}").header("retry-after", "3"),
        Answer::stream(&["a"]),
    ]);
    let start = Instant::now();
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let waited = Instant::now() - start;
    assert!(waited >= seconds(3) && waited < seconds(4), "{waited:?}");
    assert_eq!(models(&upstream), ["a", "a"]);
    assert_eq!(
        trail(&response)[0].wait.unwrap().reason,
        WaitReason::ServerHint
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_is_let_go_before_the_wait() {
    let mut endless = Answer::status(503, "x").header("retry-after", "5");
    endless.steps.push(Step::Hang);
    let upstream = Upstream::new([endless, Answer::stream(&["a"])]);
    let service = stack(Targets::new("a"), &upstream);
    let call = tokio::spawn(send(&service, chat()));
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(upstream.attempts(), 1);
    assert_eq!(upstream.live(), 0);
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_retries_of_all_calls() {
    let upstream = Upstream::new([Answer::status(500, "{}")]);
    let targets = Targets::new("a")
        .retries(5)
        .budget(RetryBudget::new(3, 0.1));
    let service = stack(targets, &upstream);
    for _ in 0..4 {
        assert_eq!(send(&service, chat()).await.unwrap().status(), 500);
    }
    assert_eq!(upstream.attempts(), 4 + 3);
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(
        trail(&response)[0].next,
        Some(Next::Stop(Reason::BudgetEmpty))
    );
}

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

// Rewriting.

#[tokio::test(start_paused = true)]
async fn each_attempt_is_made_from_the_original() {
    let upstream = Upstream::new([
        Answer::status(500, "{}"),
        Answer::status(500, "{}"),
        Answer::stream(&["x"]),
    ]);
    let targets = Targets::new(
        Target::model("one")
            .path("/v9/first")
            .header("x-first", "1"),
    )
    .then(Target::model("two").query("b=2"))
    .then(Target::named("kept"))
    .retries(0);
    let mut request = chat();
    request.extensions_mut().insert(7_u8);
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    assert_eq!(seen[0].uri, "https://api.example.com/v9/first");
    assert_eq!(
        seen[1].uri,
        "https://api.example.com/v1/chat/completions?b=2"
    );
    assert_eq!(seen[2].uri, "https://api.example.com/v1/chat/completions");
    assert_eq!(models(&upstream), ["one", "two", "a"]);
    assert_eq!(seen[2].body, PROMPT);
    assert!(seen[0].headers.contains_key("x-first"));
    assert!(!seen[1].headers.contains_key("x-first"));
    // The caller's own extension and the call's record; nothing of the attempts before.
    assert!(seen.iter().all(|seen| seen.extensions == 2));
}

#[tokio::test(start_paused = true)]
async fn no_secret_follows_to_another_authority() {
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["x"])]);
    let targets = Targets::new(Target::named("own"))
        .then(
            Target::model("b")
                .origin("https://other.example:8443")
                .bearer("key-of-the-target"),
        )
        .retries(0)
        .portable_header("x-trace");
    let mut request = chat();
    *request.uri_mut() = "https://api.example.com/v1/chat/completions?key=sesame"
        .parse()
        .unwrap();
    let headers = request.headers_mut();
    for name in [
        "x-api-key",
        "api-key",
        "cookie",
        "proxy-authorization",
        "openai-organization",
        "x-whatever",
        "x-trace",
        "host",
        "expect",
    ] {
        headers.insert(name, "secret".parse().unwrap());
    }
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    assert_eq!(
        seen[0].headers["authorization"],
        "Bearer secret-of-the-caller"
    );
    assert_eq!(
        seen[1].uri,
        "https://other.example:8443/v1/chat/completions"
    );
    let mut names: Vec<_> = seen[1]
        .headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "authorization",
            "content-type",
            "x-trace"
        ]
    );
    assert_eq!(seen[1].headers["authorization"], "Bearer key-of-the-target");
}

#[tokio::test(start_paused = true)]
async fn a_targets_own_credentials_replace_the_callers_at_the_same_authority() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let targets = Targets::new(Target::named("own").credential("x-api-key", "k"));
    send(&stack(targets, &upstream), chat()).await.unwrap();
    let headers = &upstream.seen()[0].headers;
    assert!(!headers.contains_key("authorization"));
    assert_eq!(headers["x-api-key"], "k");
}

#[tokio::test(start_paused = true)]
async fn the_same_authority_in_other_words_is_no_other_authority() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let targets = Targets::new(Target::named("same").origin("https://API.example.com:443"));
    send(&stack(targets, &upstream), chat()).await.unwrap();
    assert!(upstream.seen()[0].headers.contains_key("authorization"));
}

#[tokio::test(start_paused = true)]
async fn https_never_becomes_http_unless_allowed() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let plain = || Target::named("plain").origin("http://api.example.com");
    let error = send(&stack(Targets::new(plain()), &upstream), chat())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Request(RequestProblem::Plaintext));
    assert_eq!(upstream.attempts(), 0);
    let allowed = Targets::new(plain().allow_plaintext());
    send(&stack(allowed, &upstream), chat()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn headers_bound_to_the_request_are_rebuilt_on_a_rewrite() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let mut request = chat();
    let headers = request.headers_mut();
    for (name, value) in [
        ("host", "elsewhere"),
        ("content-length", "71"),
        ("transfer-encoding", "chunked"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("expect", "100-continue"),
        ("content-digest", "d"),
        ("signature", "s"),
        ("x-kept", "1"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    send(&stack(Targets::new("a-longer-name"), &upstream), request)
        .await
        .unwrap();
    let seen = &upstream.seen()[0];
    for name in [
        "host",
        "transfer-encoding",
        "connection",
        "x-hop",
        "expect",
        "content-digest",
        "signature",
    ] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    assert_eq!(seen.headers["x-kept"], "1");
    assert_eq!(seen.headers["accept-encoding"], "identity");
}

// Bad input.

#[tokio::test(start_paused = true)]
async fn a_bad_body_is_an_error_before_anything_is_sent() {
    for (body, problem) in [
        ("[1]", RequestProblem::NotAnObject),
        ("", RequestProblem::NotAnObject),
        (r#"{"messages":[{"model":"a"}]}"#, RequestProblem::NoModel),
        (r#"{"model":"a","model":"b"}"#, RequestProblem::SecondModel),
        (r#"{"model":7}"#, RequestProblem::ModelNotAString),
        (r#"{"model":"a""#, RequestProblem::Malformed),
    ] {
        let upstream = Upstream::new([Answer::json("{}")]);
        let service = stack(Targets::new("b"), &upstream);
        let error = send(&service, chat_with(body)).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Request(problem), "{body}");
        assert_eq!(upstream.attempts(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_replay_limit_streams_once_or_is_refused() {
    for (target, sent) in [(Target::model("b"), false), (Target::named("kept"), true)] {
        let upstream = Upstream::new([Answer::status(500, "{}")]);
        let service = stack(Targets::new(target).replay_limit(20), &upstream);
        let in_memory = send(&service, chat()).await;
        let boxed = chat().map(Body::wrap);
        let streamed = send(&service, boxed).await;
        for result in [in_memory, streamed] {
            if sent {
                let response = result.unwrap();
                assert_eq!(
                    trail(&response)[0].next,
                    Some(Next::Stop(Reason::NotReplayable))
                );
            } else {
                let problem = ErrorKind::Request(RequestProblem::TooLarge);
                assert_eq!(kind(&result.unwrap_err()), problem);
            }
        }
        assert_eq!(upstream.attempts(), if sent { 2 } else { 0 });
        assert!(upstream.seen().iter().all(|seen| seen.body == PROMPT));
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_request_is_never_rewritten() {
    let request = || {
        let mut request = chat_with("\x1f\x08");
        request
            .headers_mut()
            .insert("content-encoding", "gzip".parse().unwrap());
        request
    };
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::json("{}")]);
    let error = send(&stack(Targets::new("b"), &upstream), request())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Request(RequestProblem::Encoded));
    assert_eq!(upstream.attempts(), 0);
    let targets = Targets::new(Target::named("kept"))
        .then("b")
        .then(Target::named("last"))
        .retries(0);
    let response = send(&stack(targets, &upstream), request()).await.unwrap();
    assert_eq!(upstream.attempts(), 2);
    let trail = response.extensions().get::<Trail>().unwrap();
    assert_eq!(trail.attempts()[1].target.as_ref(), "last");
    assert_eq!(trail.passed_over()[0].target.as_ref(), "b");
}

#[test]
fn what_can_never_work_is_refused_at_build() {
    let build = |targets: Targets| FallbackLayer::new(targets).map(drop);
    let uri = |target: Target| {
        assert!(matches!(
            build(Targets::new(target)),
            Err(BuildError::Uri { .. })
        ));
    };
    uri(Target::model("a").origin("not a uri"));
    uri(Target::model("a").origin("api.example.com"));
    uri(Target::model("a").origin("ftp://api.example.com"));
    uri(Target::model("a").origin("https://user:word@api.example.com"));
    uri(Target::model("a").origin("https://api.example.com/v1"));
    uri(Target::model("a").path("v1"));
    uri(Target::model("a").path("/v1?x"));
    uri(Target::model("a").query("a b\n"));
    assert!(matches!(
        build(Targets::new("a").then("a")),
        Err(BuildError::DuplicateTarget { .. })
    ));
    assert!(matches!(
        build(Targets::new(Target::model("a").bearer("new\nline"))),
        Err(BuildError::Header { .. })
    ));
    assert!(matches!(
        build(Targets::plain(Target::model("a"))),
        Err(BuildError::ModelNotCarried { .. })
    ));
    assert!(matches!(
        build(
            Targets::new(Target::model("a").dialect(backstay::dialect::OpenAiChat))
                .then(Target::model("b").dialect(backstay::dialect::AnthropicMessages))
        ),
        Err(BuildError::Dialects { .. })
    ));
    assert!(matches!(
        build(Targets::new("a").max_wait(Duration::ZERO)),
        Err(BuildError::ZeroDuration { .. })
    ));
    assert!(matches!(
        build(Targets::new(
            Target::model("a").timeouts(Timeouts::new().idle(Duration::ZERO))
        )),
        Err(BuildError::ZeroDuration { .. })
    ));
    for targets in [
        Targets::new("a").hold_frames(0),
        Targets::new("a").hold_bytes(0),
        Targets::new("a").replay_limit(0),
    ] {
        assert!(matches!(build(targets), Err(BuildError::Zero { .. })));
    }
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

// Connections.

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
