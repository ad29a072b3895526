//! What can end a call.

use crate::timeout::Clock;
use backstay_dialect::FailureClass;
use http::StatusCode;
use std::fmt;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The deadline of the call passed.
    Deadline,
    /// A clock of an attempt ran out.
    Timeout(Clock),
    /// The call was cancelled. This is no failure.
    Cancelled(Cancellation),
    /// The answer ended without the end evidence of its dialect.
    Truncated,
    /// The answer ended without any output.
    Empty,
    /// An answer that began with a 2xx status carried an error.
    InBand(FailureClass),
    /// The provider withheld the answer, and a policy of the user's took that for a failure.
    Refused,
    /// The upstream answered with this status, and the status layer made an error of it.
    Status(StatusCode),
    /// Sending or receiving failed; `source()` has the client's error.
    Transport,
    /// The request cannot be sent as it is, and was not.
    Request(RequestProblem),
    /// A task of a scope, a member of a group or an item of a batch panicked.
    Panicked,
    /// Code in a scope, task or group failed with an error of its own; `source()` has it.
    Failed,
    /// A [drain](crate::drain) lets nothing new begin. Nothing was sent.
    Draining,
}

/// What is handled alike: [`ErrorKind`] without its details.
///
/// Failures of a group are split by it, as Python's `except*` splits an exception group by type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A deadline passed.
    Deadline,
    /// A clock of an attempt ran out.
    Timeout,
    /// Cancelled, which is no failure.
    Cancelled,
    /// The upstream answered with a status that is an error.
    Status,
    /// The answer was truncated, empty, withheld, or carried an error.
    Answer,
    /// Sending or receiving failed.
    Transport,
    /// The request cannot be sent as it is.
    Request,
    /// A drain lets nothing new begin; nothing was sent.
    Draining,
    /// Code panicked.
    Panicked,
    /// Code failed with an error that is not backstay's own.
    Other,
}

/// Why a call was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cancellation {
    /// The caller dropped the response future or the response body.
    Dropped,
    /// The cancellation token of the call fired.
    Token,
    /// The grace period of a [drain](crate::drain) was over.
    Shutdown,
    /// The scope around ended first.
    Scope,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestProblem {
    /// The body is not a JSON object.
    NotAnObject,
    /// The body names no model.
    NoModel,
    /// The body names two models.
    SecondModel,
    /// The model in the body is not a string.
    ModelNotAString,
    /// The body has a `model` in another case, which some servers take for the model.
    ModelInOtherCase,
    /// The path names no model where its dialect has it.
    NoModelInPath,
    /// The JSON ends early or is broken where the model is looked for.
    Malformed,
    /// The body is larger than the replay limit, and a target needs it rewritten.
    TooLarge,
    /// The body has a `content-encoding`, and a target needs it rewritten.
    Encoded,
    /// The body failed while it was read.
    Unreadable,
    /// The URI of the request and the target do not make a URI that can be called.
    Uri,
    /// The call came with `https`, and the target's origin is `http`.
    Plaintext,
    /// A clock or limit in the request's extensions is zero.
    ZeroDuration,
    /// The name of the model cannot stand in the path of the target.
    ModelInPath,
    /// The target speaks a dialect of another family than the call.
    Dialect,
    /// The target's signature could not be made; `source()` has the signer's error.
    Unsigned,
}

// === impl ErrorKind ===

impl ErrorKind {
    /// The class that it is of.
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::Deadline => ErrorClass::Deadline,
            Self::Timeout(_) => ErrorClass::Timeout,
            Self::Cancelled(_) => ErrorClass::Cancelled,
            Self::Status(_) => ErrorClass::Status,
            Self::Truncated | Self::Empty | Self::Refused | Self::InBand(_) => ErrorClass::Answer,
            Self::Transport => ErrorClass::Transport,
            Self::Request(_) => ErrorClass::Request,
            Self::Panicked => ErrorClass::Panicked,
            Self::Draining => ErrorClass::Draining,
            Self::Failed => ErrorClass::Other,
        }
    }
}

// === impl ErrorClass ===

impl ErrorClass {
    /// In the words of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Status => "status",
            Self::Answer => "answer",
            Self::Transport => "transport",
            Self::Request => "request",
            Self::Panicked => "panicked",
            Self::Draining => "draining",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
