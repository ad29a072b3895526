//! One attempt, and what was decided after it.

use crate::timeout::Clock;
use backstay_dialect::{FailureClass, Usage};
use http::StatusCode;
use std::{fmt, sync::Arc};
use tokio::time::Duration;

/// One sending of a call to one target. Times count from the start of the call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// The name of the target.
    pub target: Arc<str>,
    /// The model that was asked for, when the target names one.
    pub model: Option<Arc<str>>,
    /// When the attempt began.
    pub started: Duration,
    /// When the response head came.
    pub headers: Option<Duration>,
    /// When the first semantic event of the answer came.
    pub first_token: Option<Duration>,
    /// When the answer was let through to the caller: nothing is retried after that.
    pub committed: Option<Duration>,
    /// When the attempt ended.
    pub ended: Option<Duration>,
    /// The status of the response head.
    pub status: Option<StatusCode>,
    /// The class of the failure, when the dialect knows one.
    pub class: Option<FailureClass>,
    /// The provider's own code for the failure.
    pub code: Option<Box<str>>,
    /// The provider's id for the request, from the response headers.
    pub request_id: Option<Box<str>>,
    /// The provider's id for the answer, when its stream showed one.
    pub response_id: Option<Box<str>>,
    /// Tokens used, as far as the answer's stream said so.
    pub usage: Option<Usage>,
    /// How it ended.
    pub outcome: Outcome,
    /// The request may have been processed, and billed, although no answer came.
    pub uncertain: bool,
    /// Bytes of the answer's body that were received.
    pub bytes: u64,
    /// What was decided after a failure.
    pub next: Option<Next>,
    /// The wait that followed, as planned; a cancelled call may have left it earlier.
    pub wait: Option<Wait>,
    /// What else a reader of the trail should know.
    pub notes: Vec<Note>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// The answer came to its end, with the evidence that its dialect gives.
    Complete,
    /// The answer's status says that it failed.
    Status,
    /// A 2xx answer carried an error.
    InBand,
    /// A clock of the attempt ran out.
    Timeout(Clock),
    /// The provider withheld the answer, and the policy went elsewhere.
    Refused,
    /// The body ended without the end evidence of its dialect.
    Truncated,
    /// The body ended without any output.
    Empty,
    /// Sending or receiving failed.
    Transport,
    /// The deadline of the call passed.
    Deadline,
    /// The call was cancelled.
    Cancelled,
}

/// What was decided after an attempt failed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// The same target again.
    Retry,
    /// The next target.
    Skip(Reason),
    /// Nothing: the call ends with what it has.
    Stop(Reason),
}

/// Why an attempt was not repeated, or a target not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The policy said so.
    Policy,
    /// The retries of the target are used up.
    RetriesUsed,
    /// The wait that the retry needs does not fit the deadline, or is over the longest that is waited.
    WaitDoesNotFit,
    /// The retry budget is empty.
    BudgetEmpty,
    /// The request body cannot be sent a second time.
    NotReplayable,
    /// The request may have been processed, and retrying such is turned off.
    Uncertain,
    /// The deadline passed first.
    Deadline,
    /// Less time was left than an attempt is given at least.
    TooLittleTime,
    /// The call was cancelled first.
    Cancelled,
    /// The service below is out of order: its readiness failed.
    Unready,
    /// The request cannot be made into one for this target.
    Unsuitable,
    /// The context window of the target does not hold the request, or is no larger than one that did not.
    ContextWindow,
    /// The target cools down after what happened in other calls, and another one was left.
    CoolingDown,
}

/// A wait between two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// How long.
    pub duration: Duration,
    /// Why.
    pub reason: WaitReason,
}

/// Where the length of a wait comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// The server asked for it.
    ServerHint,
    /// Exponential back-off with full jitter.
    Backoff,
    /// The policy named it.
    Policy,
}

