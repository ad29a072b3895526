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

/// The runtime of all subjects of a run: one thread, real time.
pub(crate) fn runtime() -> Result<Rc<Runtime>, BoxError> {
    Ok(Rc::new(
        Builder::new_current_thread().enable_time().build()?,
    ))
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
