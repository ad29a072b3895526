//! What a person reads.

use super::{Cancellation, Error, ErrorKind, RequestProblem};
use crate::{group::GroupError, timeout::Clock};
use std::{error::Error as _, fmt};
use tokio::time::Duration;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Line(self))?;
        // One line, so that a chain of sources can be printed behind it. `{:#}` adds the trail, and the
        // sources of what has left a scope.
        if !f.alternate() {
            return match self.kind() {
                ErrorKind::Failed => f.write_str(": its source says why; `{:#}` prints it"),
                _ => Ok(()),
            };
        }
        if self.scope().is_some() {
            sources(self, f)?;
        }
        match self.trail() {
            Some(trail) if !trail.is_empty() => write!(f, "\n{trail}"),
            _ => Ok(()),
        }
    }
}

/// All of the one line but where the sources are.
pub(super) struct Line<'a>(pub(super) &'a Error);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        if let Some(scope) = error.scope() {
            write!(f, "{scope}: ")?;
        }
        what(error, f)?;
        if let Some(target) = error.target() {
            write!(f, " at target {target}")?;
        }
        if let (Some(phase), false) = (error.phase(), is_request(error)) {
            write!(f, " in phase {phase}")?;
        }
        if let (Some(elapsed), Some(_), _) | (Some(elapsed), _, Some(_)) =
            (error.elapsed(), error.phase(), error.scope())
        {
            write!(f, " after {}", Seconds(elapsed))?;
        }
        let group = error.source().and_then(|source| source.downcast_ref());
        if let Some(failures) = group.map(|group: &GroupError| group.failures().len())
            && failures > 1
        {
            write!(f, ", one of {failures} failures")?;
        }
        if !error.labels().is_empty() {
            write!(f, " [{}]", error.labels())?;
        }
        if let Some(remedy) = remedy(error.kind()) {
            write!(f, ": {remedy}")?;
        }
        Ok(())
    }
}

/// What happened.
pub(super) struct What<'a>(pub(super) &'a Error);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        what(self.0, f)
    }
}

fn sources(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(group) = source.downcast_ref::<GroupError>() {
            // It prints its own sources.
            return write!(f, "\ncaused by: {group:#}");
        }
        write!(f, "\ncaused by: {source}")?;
        next = source.source();
    }
    Ok(())
}

fn what(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error.kind() {
        ErrorKind::Deadline => match error.limit() {
            Some(limit) => write!(f, "deadline passed (budget {})", Seconds(limit)),
            None => f.write_str("deadline passed"),
        },
        ErrorKind::Timeout(clock) => match error.limit() {
            Some(limit) => write!(f, "{clock} timed out (limit {})", Seconds(limit)),
            None => write!(f, "{clock} timed out"),
        },
        ErrorKind::Cancelled(Cancellation::Dropped) => f.write_str("cancelled: the caller left"),
        ErrorKind::Cancelled(Cancellation::Token) => f.write_str("cancelled by its token"),
        ErrorKind::Cancelled(Cancellation::Shutdown) => {
            f.write_str("cancelled: shutting down, and the grace period was over")
        }
        ErrorKind::Cancelled(Cancellation::Scope) => {
            f.write_str("cancelled: the scope around ended first")
        }
        ErrorKind::Truncated => f.write_str("the answer was truncated"),
        ErrorKind::Empty => f.write_str("the answer was empty"),
        ErrorKind::InBand(class) => {
            write!(f, "the answer carried an error ({})", class.as_str())
        }
        ErrorKind::Refused => f.write_str("the provider withheld the answer"),
        ErrorKind::Status(status) => write!(f, "upstream answered {status}"),
        ErrorKind::Transport => f.write_str("sending or receiving failed"),
        ErrorKind::Request(problem) => f.write_str(problem.as_str()),
        ErrorKind::Panicked => f.write_str("panicked"),
        ErrorKind::Failed => f.write_str("failed"),
        ErrorKind::Draining => f.write_str("refused: shutting down"),
    }
}

fn is_request(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Request(_))
}

