//! Targets that are passed over for what happened in other calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::cool_down::{CoolDownRecord, CoolDownStore, Health, Why};
use backstay::fallback::{Commit, CoolDowns, FallbackLayer, Target, Targets};
use backstay::timeout::Clock;
use backstay::trail::{Next, Outcome, Reason};
use backstay::{Body, BoxError, BuildError, ServiceBuilderExt, Timeouts, Trail};
use backstay_dialect::FailureClass;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use support::{
    Answer, Stack, Step, Upstream, chat, data, models, read, role, seconds, send, stack,
    stack_with, token, trail, wait,
};
use tokio::time::{Duration, Instant, sleep};
use tower::{ServiceBuilder, service_fn};

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
async fn the_trail_says_who_was_passed_over_and_the_handle_until_when() {
    let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["b"])]);
    let cool_downs = CoolDowns::new();
    let targets = Targets::new("a").then("b").retries(0);
    let service = stack(targets.cool_downs(cool_downs.clone()), &upstream);
    let start = Instant::now();
    send(&service, chat()).await.unwrap();
    let cooling = cool_downs.list();
    assert_eq!(cooling.len(), 1);
    assert_eq!((&*cooling[0].target, cooling[0].probing), ("a", false));
    assert_eq!(cooling[0].until, start + seconds(5));
    let response = send(&service, chat()).await.unwrap();
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(passed.len(), 1);
    assert_eq!(
        (&*passed[0].target, passed[0].reason),
        ("a", Reason::CoolingDown)
    );
    assert_eq!(trail(&response).len(), 1);
    cool_downs.forget("a");
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(served_by(&response), "a");
}

#[tokio::test(start_paused = true)]
async fn the_call_that_met_the_failure_may_retry_and_the_others_go_on_at_once() {
    let limited = || Answer::status(429, "{}").header("retry-after", "3");
    let upstream = Upstream::new([limited(), Answer::stream(&["b"]), Answer::stream(&["a"])]);
    let service = stack(Targets::new("a").then("b"), &upstream);
    let start = Instant::now();
    let first = tokio::spawn(send(&service, chat()));
    sleep(seconds(1)).await;
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(
        (served_by(&response).as_str(), Instant::now() - start),
        ("b", seconds(1))
    );
    let response = first.await.unwrap().unwrap();
    assert_eq!(served_by(&response), "a");
    assert_eq!(trail(&response)[0].next, Some(Next::Retry));
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_do_not_all_retry() {
    let upstream = Upstream::new([Answer::status(503, BUSY).after(seconds(1))]);
    let targets = Targets::new("a").then("b").retries(2);
    let service = stack(targets, &upstream);
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(send(&service, chat())))
        .collect();
    for call in calls {
        let response = call.await.unwrap().unwrap();
        assert_eq!(response.status(), 503);
    }
    let at_a = models(&upstream)
        .iter()
        .filter(|model| *model == "a")
        .count();
    // All of them once; the one that met it first twice more. When `b` fails too nobody is left to go to.
    assert!(at_a <= 12, "{at_a}");
}

