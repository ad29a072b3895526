//! The body: failures become a status.

use crate::status::status_of;
use backstay::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use tonic::Status;

pin_project! {
    /// The response body of [`GrpcCallService`](super::GrpcCallService): its error is a status.
    pub struct GrpcCallBody<R> {
        #[pin]
        inner: Option<R>,
    }
}

// === impl GrpcCallBody ===

impl<R> GrpcCallBody<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner: Some(inner) }
    }
}

impl<R> Body for GrpcCallBody<R>
where
    R: Body,
    R::Error: Into<BoxError>,
{
    type Data = R::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<R::Data>, Status>>> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner
                .poll_frame(cx)
                .map_err(|error| status_of(error.into())),
            None => Poll::Ready(None),
        }
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

/// An empty body: tonic's interceptors ask for one.
impl<R> Default for GrpcCallBody<R> {
    fn default() -> Self {
        Self { inner: None }
    }
}

impl<R> fmt::Debug for GrpcCallBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCallBody").finish_non_exhaustive()
    }
}
