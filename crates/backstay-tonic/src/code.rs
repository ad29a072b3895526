//! gRPC's codes in the words of backstay and of HTTP.

use backstay::dialect::FailureClass;
use http::StatusCode;
use tonic::Code;

/// The name of a code as the protocol's documents have it.
pub(crate) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What a code means. See the table at [`Grpc`](crate::Grpc).
pub(crate) const fn class(code: Code) -> FailureClass {
    match code {
        Code::Unavailable => FailureClass::Overloaded,
        Code::ResourceExhausted => FailureClass::RateLimit,
        Code::DeadlineExceeded => FailureClass::Timeout,
        Code::Internal | Code::Unknown => FailureClass::Server,
        Code::PermissionDenied | Code::Unauthenticated => FailureClass::Authentication,
        Code::Unimplemented => FailureClass::ModelGone,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange => FailureClass::Caller,
        Code::Ok | Code::Cancelled | Code::DataLoss => FailureClass::Unknown,
    }
}

/// The code that says most of what a class says, where the upstream's own is not known.
pub(crate) const fn of_class(class: FailureClass) -> Code {
    match class {
        FailureClass::RateLimit | FailureClass::Quota => Code::ResourceExhausted,
        FailureClass::Timeout => Code::DeadlineExceeded,
        FailureClass::Authentication => Code::Unauthenticated,
        FailureClass::ModelGone => Code::Unimplemented,
        FailureClass::ContextTooLong | FailureClass::ContentPolicy | FailureClass::Caller => {
            Code::InvalidArgument
        }
        _ => Code::Unavailable,
    }
}

/// The HTTP status of a code, by `google/rpc/code.proto`: what the fallback layer is shown.
pub(crate) fn http_status(code: Code) -> StatusCode {
    let status = match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::DeadlineExceeded => 504,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::PermissionDenied => 403,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::Unauthenticated => 401,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The code of an answer that has no `grpc-status`, by `http-grpc-status-mapping.md` of the gRPC project.
pub(crate) fn of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// The code of a stream that was reset, by PROTOCOL-HTTP2.md, "Errors".
pub(crate) fn of_reset(reason: h2::Reason) -> Code {
    match reason {
        h2::Reason::REFUSED_STREAM => Code::Unavailable,
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        h2::Reason::STREAM_CLOSED | h2::Reason::HTTP_1_1_REQUIRED => Code::Unknown,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstay::dialect::Action;

    #[test]
    fn each_code_has_its_class_action_and_status() {
        // The table of `Grpc`, once more.
        for (number, text, class_of, action, status) in [
            (1, "CANCELLED", FailureClass::Unknown, Action::Skip, 499),
            (2, "UNKNOWN", FailureClass::Server, Action::Retry, 500),
            (
                3,
                "INVALID_ARGUMENT",
                FailureClass::Caller,
                Action::Stop,
                400,
            ),
            (
                4,
                "DEADLINE_EXCEEDED",
                FailureClass::Timeout,
                Action::Retry,
                504,
            ),
            (5, "NOT_FOUND", FailureClass::Caller, Action::Stop, 404),
            (6, "ALREADY_EXISTS", FailureClass::Caller, Action::Stop, 409),
            (
                7,
                "PERMISSION_DENIED",
                FailureClass::Authentication,
                Action::Skip,
                403,
            ),
            (
                8,
                "RESOURCE_EXHAUSTED",
                FailureClass::RateLimit,
                Action::Retry,
                429,
            ),
            (
                9,
                "FAILED_PRECONDITION",
                FailureClass::Caller,
                Action::Stop,
                400,
            ),
            (10, "ABORTED", FailureClass::Caller, Action::Stop, 409),
            (11, "OUT_OF_RANGE", FailureClass::Caller, Action::Stop, 400),
            (
                12,
                "UNIMPLEMENTED",
                FailureClass::ModelGone,
                Action::Skip,
                501,
            ),
            (13, "INTERNAL", FailureClass::Server, Action::Retry, 500),
            (
                14,
                "UNAVAILABLE",
                FailureClass::Overloaded,
                Action::Retry,
                503,
            ),
            (15, "DATA_LOSS", FailureClass::Unknown, Action::Skip, 500),
            (
                16,
                "UNAUTHENTICATED",
                FailureClass::Authentication,
                Action::Skip,
                401,
            ),
        ] {
            let code = Code::from_i32(number);
            assert_eq!(name(code), text);
            assert_eq!(class(code), class_of, "{text}");
            assert_eq!(class(code).action(), action, "{text}");
            assert_eq!(http_status(code).as_u16(), status, "{text}");
        }
    }
}
