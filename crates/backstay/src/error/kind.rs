//! What can end a call.

use crate::timeout::Clock;
use backstay_dialect::FailureClass;
use http::StatusCode;

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
    /// The upstream answered with this status, and the status layer made an error of it.
    Status(StatusCode),
    /// Sending or receiving failed; `source()` has the client's error.
    Transport,
    /// The request cannot be sent as it is, and was not.
    Request(RequestProblem),
    /// A [drain](crate::drain) lets nothing new begin. Nothing was sent.
    Draining,
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
}
