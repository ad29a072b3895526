//! In an outage of the first target calls are answered by the second at once, one probe at a time looks
//! whether the first is back, and once it is, that probe is its first answer.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::Body;
use backstay::fallback::{CoolDowns, Targets};
use backstay_client::Client;
use backstay_mock::{Logged, Mock, Outage, Reply};
use backstay_tests::{
    MS, PROMPTLY,
    answer::read,
    holds,
    spoken::Spoken,
    stack::{Setup, Stack, http1},
    within,
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How long the first target is out.
const OUTAGE: Duration = Duration::from_secs(3);

/// The first cool-down; they double.
const COOL_DOWN: Duration = Duration::from_millis(100);

/// Calls that are always under way.
const CALLERS: usize = 8;

/// Of a failing target: long enough that all callers come by meanwhile.
const SLOW: Duration = Duration::from_millis(60);

/// Callers that call and call.
struct Traffic {
    served: Arc<Mutex<Vec<Served>>>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Served {
    at: Instant,
    took: Duration,
    by: String,
    attempts: usize,
}

// === impl Traffic ===

impl Traffic {
    fn start(stack: &Stack<Client<Body>>, spoken: Spoken, origin: &str) -> Self {
        let served = Arc::<Mutex<Vec<Served>>>::default();
        let over = Arc::<AtomicBool>::default();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (stack, origin) = (stack.clone(), origin.to_owned());
            let (served, over) = (served.clone(), over.clone());
            callers.spawn(async move {
                while !over.load(SeqCst) {
                    let one = call(&stack, &spoken, &origin).await;
                    served.lock().push(one);
                    sleep(5 * MS).await;
                }
            });
        }
        Self {
            served,
            over,
            callers,
        }
    }

    fn so_far(&self) -> Vec<Served> {
        self.served.lock().clone()
    }

    async fn end(mut self) -> Vec<Served> {
        self.over.store(true, SeqCst);
        while let Some(ended) = within(self.callers.join_next()).await {
            ended.unwrap();
        }
        self.served.lock().clone()
    }
}

async fn call(stack: &Stack<Client<Body>>, spoken: &Spoken, origin: &str) -> Served {
    let at = Instant::now();
    let response = within(stack.call(spoken.request(origin, "first"))).await;
    let answer = read(response.unwrap()).await;
    assert!(answer.error.is_none(), "{:?}", answer.error);
    assert_eq!(answer.status, 200);
    let attempts = answer.attempts();
    Served {
        at,
        took: Instant::now().saturating_duration_since(at),
        by: attempts.last().unwrap().target.to_string(),
        attempts: attempts.len(),
    }
}

/// Those that had ended when the next one came.
fn one_at_a_time(probes: &[Logged]) -> bool {
    let pairs = probes.iter().zip(&probes[1..]);
    pairs
        .into_iter()
        .all(|(one, next)| one.ended_at.is_some_and(|ended| ended <= next.at))
}

#[tokio::test]
async fn of_an_overloaded_target() {
    for name in ["openai", "anthropic", "gemini"] {
        let spoken = Spoken::of(name);
        let mock = Mock::start().await.unwrap();
        mock.script_default(Reply::text("Here"));
        let cool_downs = CoolDowns::new().short(COOL_DOWN);
        let targets = Targets::new(spoken.target("first"))
            .then(spoken.target("second"))
            .retries(0)
            .cool_downs(cool_downs.clone());
        let stack = Setup::new(targets).over(http1());
        let failure = Reply::status(503).delay_headers(SLOW);
        let outage = mock.outage(Outage::new(failure).of_model("first"));

        // The call that meets it, alone.
        let met = call(&stack, &spoken, &mock.url()).await;
        assert_eq!((&*met.by, met.attempts), ("second", 2));
        assert!(cool_downs.of("first").is_some());

        let traffic = Traffic::start(&stack, spoken, &mock.url());
        sleep(OUTAGE).await;
        let in_outage = traffic.so_far();
        assert_eq!(mock.peak_in_flight_of("first"), 1, "one probe at a time");
        let probes = mock.attempts("first");
        outage.recover();
        let until = cool_downs.of("first").unwrap().until;
        let recovered = Instant::now();

        assert!(in_outage.len() > 10 * CALLERS, "{}", in_outage.len());
        for served in &in_outage {
            assert_eq!(served.by, "second");
            assert!(served.took < PROMPTLY, "{served:?}");
        }
        // At once: nearly all of them went there without another attempt before. The doubled cool-downs leave
        // room for five probes, that of the first call included.
        let direct = in_outage.iter().filter(|served| served.attempts == 1);
        assert!(direct.count() >= in_outage.len() - 6);
        assert!((3..=6).contains(&probes), "{probes}");

        // Within one probe: the next one is answered, and after it every call.
        let wait = until.saturating_duration_since(recovered) + PROMPTLY;
        let back = |served: &Served| served.by == "first";
        assert!(
            holds(wait, || traffic.so_far().iter().any(back)).await,
            "{name}"
        );
        sleep(20 * MS).await;
        let log = mock.requests("first");
        let failed: Vec<Logged> = log
            .iter()
            .filter(|entry| entry.in_outage)
            .cloned()
            .collect();
        // One may have been on its way when it recovered.
        assert!(failed.len() <= probes + 1);
        assert!(one_at_a_time(&log[..failed.len() + 1]), "{name}");
        assert_eq!(log[failed.len()].status, Some(200));
        assert!(cool_downs.of("first").is_none());
        let after = Instant::now();
        sleep(100 * MS).await;
        let served = traffic.end().await;
        let after: Vec<&Served> = served.iter().filter(|served| served.at > after).collect();
        assert!(!after.is_empty());
        assert!(
            after
                .iter()
                .all(|served| back(served) && served.attempts == 1)
        );
    }
}

#[tokio::test]
async fn of_a_target_at_which_nobody_listens() {
    let spoken = Spoken::of("openai");
    let (first, second) = (Mock::start().await.unwrap(), Mock::start().await.unwrap());
    let cool_downs = CoolDowns::new().short(COOL_DOWN).failures(2);
    let targets = Targets::new(spoken.target("first"))
        .then(spoken.target("second").origin(second.url()))
        .retries(0)
        .cool_downs(cool_downs.clone());
    let stack = Setup::new(targets).over(http1());
    let outage = first.outage(Outage::refuse_connections());
    for _ in 0..2 {
        let met = call(&stack, &spoken, &first.url()).await;
        assert_eq!((&*met.by, met.attempts), ("second", 2));
    }
    let traffic = Traffic::start(&stack, spoken, &first.url());
    sleep(OUTAGE / 3).await;
    let in_outage = traffic.so_far();
    outage.recover();
    let until = cool_downs.of("first").unwrap().until;
    assert!(in_outage.len() > CALLERS);
    for served in &in_outage {
        assert!(
            served.by == "second" && served.took < PROMPTLY,
            "{served:?}"
        );
    }
    let direct = in_outage.iter().filter(|served| served.attempts == 1);
    assert!(direct.count() >= in_outage.len() - 5);

    let wait = until.saturating_duration_since(Instant::now()) + PROMPTLY;
    let back = |served: &Served| served.by == "first";
    assert!(holds(wait, || traffic.so_far().iter().any(back)).await);
    // What came first was answered.
    let log = first.requests("first");
    assert_eq!(log[0].status, Some(200));
    traffic.end().await;
}
