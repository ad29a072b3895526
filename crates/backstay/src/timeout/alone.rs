//! The attempt of a call that has no fallback layer outside.

use crate::{
    call::{Call, Moment, Over},
    error::{Error, ErrorKind},
    trail::Outcome,
};
use std::error::Error as StdError;
use tokio::time::Instant;

/// Writes how the attempt ended, for nobody else does. Dropped before the end, it was cancelled.
#[derive(Debug)]
pub(super) struct Alone(Option<Call>);

// === impl Alone ===

impl Alone {
    pub(super) fn new(call: Call) -> Self {
        Self(Some(call))
    }

    pub(super) fn complete(mut self) {
        if let Some(call) = self.0.take() {
            call.mark(Moment::Complete, Instant::now());
        }
    }

    pub(super) fn failed(mut self, error: &(dyn StdError + 'static)) {
        let outcome = match Error::find(error).map(Error::kind) {
            Some(ErrorKind::Timeout(clock)) => Outcome::Timeout(clock),
            Some(ErrorKind::Cancelled(_)) => Outcome::Cancelled,
            Some(ErrorKind::Deadline) => Outcome::Deadline,
            _ => Outcome::Transport,
        };
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(call) = self.0.take() {
            let at = call.since_start(Instant::now());
            call.with_attempt(|attempt| attempt.end(outcome, at));
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let outcome = match self.0.as_ref().and_then(Call::over) {
            Some(Over::Deadline) => Outcome::Deadline,
            _ => Outcome::Cancelled,
        };
        self.end(outcome);
    }
}
