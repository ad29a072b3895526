//! `check`: fails if the backstay stack allocates more than it may.
//!
//! Only counts are held against it: the same on every machine, while times are not.

use crate::{
    case::Case,
    counting::Allocated,
    overhead,
    stacks::{BACKSTAY, BARE},
};
use std::process::ExitCode;
use tower::BoxError;

/// How many allocations the stack may add to a call that is ready at once.
const READY: f64 = 8.0;
/// The same for a call that waits: two timers more.
const PENDING_ONCE: f64 = 10.0;
/// A frame costs none.
const FRAME: f64 = 0.0;
/// Fractions below this come from what happens once in many calls.
const SLACK: f64 = 0.005;

pub(crate) fn run() -> Result<ExitCode, BoxError> {
    let mut kept = true;
    for case in Case::ALL {
        let bar = match case {
            Case::Ready => READY,
            Case::PendingOnce => PENDING_ONCE,
            Case::FrameReady
            | Case::FramePending
            | Case::FrameParked
            | Case::SseFrameReady
            | Case::SseFramePending => FRAME,
        };
        let counts = overhead::allocations(case)?;
        let added = count_of(&counts, BACKSTAY)? - count_of(&counts, BARE)?;
        let verdict = if added <= bar + SLACK {
            "ok"
        } else {
            "TOO MANY"
        };
        kept &= added <= bar + SLACK;
        println!(
            "{:<18} {added:>6.2} allocations added per {}, {bar} allowed: {verdict}",
            case.name(),
            case.per()
        );
    }
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn count_of(counts: &[(&'static str, Allocated)], name: &str) -> Result<f64, BoxError> {
    counts
        .iter()
        .find(|(subject, _)| *subject == name)
        .map(|(_, allocated)| allocated.count)
        .ok_or_else(|| format!("{name} was not measured").into())
}
