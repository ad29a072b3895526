//! A failed attempt: what it was, and whether the request may have been processed.

use super::policy::Cause;
use crate::{
    error::{Error, ErrorKind},
    timeout::Clock,
    trail::Outcome,
    transport::Delivery,
};
use backstay_dialect::Failure;
use http::StatusCode;
use std::error::Error as StdError;

/// A failed attempt in the words of the trail.
pub(super) struct Failing<'a> {
    pub(super) outcome: Outcome,
    pub(super) uncertain: bool,
    pub(super) cause: Cause<'a>,
    /// The service itself is out of order, which a retry of it would meet again.
    pub(super) unready: bool,
}

// === impl Failing ===

impl<'a> Failing<'a> {
    /// An answer whose status says that it failed. For a call that must not happen twice, an answer of a
    /// server that may have done the work is uncertain.
    pub(super) fn status(cause: Cause<'a>, status: StatusCode, idempotent: bool) -> Self {
        let may_have_worked = matches!(status.as_u16(), 408 | 500 | 502 | 504);
        Self {
            outcome: Outcome::Status,
            uncertain: may_have_worked && !idempotent,
            cause,
            unready: false,
        }
    }

    pub(super) fn in_band(failure: &'a Failure) -> Self {
        Self {
            outcome: Outcome::InBand,
            uncertain: false,
            cause: Cause::InBand(failure),
            unready: false,
        }
    }

    pub(super) fn truncated() -> Self {
        Self {
            outcome: Outcome::Truncated,
            uncertain: true,
            cause: Cause::Truncated,
            unready: false,
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            outcome: Outcome::Empty,
            uncertain: true,
            cause: Cause::Empty,
            unready: false,
        }
    }

    pub(super) fn refused() -> Self {
        Self {
            outcome: Outcome::Refused,
            uncertain: false,
            cause: Cause::Refused,
            unready: false,
        }
    }

    /// The service cannot take a request. After an error out of `poll_ready` tower calls it dead: nothing
    /// more is asked of it.
    pub(super) fn unready(error: &'a (dyn StdError + Send + Sync + 'static)) -> Self {
        Self {
            outcome: Outcome::Transport,
            uncertain: false,
            cause: Cause::Transport(error),
            unready: true,
        }
    }

    /// The service took no request for as long as the attempt had.
    pub(super) fn not_ready_in_time(sent_before: bool) -> Self {
        Self {
            outcome: Outcome::Timeout(Clock::Attempt),
            uncertain: sent_before,
            cause: Cause::Clock(Clock::Attempt),
            unready: false,
        }
    }

    /// A clock, or what the client says. `None` for a cancellation, which is never retried, and for what
    /// is wrong with the request itself.
    pub(super) fn error(error: &'a (dyn StdError + Send + Sync + 'static)) -> Option<Self> {
        match Error::find(error).map(Error::kind) {
            Some(ErrorKind::Cancelled(_) | ErrorKind::Request(_)) => None,
            // Nothing was sent, and a drain that has begun refuses every attempt that follows.
            Some(ErrorKind::Draining) => Some(Self::unready(error)),
            Some(ErrorKind::Timeout(clock)) => Some(Self {
                outcome: Outcome::Timeout(clock),
                uncertain: clock != Clock::Connect,
                cause: Cause::Clock(clock),
                unready: false,
            }),
            // A deadline layer inside of this one bounds the attempt.
            Some(ErrorKind::Deadline) => Some(Self {
                outcome: Outcome::Timeout(Clock::Attempt),
                uncertain: true,
                cause: Cause::Clock(Clock::Attempt),
                unready: false,
            }),
            _ => Some(Self {
                outcome: Outcome::Transport,
                uncertain: Delivery::of(error).may_have_arrived(),
                cause: Cause::Transport(error),
                unready: false,
            }),
        }
    }
}