fn remedy(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Deadline => {
            "raise the budget, or shorten the clocks so that a fallback has time"
        }
        ErrorKind::Timeout(Clock::Connect) => {
            "check the authority and the network, or raise `Timeouts::connect`"
        }
        ErrorKind::Timeout(Clock::Headers) => {
            "raise `Timeouts::headers` (for a unary call it spans the whole generation), or add a target"
        }
        ErrorKind::Timeout(Clock::FirstToken) => {
            "raise `Timeouts::first_token` (reasoning models are silent for long), or add a faster target"
        }
        ErrorKind::Timeout(Clock::FirstContent) => {
            "raise `Timeouts::first_content` (reasoning does not stop it), or ask for less reasoning"
        }
        ErrorKind::Timeout(Clock::Idle) => {
            "raise `Timeouts::idle`, or hold the answer to its end so that a stall falls over"
        }
        ErrorKind::Timeout(Clock::Liveness) => "raise `Timeouts::liveness`",
        ErrorKind::Timeout(Clock::Attempt) => {
            "raise `Timeouts::attempt`, or the reserve left to other targets is too large"
        }
        ErrorKind::Truncated | ErrorKind::Empty => {
            "the upstream closed early; hold the answer to its end (`Commit::End`) to fall over on this"
        }
        ErrorKind::Request(problem) => problem.remedy(),
        ErrorKind::Panicked => "the panic's own message tells where; it is a defect of that code",
        ErrorKind::Draining => "nothing was sent: send it to another instance",
        ErrorKind::Cancelled(_)
        | ErrorKind::InBand(_)
        | ErrorKind::Refused
        | ErrorKind::Status(_)
        | ErrorKind::Transport
        | ErrorKind::Failed => return None,
    })
}

// === impl RequestProblem ===

impl RequestProblem {
    /// What is wrong, for a person.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "the request body is not a JSON object",
            Self::NoModel => "the request body names no model",
            Self::SecondModel => "the request body names two models",
            Self::ModelNotAString => "the model in the request body is not a string",
            Self::ModelInOtherCase => "the request body has a `model` in another case",
            Self::NoModelInPath => "the path of the request names no model",
            Self::Malformed => "the JSON of the request body is broken",
            Self::TooLarge => "the request body is over the replay limit",
            Self::Encoded => "the request body is encoded",
            Self::Unreadable => "the request body failed while it was read",
            Self::Uri => "the URI cannot be called",
            Self::Plaintext => "the call came with https and the target's origin is http",
            Self::ZeroDuration => "a clock in the request's extensions is zero",
            Self::ModelInPath => "the name of the model cannot stand in the path",
            Self::Dialect => "the target speaks another dialect than the call",
            Self::Unsigned => "the target's signature could not be made",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::NotAnObject | Self::Malformed => {
                "send the JSON object that the API asks for, or use targets of the plain dialect"
            }
            Self::NoModel => "put a top-level `model` into it, or use targets of the plain dialect",
            Self::SecondModel => "keep one top-level `model`",
            Self::ModelNotAString => "make the top-level `model` a string",
            Self::ModelInOtherCase => "write the top-level `model` in lower case, or leave it out",
            Self::NoModelInPath => {
                "call a path of the API that names a model, or use plain targets"
            }
            Self::TooLarge => {
                "raise `Targets::replay_limit`, or use a target that keeps the request as it is"
            }
            Self::Encoded => {
                "send it without `content-encoding`, or use a target that keeps the model"
            }
            Self::Unreadable => "see the source",
            Self::Uri => "give the request an absolute URI, or the target an origin",
            Self::Plaintext => "give the target an https origin, or say `Target::allow_plaintext`",
            Self::ModelInPath => {
                "name a model that is not empty and has no part that is `.` or `..`"
            }
            Self::Dialect => {
                "use targets of one dialect family; many providers offer an OpenAI-shaped endpoint too"
            }
            Self::Unsigned => "see the source; the target's signer said so",
            Self::ZeroDuration => "use a longer limit, or `Duration::MAX` for never",
        }
    }
}

/// Seconds with as many digits as matter to a person.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 1.0 {
            write!(f, "{:.0} ms", seconds * 1000.0)
        } else {
            write!(f, "{seconds:.1} s")
        }
    }
}
