//! The future.

use super::{Degraded, DegradedBody, Substitute};
use crate::error::{BoxError, Error};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The response future of [`DegradedService`](super::DegradedService).
    #[must_use = "futures do nothing unless polled"]
    pub struct DegradedFuture<F, D> {
        #[pin]
        inner: F,
        substitute: D,
    }
}

// === impl DegradedFuture ===

impl<F, D> DegradedFuture<F, D> {
    pub(super) fn new(inner: F, substitute: D) -> Self {
        Self { inner, substitute }
    }
}

impl<F, D, R, E> Future for DegradedFuture<F, D>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    D: Substitute,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<DegradedBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let failure = match ready!(this.inner.poll(cx)) {
            Ok(response) => return Poll::Ready(Ok(response.map(DegradedBody::inner))),
            Err(error) => error.into(),
        };
        let known = Error::find(&*failure);
        if known.is_some_and(Error::is_cancelled) {
            return Poll::Ready(Err(failure));
        }
        let Some(mut response) = this.substitute.substitute(&failure) else {
            return Poll::Ready(Err(failure));
        };
        response.extensions_mut().insert(Degraded);
        if let Some(trail) = known.and_then(Error::trail) {
            response.extensions_mut().insert(trail);
        }
        Poll::Ready(Ok(response.map(DegradedBody::substitute)))
    }
}

impl<F, D> fmt::Debug for DegradedFuture<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DegradedFuture").finish_non_exhaustive()
    }
}
