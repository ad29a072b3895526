//! The body: failures become trailers.

use crate::status::{find, status_of};
use backstay::{BoxError, Deadline, Error};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tonic::Status;

pin_project! {
    /// The response body of [`GrpcServerService`](super::GrpcServerService).
    ///
    /// It never fails: a failure inside is a status in its trailers.
    pub struct GrpcServerBody<R> {
        #[pin]
        inner: Option<R>,
        deadline: Deadline,
    }
}

// === impl GrpcServerBody ===

impl<R> GrpcServerBody<R> {
    pub(super) fn new(inner: R, deadline: Deadline) -> Self {
        Self {
            inner: Some(inner),
            deadline,
        }
    }
}

impl<R> Body for GrpcServerBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut this = self.project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let next = poll_fn(|cx| inner.as_mut().poll_frame(cx));
        let polled = match *this.deadline {
            Deadline::NEVER => pin!(next).poll(cx),
            // The code of a stream runs in here.
            deadline => pin!(deadline.scope(next)).poll(cx),
        };
        Poll::Ready(match ready!(polled) {
            Some(Ok(frame)) => Some(Ok(frame)),
            None => None,
            Some(Err(error)) => {
                this.inner.set(None);
                let mut trailers = HeaderMap::new();
                // A message that cannot stand in a header is left out.
                if let Err(status) = told(error.into()).add_header(&mut trailers) {
                    let _ = Status::new(status.code(), "").add_header(&mut trailers);
                }
                Some(Ok(Frame::trailers(trailers)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// What a caller is told: a status of the handler's as it is; of the layers' failures the code and its
/// meaning, for targets, labels and limits are nobody's business out there.
pub(super) fn told(error: BoxError) -> Status {
    let own = Error::find(&*error).is_some() && find::<Status>(&*error).is_none();
    let status = status_of(error);
    if own {
        let code = status.code();
        return Status::new(code, code.description());
    }
    status
}

impl<R> Default for GrpcServerBody<R> {
    fn default() -> Self {
        Self {
            inner: None,
            deadline: Deadline::NEVER,
        }
    }
}

impl<R> fmt::Debug for GrpcServerBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcServerBody")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
