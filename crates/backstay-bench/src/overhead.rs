//! `overhead`: time and allocations per call and per frame, backstay and its peers in turns.

use crate::{
    case::Case,
    counting::{self, Allocated},
    row::Row,
    stacks,
    subject::Subject,
    timing::median,
};
use std::time::Duration;
use tokio::time::Instant;
use tower::BoxError;

/// How to measure, and what to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One JSON object per figure instead of tables
    #[arg(long)]
    json: bool,
    /// How often each subject has its turn
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Only these cases
    #[arg(long)]
    case: Vec<Case>,
    /// Only this subject, and the bare upstream
    #[arg(long)]
    subject: Option<String>,
    /// The backstay stack as it grows, from the inside, instead of the peers
    #[arg(long)]
    layers: bool,
    /// Keep a far timer in the runtime, as a server has many: then no stack is charged for the first
    #[arg(long)]
    far_timer: bool,
}

/// What was measured of one subject in one case; times in nanoseconds.
#[derive(Debug)]
struct Figures {
    subject: &'static str,
    median: f64,
    min: f64,
    /// The median of the differences to the bare upstream, each taken within a round.
    added: f64,
    allocated: Option<Allocated>,
}

/// Long enough for the clock, short enough that the machine changes little within a round.
const CALLS_PER_TURN: u32 = 1000;
const FRAMES: usize = 10_000;
/// Frames of the shorter body when allocations per frame are counted.
const FEW_FRAMES: usize = 1000;

pub(crate) fn run(options: &Options) -> Result<(), BoxError> {
    let cases = Case::ALL
        .into_iter()
        .filter(|case| options.case.is_empty() || options.case.contains(case));
    for case in cases {
        let figures = measure(case, options)?;
        if options.json {
            print_json(case, &figures)?;
        } else {
            print_table(case, &figures);
        }
    }
    Ok(())
}

fn measure(case: Case, options: &Options) -> Result<Vec<Figures>, BoxError> {
    let runtime = stacks::runtime(options.far_timer)?;
    let chosen = |subject: &Subject| {
        let name = subject.name();
        name == stacks::BARE || options.subject.as_deref().is_none_or(|only| only == name)
    };
    let build = |frames| -> Result<Vec<Subject>, BoxError> {
        let mut subjects = if options.layers {
            stacks::layer_by_layer(&runtime, case, frames)?
        } else {
            stacks::all(&runtime, case, frames)?
        };
        subjects.retain(chosen);
        Ok(subjects)
    };
    let mut subjects = build(FRAMES)?;
    let times = time(case, &mut subjects, options.rounds.max(1))?;
    let allocated = match counting::ENABLED {
        true => count(case, &mut subjects, build)?
            .into_iter()
            .map(Some)
            .collect(),
        false => vec![None; subjects.len()],
    };
    let bare = times.first().cloned().unwrap_or_default();
    Ok(subjects
        .iter()
        .zip(times)
        .zip(allocated)
        .map(|((subject, times), allocated)| Figures {
            subject: subject.name(),
            added: median(times.iter().zip(&bare).map(|(own, bare)| own - bare)),
            min: times.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(times),
            allocated,
        })
        .collect())
}

/// Nanoseconds per call or frame of each subject in each round. The subjects take turns, and who begins
/// changes from round to round.
fn time(case: Case, subjects: &mut [Subject], rounds: u32) -> Result<Vec<Vec<f64>>, BoxError> {
    let (calls, per_turn) = if case.is_long() {
        (1, u32::try_from(FRAMES)?)
    } else {
        (CALLS_PER_TURN, CALLS_PER_TURN)
    };
    for subject in &mut *subjects {
        subject.run(calls)?;
    }
    let mut times = vec![Vec::with_capacity(rounds as usize); subjects.len()];
    let count = subjects.len();
    for round in 0..rounds as usize {
        for turn in 0..count {
            let at = (round + turn) % count;
            let start = Instant::now();
            subjects[at].run(calls)?;
            let took = Instant::now().saturating_duration_since(start);
            times[at].push(nanoseconds(took) / f64::from(per_turn));
        }
    }
    Ok(times)
}

/// Allocations of each subject, per call or frame.
fn count(
    case: Case,
    subjects: &mut [Subject],
    build: impl Fn(usize) -> Result<Vec<Subject>, BoxError>,
) -> Result<Vec<Allocated>, BoxError> {
    if !case.is_long() {
        return subjects.iter_mut().map(counting::per_call).collect();
    }
    let mut shorter = build(FEW_FRAMES)?;
    subjects
        .iter_mut()
        .zip(&mut shorter)
        .map(|(long, short)| counting::per_frame(short, long, FRAMES - FEW_FRAMES))
        .collect()
}

/// The allocations of every subject in a case, by name.
pub(crate) fn allocations(case: Case) -> Result<Vec<(&'static str, Allocated)>, BoxError> {
    let runtime = stacks::runtime(false)?;
    let build = |frames| stacks::all(&runtime, case, frames);
    let mut subjects = build(FRAMES)?;
    let counts = count(case, &mut subjects, build)?;
    Ok(subjects.iter().map(Subject::name).zip(counts).collect())
}

fn print_json(case: Case, figures: &[Figures]) -> Result<(), BoxError> {
    let per = case.per();
    for of in figures {
        let times = [
            ("ns", of.median),
            ("min-ns", of.min),
            ("added-ns", of.added),
        ];
        let allocated = of
            .allocated
            .map(|allocated| [("allocs", allocated.count), ("bytes", allocated.bytes)]);
        for (what, value) in times.into_iter().chain(allocated.into_iter().flatten()) {
            Row {
                bench: "overhead",
                case: case.name(),
                subject: of.subject,
                unit: &format!("{what}/{per}"),
                value,
            }
            .print()?;
        }
    }
    Ok(())
}

fn print_table(case: Case, figures: &[Figures]) {
    let per = case.per();
    println!("{} (per {per})", case.name());
    println!(
        "  {:<18} {:>10} {:>10} {:>10} {:>8} {:>10}",
        "subject", "median ns", "min ns", "added ns", "allocs", "bytes"
    );
    for of in figures {
        let (count, bytes) = match of.allocated {
            Some(Allocated { count, bytes }) => (format!("{count:.2}"), format!("{bytes:.0}")),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!(
            "  {:<18} {:>10.1} {:>10.1} {:>10.1} {count:>8} {bytes:>10}",
            of.subject, of.median, of.min, of.added
        );
    }
    let added = |name| {
        let of = figures.iter().find(|of| of.subject == name);
        of.map(|of| of.added)
    };
    if let (Some(own), Some(peer)) = (added(stacks::BACKSTAY), added(stacks::TOWER_HTTP)) {
        let ratio = own / peer;
        println!(
            "  added by backstay / by {}: {ratio:.2}",
            stacks::TOWER_HTTP
        );
    }
    println!();
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}
