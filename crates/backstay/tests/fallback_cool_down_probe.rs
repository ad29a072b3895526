//! How a target comes back: one probe at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::{Commit, CoolDowns, Targets};
use backstay::timeout::Clock;
use backstay::trail::{Outcome, Reason};
use backstay::{Body, BoxError, ServiceBuilderExt, Timeouts, Trail};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use support::{
    Answer, Stack, Step, Upstream, chat, models, read, role, seconds, send, stack, stack_with,
    token, trail, wait,
};
use tokio::time::{Duration, Instant, sleep};
use tower::{ServiceBuilder, service_fn};

const BUSY: &str = r#"{"error":{"code":"server_is_overloaded","message":"x"}}"#;

fn served_by<B>(response: &Response<B>) -> String {
    trail(response).last().unwrap().target.to_string()
}

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
