//! backstay's failures as the status of a call.

use crate::{code, wire::GRPC_DETAILS};
use backstay::{
    BoxError, Error, ErrorKind, Trail, error::RequestProblem, timeout::Clock, transport::Delivery,
};
use base64::{
    Engine, alphabet,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig},
    },
};
use http::HeaderMap;
use std::{error::Error as StdError, io, sync::Arc};
use tonic::{Code, ConnectError, Status, TimeoutExpired};

/// The trail of the call that a status ended, where the call went through a
/// [`GrpcCallLayer`](crate::GrpcCallLayer).
///
/// The typed error is found as everywhere: `backstay::Error::find(&status)`.
///
/// ```
/// # fn show(status: &tonic::Status) {
/// if let Some(trail) = backstay_tonic::trail_of(status) {
///     eprintln!("{}\n{trail}", status.message());
/// }
/// # }
/// # show(&tonic::Status::unavailable("no call"));
/// ```
pub fn trail_of(status: &Status) -> Option<Trail> {
    Error::find(status)?.trail()
}

/// An error of a stack as the status that tells of it. The error is the status's `source()`.
///
/// A status in the error's chain goes before all else, then what backstay knows:
///
/// | failure | code |
/// |---|---|
/// | the deadline, or a clock of an attempt but `connect` | `DEADLINE_EXCEEDED` |
/// | a cancellation | `CANCELLED` |
/// | the `connect` clock, a connection that could not be made or was lost, an answer that broke off | `UNAVAILABLE` ("connection breaks", `statuscodes.md`) |
/// | a request over the replay limit that had to be rewritten | `RESOURCE_EXHAUSTED` |
/// | another fault of the request | `INVALID_ARGUMENT`, or `INTERNAL` if it could not be read |
/// | a stream that was reset | by its HTTP/2 reason (PROTOCOL-HTTP2.md, "Errors") |
/// | an answer's HTTP status | by `http-grpc-status-mapping.md` |
///
/// Anything else is what tonic makes of it.
pub fn status_of(error: BoxError) -> Status {
    let error = match error.downcast::<Status>() {
        Ok(status) => return *status,
        Err(error) => error,
    };
    if let Some(told) = find::<Status>(&*error) {
        let mut status = told.clone();
        status.set_source(Arc::from(error));
        return status;
    }
    let code = match Error::find(&*error) {
        Some(known) => {
            // The status layer made an error of an answer.
            let answer = known.upstream().map(|answer| &answer.headers);
            if let Some(mut status) = answer.and_then(|headers| of_headers(&mut headers.clone())) {
                status.set_source(Arc::from(error));
                return status;
            }
            of_kind(known.kind(), &*error)
        }
        None => match of_transport(&*error) {
            Some(code) => code,
            None => return Status::from_error(error),
        },
    };
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::from(error));
    status
}

fn of_kind(kind: ErrorKind, error: &(dyn StdError + 'static)) -> Code {
    match kind {
        ErrorKind::Deadline => Code::DeadlineExceeded,
        ErrorKind::Timeout(Clock::Connect) => Code::Unavailable,
        ErrorKind::Timeout(_) => Code::DeadlineExceeded,
        ErrorKind::Cancelled(_) => Code::Cancelled,
        ErrorKind::InBand(class) => code::of_class(class),
        ErrorKind::Status(status) => code::of_http(status),
        ErrorKind::Request(RequestProblem::TooLarge) => Code::ResourceExhausted,
        ErrorKind::Request(RequestProblem::Unreadable) => Code::Internal,
        ErrorKind::Request(_) => Code::InvalidArgument,
        ErrorKind::Transport => of_transport(error).unwrap_or(Code::Unavailable),
        // An answer that broke off, and whatever else a newer backstay ends a call with.
        _ => Code::Unavailable,
    }
}

/// What the client's errors tell, by their types.
fn of_transport(error: &(dyn StdError + 'static)) -> Option<Code> {
    // tonic's own word for it is `Cancelled`.
    if find::<TimeoutExpired>(error).is_some() {
        return Some(Code::DeadlineExceeded);
    }
    if let Some(error) = find::<h2::Error>(error) {
        // The connection went, and not this stream alone.
        let lost = error.is_io() || error.is_go_away();
        return Some(match error.reason() {
            Some(reason) if !lost => code::of_reset(reason),
            _ => Code::Unavailable,
        });
    }
    let lost = find::<ConnectError>(error).is_some()
        || find::<io::Error>(error).is_some()
        || Delivery::of(error) == Delivery::NotSent;
    lost.then_some(Code::Unavailable)
}

/// The status of an answer that says that it failed: its own, else that of its HTTP status. What `trail` is
/// of is its source.
pub(crate) fn of_answer(
    status: http::StatusCode,
    headers: &mut HeaderMap,
    source: Option<Error>,
) -> Status {
    // Of a body that nobody sees.
    headers.remove(http::header::CONTENT_LENGTH);
    let mut told = of_headers(headers).unwrap_or_else(|| {
        let message = format!("the answer has no gRPC status, and HTTP status {status}");
        let metadata = tonic::metadata::MetadataMap::from_headers(headers.clone());
        Status::with_metadata(code::of_http(status), message, metadata)
    });
    if let Some(source) = source {
        told.set_source(Arc::new(source));
    }
    told
}

/// The status in headers or trailers, if there is one.
///
/// tonic panics at details that are no base64: they are taken out here, before it sees them.
pub(crate) fn of_headers(headers: &mut HeaderMap) -> Option<Status> {
    drop_broken_details(headers);
    Status::from_header_map(headers)
}

/// Takes out details that cannot be decoded.
pub(crate) fn drop_broken_details(headers: &mut HeaderMap) {
    // As tonic reads it.
    const DETAILS: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let broken = headers
        .get(GRPC_DETAILS)
        .is_some_and(|details| DETAILS.decode(details.as_bytes()).is_err());
    if broken {
        headers.remove(GRPC_DETAILS);
    }
}

/// The first error of this type in a chain. An `io::Error` passes over what it wraps when it is asked for its
/// source.
pub(crate) fn find<'a, E: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        if let Some(wrapped) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(found) = wrapped.downcast_ref::<E>()
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}
