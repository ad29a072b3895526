//! What a failure of the stack is to the caller.

use super::Refusal;
use backstay::{
    BoxError, Error, ErrorKind,
    dialect::FailureClass,
    error::{Cancellation, RequestProblem},
};
use http::StatusCode;

// === impl Refusal: from an error of the stack ===

impl Refusal {
    #[cold]
    pub(crate) fn of_error(error: &BoxError) -> Self {
        let Some(error) = Error::find(&**error) else {
            return Self::new(
                StatusCode::BAD_GATEWAY,
                "upstream_failed",
                "the upstream failed",
            )
            .exhausted();
        };
        let (status, code) = meaning(error.kind());
        // Says what happened, to which target, in which phase, after how long; never what was sent.
        let refusal = Self::new(status, code, error.to_string());
        match error.kind() {
            ErrorKind::Cancelled(Cancellation::Shutdown) | ErrorKind::Draining => Self {
                retry_after: Some(1),
                ..refusal
            },
            _ => refusal.exhausted(),
        }
    }
}

fn meaning(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Deadline => (StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded"),
        ErrorKind::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
        ErrorKind::Cancelled(_) | ErrorKind::Draining => {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        }
        ErrorKind::Truncated => (StatusCode::BAD_GATEWAY, "upstream_truncated"),
        ErrorKind::Empty => (StatusCode::BAD_GATEWAY, "upstream_empty"),
        ErrorKind::InBand(class) => in_band(class),
        ErrorKind::Request(problem) => request(problem),
        ErrorKind::Status(status) => (status, "upstream_status"),
        _ => (StatusCode::BAD_GATEWAY, "upstream_failed"),
    }
}

/// An error inside of a 2xx answer gets the status that it should have had.
fn in_band(class: FailureClass) -> (StatusCode, &'static str) {
    match class {
        FailureClass::RateLimit => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
        FailureClass::Quota => (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota"),
        FailureClass::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "upstream_overloaded"),
        FailureClass::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
        FailureClass::ModelGone => (StatusCode::NOT_FOUND, "model_not_found"),
        FailureClass::ContextTooLong => (StatusCode::BAD_REQUEST, "context_length_exceeded"),
        FailureClass::ContentPolicy => (StatusCode::BAD_REQUEST, "content_policy_violation"),
        FailureClass::Caller => (StatusCode::BAD_REQUEST, "invalid_request"),
        // The upstream's complaint about the gateway's own key is no fault of the caller's.
        _ => (StatusCode::BAD_GATEWAY, "upstream_failed"),
    }
}

fn request(problem: RequestProblem) -> (StatusCode, &'static str) {
    match problem {
        RequestProblem::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        RequestProblem::Encoded => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
        ),
        _ => (StatusCode::BAD_REQUEST, "invalid_request"),
    }
}
