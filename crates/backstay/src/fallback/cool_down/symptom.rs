//! What a failed attempt says about its target.

use super::super::policy::Cause;
use crate::{timeout::Clock, transport::Delivery};
use backstay_dialect::{Cooling, Failure, FailureClass};
use tokio::time::Duration;

/// What a failed attempt says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Symptom {
    /// Nothing.
    None,
    /// It is to be left alone; for so long, if the server said so.
    Cooling {
        class: FailureClass,
        long: bool,
        hint: Option<Duration>,
    },
    /// A failure that counts when it repeats.
    Failure,
    /// A start that was too slow, which counts when it repeats.
    SlowStart,
}

/// What a failure has to be seen in the light of.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Circumstances {
    /// The target has credentials of its own; the caller's say nothing about it.
    pub(in super::super) own_credentials: bool,
    /// The target names the model; the caller's may never have been there.
    pub(in super::super) names_model: bool,
    /// The request brought clocks of its own, which may be too short for any target.
    pub(in super::super) own_clocks: bool,
}

// === impl Symptom ===

impl Symptom {
    pub(in super::super) fn of(cause: &Cause<'_>, seen_in: Circumstances) -> Self {
        match cause {
            Cause::Status { failure, .. } | Cause::InBand(failure) => Self::told(failure, seen_in),
            Cause::Clock(clock) => Self::clock(*clock, seen_in),
            // The client does not take such a request, wherever it goes.
            Cause::Transport(error) if Delivery::of(*error) == Delivery::Refused => Self::None,
            Cause::Truncated | Cause::Empty | Cause::Transport(_) => Self::Failure,
            Cause::Refused => Self::None,
        }
    }

    fn told(failure: &Failure, seen_in: Circumstances) -> Self {
        let hint = failure.hint.after;
        let cooling = |long| Self::Cooling {
            class: failure.class,
            long,
            hint,
        };
        match (failure.class, failure.cooling()) {
            (FailureClass::Authentication, _) if !seen_in.own_credentials => Self::None,
            (FailureClass::ModelGone, _) if !seen_in.names_model => Self::None,
            (_, Cooling::Long) => cooling(true),
            (_, Cooling::Short) => cooling(false),
            // Not earlier than it asked for, whatever went wrong.
            (FailureClass::Server | FailureClass::Timeout, _) if hint.is_some() => cooling(false),
            (FailureClass::Server | FailureClass::Timeout, _) => Self::Failure,
            _ => Self::None,
        }
    }

    pub(in super::super) fn clock(clock: Clock, seen_in: Circumstances) -> Self {
        match clock {
            // It may be the share of the deadline that was left.
            Clock::Attempt => Self::None,
            _ if seen_in.own_clocks => Self::None,
            Clock::FirstToken | Clock::FirstContent => Self::SlowStart,
            Clock::Connect | Clock::Headers | Clock::Idle | Clock::Liveness => Self::Failure,
        }
    }
}