/// What a reader of the trail should know of an attempt beside its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The answer came encoded (`content-encoding`): it was committed at the head and not observed.
    Encoded,
    /// The connection that the attempt was given had been used before, and was lost before any byte of a
    /// response: the request was sent once more over a new one.
    Resent,
    /// The hold reached its bound in bytes, frames or time, and was committed.
    HoldBound,
    /// The consumer left after the end of the answer; the rest of the connection's data was read.
    Lingered,
}

/// A target that was passed over. One that was passed over for cooling down may have been tried later, when no
/// other was left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassedOver {
    /// The name of the target.
    pub target: Arc<str>,
    /// When that was decided.
    pub at: Duration,
    /// Why.
    pub reason: Reason,
}

// === impl Attempt ===

impl Attempt {
    pub(super) fn new(number: u32, target: Arc<str>, model: Option<Arc<str>>) -> Self {
        Self {
            number,
            target,
            model,
            started: Duration::ZERO,
            headers: None,
            first_token: None,
            committed: None,
            ended: None,
            status: None,
            class: None,
            code: None,
            request_id: None,
            response_id: None,
            usage: None,
            outcome: Outcome::Running,
            uncertain: false,
            bytes: 0,
            next: None,
            wait: None,
            notes: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Ends the attempt; the first outcome stands.
    pub(crate) fn end(&mut self, outcome: Outcome, at: Duration) {
        if self.outcome == Outcome::Running {
            self.outcome = outcome;
            self.ended = Some(at);
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {} at {}", self.number, self.target)?;
        if let Some(model) = self
            .model
            .as_deref()
            .filter(|model| *model != &*self.target)
        {
            write!(f, " ({model})")?;
        }
        write!(f, ": {}", self.outcome)?;
        if let Some(status) = self.status.filter(|_| self.outcome == Outcome::Status) {
            write!(f, " {}", status.as_u16())?;
        }
        if let Some(class) = self.class {
            write!(f, ", {}", class.as_str())?;
        }
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        if let Some(ended) = self.ended {
            write!(f, " after {:?}", ended.saturating_sub(self.started))?;
        }
        match self.next {
            Some(Next::Retry) => f.write_str("; retried")?,
            Some(Next::Skip(reason)) => write!(f, "; next target ({reason})")?,
            Some(Next::Stop(reason)) => write!(f, "; stopped ({reason})")?,
            None => {}
        }
        if let Some(wait) = self.wait {
            write!(f, " after a wait of {:?} ({})", wait.duration, wait.reason)?;
        }
        if self.uncertain {
            f.write_str("; may have been processed")?;
        }
        Ok(())
    }
}

// === impl Outcome ===

impl Outcome {
    /// The outcome in the words of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Status => "status",
            Self::InBand => "in-band error",
            Self::Timeout(clock) => match clock {
                Clock::Connect => "connect timeout",
                Clock::Headers => "headers timeout",
                Clock::FirstToken => "first_token timeout",
                Clock::FirstContent => "first_content timeout",
                Clock::Idle => "idle timeout",
                Clock::Liveness => "liveness timeout",
                Clock::Attempt => "attempt timeout",
            },
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Transport => "transport error",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Reason ===

impl Reason {
    /// The reason in the words of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::RetriesUsed => "retries used",
            Self::WaitDoesNotFit => "the wait does not fit",
            Self::BudgetEmpty => "retry budget empty",
            Self::NotReplayable => "body not replayable",
            Self::Uncertain => "may have been processed",
            Self::Deadline => "deadline passed",
            Self::TooLittleTime => "too little time left",
            Self::Cancelled => "cancelled",
            Self::Unready => "service out of order",
            Self::Unsuitable => "request unsuitable",
            Self::ContextWindow => "context window too small",
            Self::CoolingDown => "cooling down",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl WaitReason ===

impl WaitReason {
    /// The reason in the words of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerHint => "server hint",
            Self::Backoff => "back-off",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl PassedOver ===

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target {} not tried: {}", self.target, self.reason)
    }
}
