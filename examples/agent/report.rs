//! What is told of a call: the object that `--json` prints, and that the waterfall draws.

use crate::cleanup::Cleanup;
use backstay::{
    BoxError, Error, ErrorKind, Trail,
    trail::{Attempt, Next, Outcome, PassedOver},
};
use serde::Serialize;
use tokio::time::Duration;

/// One call. Times are milliseconds; those of the trail count from the start of the call.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CallReport {
    pub(crate) question: String,
    /// `embed`, `search` or `answer`.
    pub(crate) step: &'static str,
    /// How it ended.
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
    /// When it began, from the start of the question.
    pub(crate) at_ms: f64,
    /// When the caller had the first text.
    pub(crate) first_token_ms: Option<f64>,
    pub(crate) total_ms: f64,
    /// The budget of all calls of the question together.
    pub(crate) budget_ms: f64,
    pub(crate) text: Option<String>,
    pub(crate) trail: Vec<AttemptReport>,
    pub(crate) not_tried: Vec<NotTried>,
    pub(crate) hook: Option<Cleanup>,
}

/// One attempt.
#[derive(Debug, Default, Serialize)]
pub(crate) struct AttemptReport {
    pub(crate) number: u32,
    pub(crate) target: String,
    pub(crate) model: Option<String>,
    pub(crate) outcome: String,
    /// The clock that ran out.
    pub(crate) clock: Option<&'static str>,
    pub(crate) status: Option<u16>,
    pub(crate) class: Option<&'static str>,
    pub(crate) code: Option<String>,
    pub(crate) start_ms: f64,
    pub(crate) headers_ms: Option<f64>,
    pub(crate) first_token_ms: Option<f64>,
    pub(crate) committed_ms: Option<f64>,
    pub(crate) end_ms: Option<f64>,
    pub(crate) bytes: u64,
    pub(crate) uncertain: bool,
    /// `retry`, `skip` or `stop`.
    pub(crate) next: Option<&'static str>,
    /// Why.
    pub(crate) reason: Option<&'static str>,
    pub(crate) wait_ms: Option<f64>,
    pub(crate) wait_reason: Option<&'static str>,
}

/// A target that was passed over.
#[derive(Debug, Default, Serialize)]
pub(crate) struct NotTried {
    pub(crate) target: String,
    pub(crate) at_ms: f64,
    pub(crate) reason: &'static str,
}

/// How a call ended for the caller.
pub(crate) enum Ending<'a> {
    Complete,
    /// The caller left.
    Left,
    Failed(&'a BoxError),
}

pub(crate) struct Timing {
    pub(crate) at: Duration,
    pub(crate) first_token: Option<Duration>,
    pub(crate) total: Duration,
    pub(crate) budget: Duration,
}

// === impl CallReport ===

impl CallReport {
    pub(crate) fn new(
        question: &str,
        step: &'static str,
        ending: &Ending<'_>,
        timing: Timing,
        trail: Option<&Trail>,
    ) -> Self {
        let attempts = trail.map(Trail::attempts).unwrap_or_default();
        let passed = trail.map(Trail::passed_over).unwrap_or_default();
        Self {
            question: question.to_owned(),
            step,
            outcome: ending.outcome(),
            error: ending.error(),
            at_ms: ms(timing.at),
            first_token_ms: timing.first_token.map(ms),
            total_ms: ms(timing.total),
            budget_ms: ms(timing.budget),
            text: None,
            trail: attempts.iter().map(AttemptReport::from).collect(),
            not_tried: passed.iter().map(NotTried::from).collect(),
            hook: None,
        }
    }

    pub(crate) fn end_ms(&self) -> f64 {
        self.at_ms + self.total_ms
    }
}

// === impl Ending ===

impl Ending<'_> {
    fn outcome(&self) -> String {
        let error = match self {
            Self::Complete => return "complete".to_owned(),
            Self::Left => return "cancelled".to_owned(),
            Self::Failed(error) => Error::find(&***error),
        };
        // Decide on the kind of an error, never on its text.
        match error.map(Error::kind) {
            Some(ErrorKind::Deadline) => "deadline".to_owned(),
            Some(ErrorKind::Timeout(clock)) => format!("{clock} timeout"),
            Some(ErrorKind::Cancelled(_)) => "cancelled".to_owned(),
            Some(ErrorKind::Truncated) => "truncated".to_owned(),
            Some(ErrorKind::Empty) => "empty".to_owned(),
            Some(ErrorKind::InBand(class)) => format!("in-band error, {class}"),
            Some(ErrorKind::Status(status)) => format!("status {}", status.as_u16()),
            Some(ErrorKind::Transport) => "transport error".to_owned(),
            Some(ErrorKind::Request(_)) => "request refused".to_owned(),
            _ => "failed".to_owned(),
        }
    }

    fn error(&self) -> Option<String> {
        match self {
            Self::Complete | Self::Left => None,
            Self::Failed(error) => Some(with_sources(error)),
        }
    }
}

// === impl AttemptReport ===

impl From<&Attempt> for AttemptReport {
    fn from(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number,
            target: attempt.target.to_string(),
            model: attempt.model.as_deref().map(str::to_owned),
            outcome: attempt.outcome.to_string(),
            clock: match attempt.outcome {
                Outcome::Timeout(clock) => Some(clock.as_str()),
                _ => None,
            },
            status: attempt.status.map(|status| status.as_u16()),
            class: attempt.class.map(|class| class.as_str()),
            code: attempt.code.as_deref().map(str::to_owned),
            start_ms: ms(attempt.started),
            headers_ms: attempt.headers.map(ms),
            first_token_ms: attempt.first_token.map(ms),
            committed_ms: attempt.committed.map(ms),
            end_ms: attempt.ended.map(ms),
            bytes: attempt.bytes,
            uncertain: attempt.uncertain,
            next: attempt.next.map(|next| match next {
                Next::Retry => "retry",
                Next::Skip(_) => "skip",
                _ => "stop",
            }),
            reason: attempt.next.and_then(|next| match next {
                Next::Skip(reason) | Next::Stop(reason) => Some(reason.as_str()),
                _ => None,
            }),
            wait_ms: attempt.wait.map(|wait| ms(wait.duration)),
            wait_reason: attempt.wait.map(|wait| wait.reason.as_str()),
        }
    }
}

// === impl NotTried ===

impl From<&PassedOver> for NotTried {
    fn from(passed: &PassedOver) -> Self {
        Self {
            target: passed.target.to_string(),
            at_ms: ms(passed.at),
            reason: passed.reason.as_str(),
        }
    }
}

/// To a tenth of a millisecond.
pub(crate) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// An error and what led to it, in one line: what backstay adds below its first one is the trail. Errors of
/// backstay and of its client hold nothing of what was said, so this may be shown.
pub(crate) fn with_sources(error: &BoxError) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&**error);
    while let Some(error) = next {
        let said = error.to_string();
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(said.lines().next().unwrap_or_default());
        next = error.source();
    }
    text
}
