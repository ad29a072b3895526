//! What to do about a failed attempt.

use crate::{timeout::Clock, transport::Delivery};
use backstay_dialect::{Action, Failure, FailureClass, Hint};
use http::{HeaderMap, StatusCode};
use std::{error::Error as StdError, fmt};
use tokio::time::Duration;

/// Decides what follows a failed attempt.
///
/// Whatever it says, the layer keeps its promises: no retry after commit, none of a body that cannot be
/// replayed, no wait that does not fit the deadline, no more retries than the target has and the budget
/// gives.
///
/// ```
/// use backstay::fallback::{Cause, Decision, DefaultPolicy, Failed, Policy};
///
/// /// Gives a cut stream no second chance.
/// #[derive(Debug)]
/// struct NoSecondChance;
///
/// impl Policy for NoSecondChance {
///     fn decide(&self, failed: &Failed<'_>) -> Decision {
///         match failed.cause {
///             Cause::Truncated => Decision::Stop,
///             _ => DefaultPolicy.decide(failed),
///         }
///     }
/// }
/// ```
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// Called once for each failed attempt.
    fn decide(&self, failed: &Failed<'_>) -> Decision;

    /// Whether it wants to be asked about answers that the provider withheld, as [`Cause::Refused`]. Asked
    /// once, when the fallback is built. If so, each unary answer is read, which costs about what parsing it
    /// costs.
    fn minds_refusals(&self) -> bool {
        false
    }
}

/// A failed attempt, as a policy sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failed<'a> {
    /// The number of the attempt in its call, from 1.
    pub attempt: u32,
    /// The name of the target.
    pub target: &'a str,
    /// What went wrong.
    pub cause: Cause<'a>,
    /// The request may have been processed, and billed.
    pub uncertain: bool,
    /// How often the target may still be retried.
    pub retries_left: u32,
    /// How many targets have not been tried.
    pub targets_left: usize,
    /// Time to the deadline.
    pub time_left: Duration,
}

/// What went wrong with an attempt.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// The answer's status.
    #[non_exhaustive]
    Status {
        /// The status.
        status: StatusCode,
        /// The headers.
        headers: &'a HeaderMap,
        /// The body, up to a bound. Providers echo the input here.
        body: &'a [u8],
        /// What the dialect makes of them.
        failure: &'a Failure,
    },
    /// A 2xx answer carried an error.
    InBand(&'a Failure),
    /// A clock ran out.
    Clock(Clock),
    /// The body ended without end evidence.
    Truncated,
    /// The body ended without output.
    Empty,
    /// The provider withheld the answer: a refusal, a content filter. The answer is whole otherwise: after
    /// [`Decision::Stop`] it is let through as it is. Asked only of an answer that is still held.
    Refused,
    /// Sending or receiving failed.
    Transport(&'a (dyn StdError + Send + Sync + 'static)),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The same target again, after a wait. When that is not possible, the next target.
    Retry(Pause),
    /// The next target, at once.
    Skip,
    /// The next target that declares a larger [context window](super::Target::context_window) than this one,
    /// at once. When there is none, no further attempt.
    LargerWindow,
    /// No further attempt.
    Stop,
}

/// How long to wait before a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pause {
    /// What the server asked for, else the back-off.
    Auto,
    /// This long, or as long as the server asked for if that is longer.
    AtLeast(Duration),
}

/// Takes the dialect's word for answers; after a timeout goes to another target, if there is one; repeats
/// what did not arrive.
///
/// `x-should-retry` overrides the dialect both ways, but for a quota that is used up: that is never tried twice
/// at the same target. A context that is too long, a content policy and a refusal are final; the
/// [recipes](super::recipes) know other ways.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultPolicy;

// === impl Cause ===

impl Cause<'_> {
    /// What the server asked for.
    pub(super) fn hint(&self) -> Hint {
        match self {
            Self::Status { failure, .. } | Self::InBand(failure) => failure.hint,
            _ => Hint::default(),
        }
    }

    /// The least that a wait of one's own choosing should be.
    pub(super) fn least_wait(&self) -> Duration {
        match self {
            Self::Status { failure, .. } | Self::InBand(failure) => failure.least_wait(),
            _ => Duration::ZERO,
        }
    }
}

/// Prints no bytes of the answer.
impl fmt::Debug for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status {
                status, failure, ..
            } => f
                .debug_struct("Status")
                .field("status", status)
                .field("failure", failure)
                .finish_non_exhaustive(),
            Self::InBand(failure) => f.debug_tuple("InBand").field(failure).finish(),
            Self::Clock(clock) => f.debug_tuple("Clock").field(clock).finish(),
            Self::Truncated => f.write_str("Truncated"),
            Self::Empty => f.write_str("Empty"),
            Self::Refused => f.write_str("Refused"),
            Self::Transport(error) => f.debug_tuple("Transport").field(error).finish(),
        }
    }
}

// === impl DefaultPolicy ===

impl Policy for DefaultPolicy {
    fn decide(&self, failed: &Failed<'_>) -> Decision {
        match &failed.cause {
            Cause::Status { failure, .. } | Cause::InBand(failure) => {
                match (failure.hint.should_retry, failure.class.action()) {
                    (Some(true), _) if failure.class == FailureClass::Quota => Decision::Skip,
                    (Some(true), _) | (None, Action::Retry) => Decision::Retry(Pause::Auto),
                    (Some(false), Action::Retry) | (_, Action::Skip) => Decision::Skip,
                    (_, Action::Stop) => Decision::Stop,
                }
            }
            Cause::Refused => Decision::Stop,
            // It would be refused again.
            Cause::Transport(error) if Delivery::of(*error) == Delivery::Refused => Decision::Skip,
            // A target that was silent once is likely to be silent again.
            Cause::Clock(_) if failed.targets_left > 0 => Decision::Skip,
            Cause::Clock(_) | Cause::Truncated | Cause::Empty | Cause::Transport(_) => {
                Decision::Retry(Pause::Auto)
            }
        }
    }
}
