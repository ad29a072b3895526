//! The subjects: each the best idiomatic form of its stack.
//!
//! The limits are the same where two stacks have the same one. None is reached.

mod backstay;
mod bare;
mod tower;
mod tower_http;
mod tower_resilience;

use crate::{case::Case, subject::Subject};
use ::tower::BoxError;
use std::{rc::Rc, time::Duration};
use tokio::runtime::{Builder, Runtime};

pub(crate) const BARE: &str = "bare";
pub(crate) const TOWER_HTTP: &str = "tower+tower-http";
pub(crate) const BACKSTAY: &str = "backstay";

/// The whole call.
const CALL: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(5);
/// An attempt, to its response head.
const HEADERS: Duration = Duration::from_secs(15);
const FIRST_TOKEN: Duration = Duration::from_secs(15);
/// Between two frames, or two semantic events.
const IDLE: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(500);

/// Longer than any run.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// The runtime of all subjects of a run: one thread, real time, and the driver of I/O that every program with an
/// HTTP client has. A new timer wakes that driver with a system call, unless an earlier one is set; without it, whoever
/// sets timers would look cheaper than anywhere else.
///
/// With a far timer it has something to look after whatever the subject does, as the runtime of a server
/// has: else the driver's own reading of the clock is charged to the first stack with a timer.
pub(crate) fn runtime(far_timer: bool) -> Result<Rc<Runtime>, BoxError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if far_timer {
        runtime.spawn(async { tokio::time::sleep(FAR).await });
    }
    Ok(Rc::new(runtime))
}

/// Every stack around the upstream of a case.
pub(crate) fn all(
    runtime: &Rc<Runtime>,
    case: Case,
    frames: usize,
) -> Result<Vec<Subject>, BoxError> {
    let prompt = case.prompt();
    let upstream = case.upstream(frames);
    Ok(vec![
        bare::subject(runtime, &prompt, upstream.clone()),
        tower::subject(runtime, &prompt, upstream.clone()),
        tower_http::subject(runtime, &prompt, upstream.clone()),
        tower_resilience::subject(runtime, &prompt, upstream.clone()),
        backstay::subject(runtime, &prompt, upstream)?,
    ])
}

/// The bare upstream, and the backstay stack as it grows by one layer at a time, from the inside.
pub(crate) fn layer_by_layer(
    runtime: &Rc<Runtime>,
    case: Case,
    frames: usize,
) -> Result<Vec<Subject>, BoxError> {
    let prompt = case.prompt();
    let upstream = case.upstream(frames);
    let mut subjects = vec![bare::subject(runtime, &prompt, upstream.clone())];
    subjects.extend(backstay::layer_by_layer(runtime, &prompt, &upstream)?);
    Ok(subjects)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack that took an answer for truncated, or lost its end, would fail the call or hang.
    #[test]
    fn every_stack_reads_every_answer_to_its_end() {
        let runtime = runtime(false).unwrap();
        for case in Case::ALL {
            let mut subjects = all(&runtime, case, 200).unwrap();
            subjects.extend(layer_by_layer(&runtime, case, 200).unwrap());
            for subject in &mut subjects {
                let read = subject.run(3);
                assert!(read.is_ok(), "{subject:?} in {case:?}: {read:?}");
            }
        }
    }
}
