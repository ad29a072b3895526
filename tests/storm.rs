//! Ten thousand calls, four thousand of them in flight, that complete, fail, and are dropped at random
//! moments: none is lost, and nothing is left. A process of its own, since connections, tasks and file descriptors are counted.
//!
//! One seed is run with all other tests; three of them:
//!
//! ```sh
//! cargo test --release -p backstay-tests --test storm -- --ignored
//! ```
//!
//! It needs 9,000 file descriptors (both ends of each connection are here), and raises the soft limit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use backstay::{
    Deadline, Labels, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Ended, Why},
    drain::Drain,
    fallback::{Target, Targets},
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{HANGS, MS, ask::Api, holds, stack::http1};
use fastrand::Rng;
use http_body_util::BodyExt;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer};

const CALLS: usize = 10_000;
const IN_FLIGHT: usize = 4_000;
const DESCRIPTORS: u64 = 9_000;
const BUDGET: Duration = Duration::from_secs(2);
/// Of the calls, at least so many complete, fail, and are cancelled each.
const SHARE: usize = CALLS / 5;
/// The mock's port holds no more connections that it has not accepted yet.
const AT_ONCE: usize = 500;

#[test]
fn ten_thousand_calls() {
    storm(1);
}

#[test]
#[ignore = "three times as long"]
fn ten_thousand_calls_three_times() {
    for seed in [2, 3, 4] {
        storm(seed);
    }
}

/// What observers and hooks were told of each call.
struct Told {
    ends: Vec<AtomicUsize>,
    hooks: Vec<AtomicUsize>,
    completed: AtomicUsize,
    failed: AtomicUsize,
    cancelled: AtomicUsize,
}

fn storm(seed: u64) {
    let descriptors = raise_descriptors();
    assert!(
        descriptors.is_none_or(|limit| limit >= DESCRIPTORS),
        "{DESCRIPTORS} file descriptors are needed, and the hard limit is {descriptors:?}"
    );
    let began = Instant::now();
    // The mock's tasks are none of the caller's.
    let servers = runtime();
    let mock = servers.block_on(async {
        let mock = Mock::start().await.unwrap();
        script(&mock);
        mock
    });
    let callers = runtime();
    callers.block_on(calls(seed, &mock));
    let tasks = || callers.metrics().num_alive_tasks();
    callers.block_on(async {
        assert!(
            holds(HANGS, || tasks() == 0).await,
            "{} tasks are left",
            tasks()
        );
        assert!(holds(HANGS, || mock.connections_open() == 0).await);
    });
    assert_eq!(mock.in_flight(), 0);
    let took = Instant::now().saturating_duration_since(began);
    println!("seed {seed}: {took:?}");
    servers.block_on(mock.shutdown());
}

