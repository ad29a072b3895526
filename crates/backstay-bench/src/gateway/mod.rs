//! `gateway`: what a hop through the gateway adds, beside any proxy that is given by its URL.
//!
//! The contenders take turns within each round, so that a busy machine is equally unkind to each; the
//! order changes from round to round. All speak to the same mock, through the same bare-socket caller.

mod caller;
mod programs;
mod rehearsal;

pub(crate) use self::rehearsal::{Options as Rehearsal, run as rehearse};

use self::{
    caller::{Caller, Place},
    programs::{Program, resident},
};
use crate::{row::Row, timing::median};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::BoxError;

/// How to measure, and what beside the gateway.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A proxy in front of the mock, as NAME=http://HOST:PORT; may be repeated
    #[arg(long)]
    proxy: Vec<Proxy>,
    /// What stands before the names of models at a proxy, as NAME=PREFIX
    #[arg(long)]
    prefix: Vec<String>,
    /// A header that a proxy wants, as NAME=LINE; may be repeated
    #[arg(long)]
    header: Vec<String>,
    /// Calls of one turn for a proxy that is too slow for as many as the others, as NAME=CALLS
    #[arg(long)]
    fewer: Vec<String>,
    /// Where the mock listens, which the proxies point to
    #[arg(long, default_value = "127.0.0.1:18000")]
    upstream: String,
    /// How often each contender has its turn
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Calls of one turn
    #[arg(long, default_value_t = 500)]
    calls: usize,
    /// Streams that are open together when memory is read
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// The folder of `backstay-gateway` and `backstay-mock`; the one of this program unless given
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Threads of the gateway
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// A contender: its name, and where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    name: String,
    place: Place,
}

/// What is asked, over how many connections.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    body: &'static str,
    connections: usize,
}

/// What came of a call that takes long.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    took: Duration,
    /// `None` where nothing came that could be read.
    status: Option<u16>,
    /// A stream's end marker was there.
    whole: bool,
}

const UNARY: &str = r#"{"model":"steady","messages":[{"role":"user","content":"hello"}]}"#;
const STREAM: &str =
    r#"{"model":"eight","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
const LATE: &str =
    r#"{"model":"slow-headers@9000","messages":[{"role":"user","content":"hello"}]}"#;
const LONG: &str =
    r#"{"model":"twenty","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

const CASES: [Case; 3] = [
    Case {
        name: "unary at 1",
        body: UNARY,
        connections: 1,
    },
    Case {
        name: "unary at 16",
        body: UNARY,
        connections: 16,
    },
    Case {
        name: "8-chunk streams at 4",
        body: STREAM,
        connections: 4,
    },
];

/// The budget of the calls whose upstream answers after 9 s, and the clock of the first token of long streams.
const BUDGET: Duration = Duration::from_secs(2);
/// Nothing takes longer.
const HANGS: Duration = Duration::from_secs(60);

/// Eight tokens for the streams, and twenty-one with a second between each two.
const SCRIPT: &str = r#"{"models":{
    "eight":[{"tokens":["a","b","c","d","e","f","g","h"],"times":1}],
    "twenty":[{"tokens":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q","r","s","t","u"],
        "delay_between_tokens_ms":1000,"times":1}]
}}"#;

pub(crate) fn run(options: &Options) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<(), BoxError> {
    let folder = match &options.programs {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?
            .parent()
            .ok_or("this program is in no folder")?
            .to_owned(),
    };
    let mock = Program::mock(&folder, &options.upstream, SCRIPT)?;
    let text = configuration(&mock.place);
    let gateway = Program::gateway(&folder, &text, options.threads)?;
    let direct = contender("direct", &mock.place);
    let ours = contender("backstay", &gateway.place);
    let all: Vec<Proxy> = [direct, ours]
        .into_iter()
        .chain(options.proxy.iter().map(|proxy| proxy.told(options)))
        .collect();
    for case in CASES {
        latencies(case, &all, options).await?;
    }
    let proxies = || all.iter().filter(|proxy| proxy.name != "direct");
    for (proxy, late) in proxies().zip(asked(proxies(), LATE).await) {
        let print = |unit, value| print("2 s budget, upstream after 9 s", &proxy.name, unit, value);
        print("s", late.took.as_secs_f64())?;
        print("status", late.status.map_or(f64::NAN, f64::from))?;
    }
    for (proxy, long) in proxies().zip(asked(proxies(), LONG).await) {
        let print = |unit, value| {
            print(
                "2 s for the first token, stream of 20 s",
                &proxy.name,
                unit,
                value,
            )
        };
        print("s", long.took.as_secs_f64())?;
        print("whole", f64::from(u8::from(long.whole)))?;
    }
    let resident = memory(&gateway, options.streams).await?;
    print("resident per open stream", "backstay", "KiB", resident)?;
    Ok(())
}

fn contender(name: &str, place: &Place) -> Proxy {
    Proxy {
        name: name.to_owned(),
        place: place.clone(),
    }
}

/// One call at each place, all at once: none is disturbed, as each waits.
async fn asked(proxies: impl Iterator<Item = &Proxy>, body: &'static str) -> Vec<Asked> {
    let calls: Vec<_> = proxies
        .map(|proxy| {
            let place = proxy.place.clone();
            tokio::spawn(async move {
                let began = Instant::now();
                let read = timeout(HANGS, place.once(body)).await;
                let (status, whole) = read.ok().and_then(Result::ok).unwrap_or_default();
                Asked {
                    took: Instant::now().saturating_duration_since(began),
                    status,
                    whole,
                }
            })
        })
        .collect();
    let mut all = Vec::with_capacity(calls.len());
    for call in calls {
        all.push(call.await.unwrap_or_default());
    }
    all
}

