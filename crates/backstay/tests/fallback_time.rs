//! Limits and waits of attempts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Deadline, Error, ErrorKind, ServiceBuilderExt, Timeouts, Trail,
    fallback::{Backoff, RetryBudget, Target, Targets},
    timeout::Clock,
    trail::{Next, Outcome, Reason, WaitReason},
};
use http::{Request, Response};
use std::task::{Context, Poll};
use support::{
    Answer, Step, Upstream, chat, done, finish, kind, live_trail, models, read, seconds, send,
    stack, stack_with, token, trail, trail_of, wait,
};
use tokio::time::{Duration, Instant};
use tower::{Service, ServiceBuilder};

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

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_at_the_deadline() {
    let up = Upstream::new([
        Answer::status(500, "{}").after(seconds(2)),
        Answer::stream(&["ok"]),
    ]);
    let s = ServiceBuilder::new()
        .deadline(seconds(2))
        .unwrap()
        .fallback(Targets::new("a").then("b").retries(0))
        .unwrap()
        .service(up.clone());
    let _ = send(&s, chat()).await;
    assert_eq!(up.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_first_polled_late() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let mut s = ServiceBuilder::new()
        .deadline(seconds(2))
        .unwrap()
        .fallback(Targets::new("a"))
        .unwrap()
        .service(up.clone());
    let f = Service::<Request<Body>>::call(&mut s, chat());
    tokio::time::advance(seconds(5)).await;
    let _ = f.await;
    assert_eq!(up.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reserve_leaves_an_attempt_its_least_time() {
    let up = Upstream::new([Answer::hang(), Answer::stream(&["ok"])]);
    let s = ServiceBuilder::new()
        .deadline(Duration::from_millis(4001))
        .unwrap()
        .fallback(
            Targets::new("a")
                .then("b")
                .retries(0)
                .reserve(seconds(4))
                .min_attempt(seconds(1)),
        )
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let a = live_trail(&r).attempts();
    assert!(a[0].ended.unwrap() - a[0].started >= seconds(1));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_keeps_to_the_reserve() {
    #[derive(Clone)]
    struct Stuck;
    impl Service<Request<Body>> for Stuck {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<Body>, BoxError>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Pending
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            unreachable!()
        }
    }
    for retry_uncertain in [true, false] {
        let s = ServiceBuilder::new()
            .deadline(seconds(10))
            .unwrap()
            .fallback(
                Targets::new("a")
                    .then("b")
                    .retries(0)
                    .reserve(seconds(4))
                    .retry_uncertain(retry_uncertain),
            )
            .unwrap()
            .service(Stuck);
        let e = send(&s, chat()).await.err().unwrap();
        let t = Error::find(&*e).unwrap().trail().unwrap();
        assert_eq!(t.attempts().len(), 2);
        assert_eq!(t.attempts()[0].outcome, Outcome::Timeout(Clock::Attempt));
        // Nothing was sent.
        assert!(t.attempts().iter().all(|attempt| !attempt.uncertain));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_inside_of_an_attempt_bounds_the_attempt() {
    let up = Upstream::new([Answer::hang(), Answer::stream(&["ok"]).after(seconds(1))]);
    let s = ServiceBuilder::new()
        .fallback(Targets::new("a").then("b").retries(0))
        .unwrap()
        .deadline(seconds(2))
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    assert_eq!(up.attempts(), 2);
    assert_eq!(
        live_trail(&r).attempts()[0].outcome,
        Outcome::Timeout(Clock::Attempt)
    );
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

#[tokio::test(start_paused = true)]
async fn the_longest_waits_are_legal_and_do_not_fit() {
    let up = Upstream::new([Answer::status(503, "{}")]);
    let s = stack(
        Targets::new("a")
            .max_wait(Duration::MAX)
            .backoff(Backoff::new(Duration::MAX, Duration::MAX))
            .retries(1),
        &up,
    );
    let began = Instant::now();
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Deadline::after(seconds(20)));
    let response = send(&s, request).await.unwrap();
    assert_eq!((response.status().as_u16(), up.attempts()), (503, 1));
    assert_eq!(Instant::now(), began);
}

/// One stack as the service of another.
#[tokio::test(start_paused = true)]
async fn a_stack_within_an_attempt_keeps_to_what_that_attempt_was_left() {
    for retries in [0, 1] {
        let upstream = Upstream::new([Answer::hang(), Answer::stream(&["ok"])]);
        let inner = stack(Targets::new("inner").retries(retries), &upstream);
        let service = ServiceBuilder::new()
            .deadline(seconds(10))
            .unwrap()
            .fallback(Targets::new("a").then("b").retries(0).reserve(seconds(4)))
            .unwrap()
            .service(inner);
        let start = Instant::now();
        let response = send(&service, chat()).await.unwrap();
        assert_eq!(Instant::now() - start, seconds(6));
        assert_eq!(upstream.attempts(), 2);
        // What was kept for the other target is free once the answer is there.
        let (data, error) = read(response.into_body()).await;
        assert!(error.is_none() && !data.is_empty());
    }
}

/// Somebody between a deadline and the stack sends the request again.
#[tokio::test(start_paused = true)]
async fn time_that_was_kept_for_another_target_is_no_limit_of_the_next_pass() {
    let upstream = Upstream::new([
        Answer::status(400, "{}"),
        Answer::stream(&["ok"]).after(seconds(5)),
    ]);
    let inner = stack(
        Targets::new("a").then("b").retries(0).reserve(seconds(4)),
        &upstream,
    );
    let service = ServiceBuilder::new()
        .deadline(seconds(10))
        .unwrap()
        .service(tower::service_fn(move |request: Request<Body>| {
            let inner = inner.clone();
            async move {
                let mut again = chat();
                *again.extensions_mut() = request.extensions().clone();
                let first = send(&inner, request).await?;
                assert_eq!(first.status(), 400);
                drop(first);
                let only = chat();
                *again.uri_mut() = only.uri().clone();
                send(&inner, again).await
            }
        }));
    let start = Instant::now();
    send(&service, chat()).await.unwrap();
    assert_eq!(
        (Instant::now() - start, upstream.attempts()),
        (seconds(5), 2)
    );
}
