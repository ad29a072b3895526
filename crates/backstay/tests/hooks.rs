//! Many hooks at once: each runs exactly once, few of them at the same time, and none harms another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BuildError, Labels, ServiceBuilderExt,
    cancel::{CancelLayer, CancelService},
    drain::Drain,
};
use http::Request;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{Answer, Upstream, chat, seconds};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, sleep},
};
use tower::{Layer, Service, ServiceBuilder};

const CALLS: usize = 1000;

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_cancelled_in_one_tick_run_each_hook_once_and_few_at_the_same_time() {
    let seen = Seen::default();
    let layer = seen
        .layer(Duration::from_millis(10))
        .hooks_at_once(16)
        .unwrap();
    let hooks = layer.hooks();
    let calls = calls(&layer);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    assert_eq!(hooks.in_flight(), CALLS);
    drop(calls);
    assert_eq!((hooks.in_flight(), hooks.running()), (0, CALLS));
    let began = Instant::now();
    assert!(hooks.wait(seconds(60)).await);
    assert_eq!((hooks.finished(), seen.peak.load(SeqCst)), (CALLS, 16));
    seen.assert_once();
    // 63 rounds of 16.
    assert_eq!(Instant::now() - began, Duration::from_millis(10 * 63));
    tokio::task::yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_of_a_hook_counts_from_when_it_starts() {
    let seen = Seen::default();
    let layer = seen.layer(seconds(1)).hooks_at_once(100).unwrap();
    let layer = layer.hook_timeout(seconds(2)).unwrap();
    let hooks = layer.hooks();
    drop(calls(&layer));
    assert!(hooks.wait(seconds(60)).await);
    // The last had waited for nine seconds before it began.
    assert_eq!((hooks.finished(), hooks.timed_out()), (CALLS, 0));
}

#[tokio::test(start_paused = true)]
async fn hooks_that_hang_or_panic_give_up_their_place() {
    let number = Arc::new(AtomicUsize::new(0));
    let layer = CancelLayer::new()
        .on_cancel(move |_| {
            let number = number.fetch_add(1, SeqCst);
            async move {
                match number % 10 {
                    0 => pending().await,
                    1 => panic!("a hook"),
                    _ => sleep(Duration::from_millis(1)).await,
                }
            }
        })
        .hook_timeout(seconds(1))
        .unwrap()
        .hooks_at_once(8)
        .unwrap();
    let hooks = layer.hooks();
    drop(calls(&layer));
    assert!(hooks.wait(seconds(60)).await);
    let counts = hooks.counts();
    assert_eq!(
        (counts.finished, counts.timed_out, counts.panicked),
        (800, 100, 100)
    );
}

#[test]
fn hooks_that_wait_for_their_turn_when_the_runtime_goes_are_counted_as_lost() {
    let seen = Seen::default();
    let layer = seen.layer(seconds(1)).hooks_at_once(10).unwrap();
    let hooks = layer.hooks();
    let drain = Drain::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let service = drain
            .layer()
            .layer(layer.layer(Upstream::new([Answer::hang()])));
        let calls: Vec<_> = (0..CALLS)
            .map(|number| service.clone().call(named(number)))
            .collect();
        drain.start();
        drop(calls);
        sleep(Duration::from_millis(2500)).await;
    });
    drop(runtime);
    let counts = hooks.counts();
    assert_eq!(
        (counts.finished, counts.lost, counts.running),
        (20, CALLS - 20, 0)
    );
    // The drain had gone with the runtime. Another takes it up, and knows the same.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(drain.shutdown());
    assert_eq!(report.hooks, counts);
    assert_eq!((report.in_flight, report.cancelled), (CALLS, CALLS));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_that_a_drain_cancels_run_each_hook_once() {
    let seen = Seen::default();
    let layer = seen.layer(Duration::from_millis(10));
    let drain = Drain::new().grace(seconds(1)).hook_wait(seconds(10));
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(layer)
        .service(Upstream::new([Answer::hang()]));
    // A third is polled and waits, a third is polled once and left alone, a third is dropped meanwhile.
    let mut unpolled = Vec::new();
    for number in 0..CALLS {
        let mut call = Box::pin(service.clone().call(named(number)));
        match number % 3 {
            0 => {
                tokio::spawn(call);
            }
            1 => {
                let once = tokio::time::timeout(Duration::ZERO, call.as_mut());
                assert!(once.await.is_err());
                unpolled.push(call);
            }
            _ => {
                tokio::spawn(tokio::time::timeout(Duration::from_millis(500), call));
            }
        }
    }
    let report = drain.shutdown().await;
    let third = CALLS / 3;
    assert_eq!((report.in_flight, report.unpolled), (CALLS, third));
    assert_eq!(report.cancelled, CALLS - third);
    assert_eq!(report.hooks.finished, CALLS);
    drop(unpolled);
    sleep(seconds(1)).await;
    seen.assert_once();
}

#[test]
fn no_hook_at_once_is_an_error_at_build() {
    let zero = Err(BuildError::Zero {
        setting: "hooks_at_once",
    });
    assert_eq!(CancelLayer::new().hooks_at_once(0).map(drop), zero);
}

/// How often the hook of each call ran, and how many at the same time.
#[derive(Clone, Default)]
struct Seen {
    ran: Arc<Mutex<HashMap<String, usize>>>,
    now: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Seen {
    fn assert_once(&self) {
        let ran = self.ran.lock();
        assert_eq!(ran.len(), CALLS);
        assert!(ran.values().all(|times| *times == 1));
    }

    fn layer(&self, takes: Duration) -> CancelLayer {
        let seen = self.clone();
        CancelLayer::new().on_cancel(move |ended| {
            let seen = seen.clone();
            async move {
                let name = ended.labels.get("call").unwrap().to_owned();
                *seen.ran.lock().entry(name).or_default() += 1;
                seen.peak
                    .fetch_max(seen.now.fetch_add(1, SeqCst) + 1, SeqCst);
                sleep(takes).await;
                seen.now.fetch_sub(1, SeqCst);
            }
        })
    }
}

fn calls(layer: &CancelLayer) -> Vec<impl Sized + use<>> {
    let service: CancelService<Upstream> = layer.layer(Upstream::new([Answer::hang()]));
    (0..CALLS)
        .map(|number| service.clone().call(named(number)))
        .collect()
}

fn named(number: usize) -> Request<Body> {
    let mut request = chat();
    let labels = Labels::new().with("call", number.to_string());
    request.extensions_mut().insert(labels);
    request
}
