//! The future: failures become a status.

use super::GrpcCallBody;
use crate::{
    code,
    dialect::code_of,
    status::{of_answer, status_of},
};
use backstay::{BoxError, Error, ErrorKind, Trail, dialect::FailureClass};
use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::{Code, Status};

pin_project! {
    /// The response future of [`GrpcCallService`](super::GrpcCallService).
    #[must_use = "futures do nothing unless polled"]
    pub struct GrpcCallFuture<F> {
        #[pin]
        inner: F,
    }
}

/// The last word of an upstream, as the source of the error that tells of it.
#[derive(Debug)]
struct Answered {
    status: StatusCode,
    code: Option<Code>,
}

// === impl GrpcCallFuture ===

impl<F> GrpcCallFuture<F> {
    pub(super) fn new(inner: F) -> Self {
        Self { inner }
    }
}

impl<F, R, E> Future for GrpcCallFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<GrpcCallBody<R>>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().inner.poll(cx)) {
            Ok(response) => told(response),
            Err(error) => Err(status_of(error.into())),
        })
    }
}

/// An answer that says that it failed is an error, so that the trail is not lost: of a response that failed
/// tonic keeps the headers only.
fn told<R>(response: Response<R>) -> Result<Response<GrpcCallBody<R>>, Status> {
    let code = code_of(response.headers());
    match code {
        Some(Code::Ok) => {}
        None if response.status() == StatusCode::OK => {}
        _ => {
            // Its body, a proxy's page say, is nobody's message.
            let (mut parts, _) = response.into_parts();
            let status = parts.status;
            let class = code.map_or_else(|| FailureClass::of_status(status), code::class);
            let source = parts.extensions.remove::<Trail>().map(|trail| {
                Error::in_call(&trail, ErrorKind::InBand(class), Answered { status, code })
            });
            return Err(of_answer(status, &mut parts.headers, source));
        }
    }
    let (mut parts, body) = response.into_parts();
    parts.status = StatusCode::OK;
    Ok(Response::from_parts(parts, GrpcCallBody::new(body)))
}

impl<F> fmt::Debug for GrpcCallFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCallFuture").finish_non_exhaustive()
    }
}

// === impl Answered ===

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "the upstream answered {}", code::name(code)),
            None => write!(f, "the upstream answered HTTP {}", self.status),
        }
    }
}

impl StdError for Answered {}
