//! A drain under load: every stream ends complete or with `Shutdown`, and the report says what callers saw.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use backstay::{
    BoxError, ErrorKind, ServiceBuilderExt,
    cancel::{CancelLayer, Ended, Why},
    drain::Drain,
    error::Cancellation,
    fallback::{Target, Targets},
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    HANGS, MS, PROMPTLY,
    answer::{self, read_until},
    ask::Api,
    holds,
    stack::http1,
    within,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt};

const STREAMS: usize = 200;
/// These end by themselves within the grace period, those after them never do.
const ENDING: usize = 60;
/// These read on, those after them leave their body alone.
const READING: usize = 160;
/// Their upstream sends not even a head.
const SILENT: usize = 180;
const GRACE: Duration = Duration::from_secs(1);
const HOOKS: Duration = Duration::from_secs(5);

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Complete,
    ShutDown,
    Unpolled,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams() {
    let mock = Mock::start().await.unwrap();
    let tokens = Reply::tokens((0..10).map(|_| "on and "));
    mock.script("ending", tokens.clone().delay_between_tokens(60 * MS));
    mock.script("stalled", tokens.stall_after_tokens(1));
    mock.script("silent", Reply::never_answer());
    let told = Arc::<Mutex<Vec<Ended>>>::default();
    let cancel = CancelLayer::new().on_cancel({
        let told = told.clone();
        move |ended| {
            let told = told.clone();
            async move {
                // As a call to a cancel endpoint would take.
                tokio::time::sleep(20 * MS).await;
                told.lock().push(ended);
            }
        }
    });
    let drain = Drain::new().grace(GRACE).hook_wait(HOOKS);
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(cancel.clone())
        .deadline(Duration::from_secs(60))
        .unwrap()
        .fallback(Targets::new(Target::named("only")))
        .unwrap()
        .timeouts(backstay::Timeouts::new())
        .unwrap()
        .service(http1());

    let parked = Arc::new(Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..STREAMS)
        .map(|number| {
            let model = match number {
                ..ENDING => "ending",
                ENDING..SILENT => "stalled",
                _ => "silent",
            };
            let call = service
                .clone()
                .oneshot(Api::OpenAi.stream(&mock.url(), model));
            let parked = parked.clone();
            tokio::spawn(async move {
                let response = match call.await {
                    Ok(response) => response,
                    Err(error) => return seen(&error),
                };
                if (READING..SILENT).contains(&number) {
                    let mut body = response.into_body();
                    read_until(&mut body, "on and").await;
                    parked.lock().push(body);
                    return Seen::Unpolled;
                }
                match answer::read(response).await.error {
                    Some(error) => seen(&error),
                    None => Seen::Complete,
                }
            })
        })
        .collect();
    let under_way = || mock.log().len() == STREAMS && parked.lock().len() == SILENT - READING;
    assert!(holds(HANGS, under_way).await);

    let began = Instant::now();
    let report = drain.shutdown().await;
    let took = Instant::now().saturating_duration_since(began);
    let mut ends = Vec::new();
    for caller in callers {
        ends.push(within(caller).await.unwrap());
    }
    let count = |end| ends.iter().filter(|seen| **seen == end).count();
    // Some may have been complete before it began.
    let before = count(Seen::Complete) - report.completed;
    assert_eq!(report.in_flight, STREAMS - before, "{report}");
    assert_eq!(report.cancelled, count(Seen::ShutDown), "{report}");
    assert_eq!(report.unpolled, count(Seen::Unpolled), "{report}");
    assert_eq!(report.failed, 0, "{report}");
    assert_eq!(report.unpolled, SILENT - READING);
    assert!(count(Seen::ShutDown) >= STREAMS - ENDING - report.unpolled);

    // A hook for each that was cut, once, and all of them while the drain waited.
    let cut = report.cancelled + report.unpolled;
    assert_eq!(
        (report.hooks.finished, report.hooks.running),
        (cut, 0),
        "{report}"
    );
    assert!(took >= GRACE && took < GRACE + HOOKS, "{took:?}");
    // The bodies that nobody polled go last, and no hook runs again.
    parked.lock().clear();
    assert!(holds(PROMPTLY, || mock.in_flight() == 0).await);
    assert_eq!(cancel.hooks().in_flight(), 0);
    assert!(cancel.hooks().wait(HANGS).await);
    let told = told.lock();
    assert_eq!(told.len(), cut);
    assert!(told.iter().all(|ended| ended.why == Why::Shutdown));
}

fn seen(error: &BoxError) -> Seen {
    let of_drain = ErrorKind::Cancelled(Cancellation::Shutdown);
    assert_eq!(answer::kind(error), of_drain, "{error}");
    Seen::ShutDown
}