async fn latencies(case: Case, all: &[Proxy], options: &Options) -> Result<(), BoxError> {
    // Of each contender in each round.
    let mut p50s: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
    let mut p99s = p50s.clone();
    // The first round warms up connections, pools and caches.
    for round in 0..=options.rounds {
        for turn in 0..all.len() {
            let at = (round + turn) % all.len();
            let (place, calls) = (&all[at].place, all[at].calls(options));
            let mut times = a_turn(case.body, case.connections, 200, place, calls).await?;
            times.sort_unstable();
            if round > 0 {
                p50s[at].push(micros(&times, 0.50));
                p99s[at].push(micros(&times, 0.99));
            }
        }
    }
    // What else the machine does changes from round to round: differences are taken within one.
    let added = |at: usize| {
        let pairs = p50s[at].iter().zip(&p50s[0]);
        median(pairs.map(|(through, direct)| through - direct))
    };
    for (at, proxy) in all.iter().enumerate() {
        for (unit, value) in [
            ("us p50", median(p50s[at].iter().copied())),
            ("us p99", median(p99s[at].iter().copied())),
            ("us added p50", added(at)),
        ] {
            print(case.name, &proxy.name, unit, value)?;
        }
    }
    Ok(())
}

/// So many calls, spread over the connections.
async fn a_turn(
    body: &str,
    connections: usize,
    expected: u16,
    place: &Place,
    calls: usize,
) -> Result<Vec<Duration>, BoxError> {
    let body: Arc<str> = body.into();
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        let (place, body) = (place.clone(), Arc::clone(&body));
        callers.spawn(async move {
            let mut caller = Caller::connect(&place).await?;
            let mut times = Vec::with_capacity(calls / connections);
            for _ in 0..calls / connections {
                let began = Instant::now();
                let status = caller.call(&body).await?;
                if status != expected {
                    return Err(format!("{place} answered {status}").into());
                }
                times.push(Instant::now().saturating_duration_since(began));
            }
            Ok::<_, BoxError>(times)
        });
    }
    let mut all = Vec::with_capacity(calls);
    while let Some(times) = timeout(HANGS, callers.join_next()).await? {
        all.extend(times??);
    }
    Ok(all)
}

/// Kibibytes of resident memory for each of many streams with a prompt of 1 KiB.
async fn memory(gateway: &Program, streams: usize) -> Result<f64, BoxError> {
    let prompt = "x".repeat(1024);
    let body = format!(
        r#"{{"model":"slow-tokens@30000","stream":true,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    let before = resident(gateway.id())?;
    let mut open = Vec::with_capacity(streams);
    for _ in 0..streams {
        let mut caller = Caller::connect(&gateway.place).await?;
        caller.send(&body).await?;
        open.push(caller);
    }
    for caller in &mut open {
        timeout(HANGS, caller.until_token()).await??;
    }
    sleep(Duration::from_secs(1)).await;
    let after = resident(gateway.id())?;
    Ok(after.saturating_sub(before) as f64 / streams as f64)
}

fn configuration(mock: &Place) -> String {
    format!(
        r#"
[[listeners]]
address = "127.0.0.1:0"
[[targets]]
name = "mock"
dialect = "openai"
base_url = "http://{mock}/v1"
[[routes]]
models = ["steady", "eight", "slow-tokens@30000"]
targets = ["mock"]
[[routes]]
model = "slow-headers@9000"
targets = ["mock"]
budget = "{budget}s"
[[routes]]
model = "twenty"
targets = ["mock"]
clocks.stream.first_token = "{budget}s"
[upstream]
proxy = "none"
"#,
        budget = BUDGET.as_secs()
    )
}

fn micros(sorted: &[Duration], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    let found = sorted.get(at.min(sorted.len().saturating_sub(1)));
    found.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

fn print(case: &str, subject: &str, unit: &str, value: f64) -> serde_json::Result<()> {
    Row {
        bench: "gateway",
        case,
        subject,
        unit,
        value,
    }
    .print()
}

// === impl Proxy ===

impl Proxy {
    /// With what it has to be told beside its URL.
    fn told(&self, options: &Options) -> Self {
        let of = |texts: &'_ [String]| -> Vec<String> {
            let texts = texts.iter().filter_map(|text| text.split_once('='));
            let own = texts.filter(|(name, _)| *name == self.name);
            own.map(|(_, value)| value.to_owned()).collect()
        };
        let (prefix, headers) = (of(&options.prefix), of(&options.header));
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        Self {
            name: self.name.clone(),
            place: self
                .place
                .clone()
                .with(prefix.first().map_or("", String::as_str), &headers),
        }
    }

    fn calls(&self, options: &Options) -> usize {
        let named = options.fewer.iter().filter_map(|text| text.split_once('='));
        let mut own = named.filter(|(name, _)| *name == self.name);
        own.find_map(|(_, calls)| calls.parse().ok())
            .unwrap_or(options.calls)
    }
}

impl std::str::FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = text
            .split_once("=http://")
            .ok_or("write NAME=http://HOST:PORT")?;
        Ok(Self {
            name: name.to_owned(),
            place: Place::new(url.trim_end_matches('/')),
        })
    }
}