#[tokio::test(start_paused = true)]
async fn it_is_never_in_the_way_of_the_last_target_left() {
    let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["a"])]);
    let service = stack(Targets::new("a").retries(0), &upstream);
    assert_eq!(send(&service, chat()).await.unwrap().status(), 503);
    assert_eq!(send(&service, chat()).await.unwrap().status(), 200);

    // `a` cools down; `b` fails; then `a` is asked all the same.
    let upstream = Upstream::new([
        Answer::status(503, BUSY),
        Answer::stream(&["b"]),
        Answer::status(500, "{}"),
        Answer::stream(&["a"]),
    ]);
    let service = stack(Targets::new("a").then("b").retries(0), &upstream);
    send(&service, chat()).await.unwrap();
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(models(&upstream), ["a", "b", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn among_those_that_cool_down_the_one_whose_time_is_over_first_is_asked() {
    let busy = |after: &str| Answer::status(503, BUSY).header("retry-after", after);
    let upstream = Upstream::new([busy("60"), busy("20"), Answer::stream(&["b"])]);
    let service = stack(Targets::new("a").then("b").retries(0), &upstream);
    assert_eq!(send(&service, chat()).await.unwrap().status(), 503);
    send(&service, chat()).await.unwrap();
    assert_eq!(models(&upstream), ["a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_shared_by_clones_and_by_whoever_is_given_the_handle() {
    let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["b"])]);
    let cool_downs = CoolDowns::new();
    let targets = || {
        Targets::new("a")
            .then("b")
            .retries(0)
            .cool_downs(cool_downs.clone())
    };
    let service = stack(targets(), &upstream);
    send(&service.clone(), chat()).await.unwrap();
    assert_eq!(served_by(&send(&service, chat()).await.unwrap()), "b");
    let other = stack(targets(), &upstream);
    assert_eq!(served_by(&send(&other, chat()).await.unwrap()), "b");
    let stranger = stack(Targets::new("a").then("b"), &upstream);
    assert_eq!(served_by(&send(&stranger, chat()).await.unwrap()), "a");
}

#[tokio::test(start_paused = true)]
async fn off_is_off() {
    let upstream = Upstream::new([
        Answer::status(503, BUSY),
        Answer::stream(&["b"]),
        Answer::stream(&["a"]),
    ]);
    let targets = Targets::new("a").then("b").retries(0);
    let service = stack(targets.cool_downs(CoolDowns::off()), &upstream);
    send(&service, chat()).await.unwrap();
    assert_eq!(served_by(&send(&service, chat()).await.unwrap()), "a");
}

// The probe.

/// `a` has failed, and its time is over.
async fn recovering(
    answers: impl IntoIterator<Item = Answer>,
    commit: Commit,
) -> (Stack, Upstream, CoolDowns) {
    let first = [Answer::status(503, BUSY), Answer::stream(&["b"])];
    let upstream = Upstream::new(first.into_iter().chain(answers));
    let cool_downs = CoolDowns::new();
    let targets = Targets::new("a").then("b").retries(0).commit(commit);
    let service = stack(targets.cool_downs(cool_downs.clone()), &upstream);
    send(&service, chat()).await.unwrap();
    sleep(seconds(5)).await;
    (service, upstream, cool_downs)
}

#[tokio::test(start_paused = true)]
async fn one_call_at_a_time_probes_and_a_dropped_one_frees_the_slot() {
    // The future is dropped before its verdict, then the body of one that was let through at its head is.
    for commit in [Commit::FirstContent, Commit::Head] {
        let slow = Answer::events(vec![role(), wait(60), token("a")]);
        let answers = [slow, Answer::stream(&["b"]), Answer::stream(&["a"])];
        let (service, upstream, cool_downs) = recovering(answers, commit).await;
        let mut probe = tokio::spawn({
            let call = send(&service, chat());
            async move {
                let response = call.await.unwrap();
                sleep(seconds(60)).await;
                response
            }
        });
        sleep(seconds(1)).await;
        assert!(cool_downs.of("a").unwrap().probing, "{commit:?}");
        assert_eq!(served_by(&send(&service, chat()).await.unwrap()), "b");
        probe.abort();
        assert!((&mut probe).await.is_err());
        assert!(!cool_downs.of("a").unwrap().probing, "{commit:?}");
        let response = send(&service, chat()).await.unwrap();
        assert_eq!(served_by(&response), "a");
        assert!(read(response.into_body()).await.1.is_none());
        assert_eq!(cool_downs.list(), []);
        assert_eq!(models(&upstream), ["a", "b", "a", "b", "a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_no_second_probe_beside_another() {
    let upstream = Upstream::new([
        Answer::status(429, "{}").header("retry-after", "20"),
        Answer::stream(&["a"]).after(seconds(30)),
        Answer::stream(&["b"]),
    ]);
    let service = stack(Targets::new("a").then("b"), &upstream);
    let first = tokio::spawn(send(&service, chat()));
    // Its retry is a little later than it was asked to be; the probe is not.
    sleep(seconds(20)).await;
    let probe = tokio::spawn(send(&service, chat()));
    let response = first.await.unwrap().unwrap();
    assert_eq!(served_by(&response), "b");
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(
        (&*passed[0].target, passed[0].reason),
        ("a", Reason::CoolingDown)
    );
    assert_eq!(served_by(&probe.await.unwrap().unwrap()), "a");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_lengthens_the_cool_down_and_goes_on_at_once() {
    let answers = [Answer::status(500, "{}"), Answer::stream(&["b"])];
    let (service, upstream, cool_downs) = recovering(answers, Commit::FirstContent).await;
    let start = Instant::now();
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(served_by(&response), "b");
    assert_eq!(Instant::now(), start);
    assert_eq!(cool_downs.of("a").unwrap().until, start + seconds(10));
    assert_eq!(upstream.attempts(), 4);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_the_second_answers_every_call_at_once_and_the_first_returns_with_its_probe() {
    const OUTAGE: Duration = Duration::from_secs(60);
    type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;
    #[derive(Default)]
    struct Seen {
        at_first: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
        first_after: Mutex<Option<Instant>>,
    }
    let seen = Arc::new(Seen::default());
    let start = Instant::now();
    let leaf = service_fn({
        let seen = seen.clone();
        move |request: Request<Body>| {
            let seen = seen.clone();
            let answering: Answering = Box::pin(async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut response = Response::new(Full::<Bytes>::from(r#"{"choices":[]}"#));
                if body.starts_with(br#"{"model":"first""#) {
                    let under_way = seen.under_way.fetch_add(1, SeqCst) + 1;
                    let at = Instant::now() - start;
                    if at >= Duration::from_secs(1) && at < OUTAGE {
                        seen.most.fetch_max(under_way, SeqCst);
                    }
                    seen.at_first.fetch_add(1, SeqCst);
                    // It hangs a little before it fails.
                    sleep(Duration::from_millis(200)).await;
                    seen.under_way.fetch_sub(1, SeqCst);
                    if Instant::now() - start < OUTAGE {
                        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    } else {
                        seen.first_after.lock().get_or_insert_with(Instant::now);
                    }
                }
                Ok(response)
            });
            answering
        }
    });
    let cool_downs = CoolDowns::new();
    let service = ServiceBuilder::new()
        .fallback(
            Targets::new("first")
                .then("second")
                .cool_downs(cool_downs.clone())
                .seed(1),
        )
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(leaf);
    let mut calls = Vec::new();
    for number in 0..1300_u64 {
        let began = Instant::now();
        calls.push(tokio::spawn(send(&service, chat()).map(move |result| {
            let response = result.unwrap();
            let took = Instant::now() - began;
            (
                number,
                began - start,
                took,
                response.status(),
                served_by(&response),
            )
        })));
        sleep(Duration::from_millis(100)).await;
    }
    let mut by_first_again = 0;
    for call in calls {
        let (number, began, took, status, target) = call.await.unwrap();
        assert_eq!(status, StatusCode::OK, "call {number}");
        if began >= seconds(1) && began < OUTAGE {
            // A probe that fails, and nothing more.
            assert!(
                took <= Duration::from_millis(200),
                "call {number} took {took:?}"
            );
        }
        by_first_again += usize::from(target == "first");
    }
    assert_eq!(seen.most.load(SeqCst), 1, "one probe at a time");
    // 5, 10, 20 and 40 s lie between the probes; the first call retried twice, and so did one or two beside it.
    let recovered = seen.first_after.lock().unwrap() - start;
    assert!(recovered < OUTAGE + seconds(60), "{recovered:?}");
    let in_outage = seen.at_first.load(SeqCst) - by_first_again;
    assert!(in_outage <= 10, "{in_outage}");
    assert_eq!(cool_downs.list(), []);
    assert!(by_first_again > 200, "{by_first_again}");
}

// The store.

#[tokio::test(start_paused = true)]
async fn the_state_can_be_kept_elsewhere() {
    #[derive(Debug, Default)]
    struct Fleet(Mutex<HashMap<Arc<str>, Arc<One>>>);
    #[derive(Debug, Default)]
    struct One {
        held: AtomicBool,
        health: Mutex<Health>,
    }
    #[derive(Debug)]
    struct Shared(Arc<Fleet>);
    impl CoolDownStore for Shared {
        fn record(&self, target: &str) -> Arc<dyn CoolDownRecord> {
            self.0.0.lock().entry(target.into()).or_default().clone()
        }
        fn records(&self) -> Vec<(Arc<str>, Arc<dyn CoolDownRecord>)> {
            let records = self.0.0.lock();
            let records = records.iter();
            records
                .map(|(name, one)| (name.clone(), one.clone() as _))
                .collect()
        }
    }
    impl CoolDownRecord for One {
        fn is_clear(&self) -> bool {
            !self.held.load(SeqCst)
        }
        fn update(&self, change: &mut dyn FnMut(&mut Health)) {
            let mut health = self.health.lock();
            change(&mut health);
            self.held.store(!health.is_clear(), SeqCst);
        }
    }
    let fleet = Arc::new(Fleet::default());
    let process = || {
        let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["b"])]);
        let cool_downs = CoolDowns::in_store(Shared(fleet.clone()));
        stack(
            Targets::new("a")
                .then("b")
                .retries(0)
                .cool_downs(cool_downs),
            &upstream,
        )
    };
    let (one, other) = (process(), process());
    send(&one, chat()).await.unwrap();
    let response = send(&other, chat()).await.unwrap();
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(&*passed[0].target, "a");
}

#[test]
fn what_can_never_work_is_refused_at_build() {
    let build = |cool_downs| FallbackLayer::new(Targets::new("a").cool_downs(cool_downs)).map(drop);
    for zero in [
        CoolDowns::new().short(Duration::ZERO),
        CoolDowns::new().long(Duration::ZERO),
    ] {
        assert!(matches!(build(zero), Err(BuildError::ZeroDuration { .. })));
    }
    for zero in [
        CoolDowns::new().failures(0),
        CoolDowns::new().slow_starts(0),
    ] {
        assert!(matches!(build(zero), Err(BuildError::Zero { .. })));
    }
    let many = (0..64).fold(Targets::new("first"), |targets, number| {
        targets.then(format!("model-{number}"))
    });
    assert_eq!(
        FallbackLayer::new(many).map(drop),
        Err(BuildError::TooManyTargets { most: 64 })
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

#[tokio::test(start_paused = true)]
async fn a_clock_that_ends_a_probe_prolongs_the_cool_down() {
    let hanging = Answer::events(vec![role(), Step::Hang]);
    let first = [Answer::status(503, BUSY), Answer::stream(&["b"])];
    let upstream = Upstream::new(first.into_iter().chain([hanging, Answer::stream(&["b"])]));
    let cool_downs = CoolDowns::new();
    let targets = Targets::new("a").then("b").cool_downs(cool_downs.clone());
    let timeouts = Timeouts::new().first_token(seconds(2));
    let service = stack_with(targets.retries(0), timeouts, &upstream);
    send(&service, chat()).await.unwrap();
    sleep(seconds(5)).await;
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(
        trail(&response)[0].outcome,
        Outcome::Timeout(Clock::FirstToken)
    );
    assert_eq!(
        cool_downs.of("a").unwrap().until,
        Instant::now() + seconds(10)
    );
}