async fn calls(seed: u64, mock: &Mock) {
    let told = Arc::new(Told::new());
    let cancel = CancelLayer::new()
        .on_cancel({
            let told = told.clone();
            move |ended| {
                let told = told.clone();
                async move {
                    tokio::task::yield_now().await;
                    told.hooks[number(&ended)].fetch_add(1, Relaxed);
                }
            }
        })
        .observe({
            let told = told.clone();
            move |ended| told.ended(ended)
        });
    let hooks = cancel.hooks();
    let drain = Drain::new();
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(cancel)
        .deadline(2 * HANGS)
        .unwrap()
        .fallback(Targets::new(Target::named("only")).retries(1).seed(seed))
        .unwrap()
        .timeouts(Timeouts::new().headers(2 * HANGS))
        .unwrap()
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()))
        .service(http1());

    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let full = CancellationToken::new();
    let mut rng = Rng::with_seed(seed);
    let mut callers = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        // The first fill the place, and none of those ends by itself before it is full.
        let model = match number {
            ..IN_FLIGHT => HANGING[rng.usize(..HANGING.len())],
            _ => MIXED[rng.usize(..MIXED.len())],
        };
        let mut request = Api::OpenAi.stream(&mock.url(), model);
        let labels = Labels::new().with("number", number.to_string());
        request.extensions_mut().insert(labels);
        let token = CancellationToken::new();
        request.extensions_mut().insert(token.clone());
        let patience = rng.u32(..1500) * MS;
        // Some cancel by token, and some wait for their deadline. The others leave; of those whose answer
        // comes to an end most wait for it.
        let leaves = rng.u32(..10);
        let stays = ENDING.contains(&model) && rng.u32(..8) > 0;
        let (service, places, full) = (service.clone(), places.clone(), full.clone());
        let (now, peak) = (now.clone(), peak.clone());
        callers.push(tokio::spawn(async move {
            let _place = places.acquire().await.unwrap();
            let waits = leaves == 9 && number >= IN_FLIGHT;
            if waits {
                let deadline = Deadline::after(BUDGET);
                request.extensions_mut().insert(deadline);
            }
            peak.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
            let call = async {
                let Ok(response) = service.oneshot(request).await else {
                    return;
                };
                let mut body = response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            };
            let leaving = async {
                full.cancelled().await;
                sleep(patience).await;
                if leaves == 8 && !stays {
                    token.cancel();
                }
                if leaves == 8 || waits || stays {
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = call => {}
                () = leaving => {}
            }
            now.fetch_sub(1, Relaxed);
        }));
        if number < IN_FLIGHT && number % AT_ONCE == 0 {
            assert!(holds(HANGS, || mock.in_flight() >= number).await);
        }
    }
    assert!(holds(HANGS, || mock.in_flight() == IN_FLIGHT).await);
    full.cancel();
    drop(service);
    for caller in callers {
        timeout(2 * HANGS, caller).await.unwrap().unwrap();
    }
    let report = drain.shutdown().await;
    assert_eq!(
        (report.in_flight, report.hooks.running, report.hooks.lost),
        (0, 0, 0)
    );
    assert!(hooks.wait(HANGS).await);

    assert_eq!(peak.load(Relaxed), IN_FLIGHT);
    let [completed, failed, cancelled] =
        [&told.completed, &told.failed, &told.cancelled].map(|count| count.load(Relaxed));
    println!("{completed} completed, {failed} failed, {cancelled} cancelled");
    assert_eq!(CALLS, completed + failed + cancelled);
    assert!(completed >= SHARE && failed >= SHARE && cancelled >= SHARE);
    assert!(told.ends.iter().all(|ends| ends.load(Relaxed) == 1));
    // A call that is complete has no hook, every other has it once.
    let ran: Vec<_> = told.hooks.iter().map(|ran| ran.load(Relaxed)).collect();
    assert!(ran.iter().all(|ran| *ran <= 1));
    assert_eq!(ran.iter().sum::<usize>(), failed + cancelled);
    assert_eq!(
        (hooks.finished(), hooks.in_flight()),
        (failed + cancelled, 0)
    );
    assert_eq!(
        (permits.available_permits(), drain.in_flight()),
        (IN_FLIGHT, 0)
    );
}

/// They never end by themselves, not while the test runs.
const HANGING: [&str; 3] = ["silent", "stalled", "endless"];
/// They end soon: complete, as a status, and broken off after content.
const ENDING: [&str; 3] = ["quick", "broken", "cut"];
/// What the calls ask for once the place is full.
const MIXED: [&str; 16] = [
    "quick", "quick", "quick", "quick", "quick", "quick", "quick", "cut", "cut", "cut", "cut",
    "cut", "cut", "cut", "broken", "long",
];

fn script(mock: &Mock) {
    // Few tokens: what is tested is how calls end, and not how the mock writes.
    let tokens = Reply::tokens((0..4).map(|_| "on and "));
    mock.script("quick", Reply::text("at once"));
    mock.script(
        "long",
        tokens
            .clone()
            .delay_first_token(MS)
            .delay_between_tokens(300 * MS),
    );
    mock.script("stalled", tokens.clone().stall_after_tokens(2));
    mock.script("silent", Reply::never_answer());
    let endless = tokens.clone().delay_between_tokens(4 * HANGS);
    mock.script("endless", endless);
    mock.script("broken", Reply::status(500));
    mock.script("cut", tokens.cut_after_tokens(3));
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn number(ended: &Ended) -> usize {
    ended.labels.get("number").unwrap().parse().unwrap()
}

/// The soft limit of file descriptors, as high as it may be; `None` for no limit.
fn raise_descriptors() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current
}

// === impl Told ===

impl Told {
    fn new() -> Self {
        Self {
            ends: (0..CALLS).map(|_| AtomicUsize::new(0)).collect(),
            hooks: (0..CALLS).map(|_| AtomicUsize::new(0)).collect(),
            completed: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
        }
    }

    fn ended(&self, ended: &Ended) {
        self.ends[number(ended)].fetch_add(1, Relaxed);
        let counter = match ended.why {
            Why::Complete => &self.completed,
            Why::Failed(_) | Why::Deadline => &self.failed,
            why => {
                assert!(why.is_cancelled());
                &self.cancelled
            }
        };
        counter.fetch_add(1, Relaxed);
    }
}
