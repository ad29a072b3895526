//! The future: failures become an answer.

use super::{GrpcServerBody, body::told};
use backstay::{BoxError, Deadline, deadline::WithDeadline};
use http::Response;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::Status;

pin_project! {
    /// The response future of [`GrpcServerService`](super::GrpcServerService).
    #[must_use = "futures do nothing unless polled"]
    pub struct GrpcServerFuture<F> {
        #[pin]
        inner: WithDeadline<F>,
        deadline: Deadline,
    }
}

// === impl GrpcServerFuture ===

impl<F> GrpcServerFuture<F> {
    pub(super) fn new(inner: WithDeadline<F>, deadline: Deadline) -> Self {
        Self { inner, deadline }
    }
}

impl<F, R, E> Future for GrpcServerFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<GrpcServerBody<R>>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(Ok(match ready!(this.inner.poll(cx)) {
            Ok(response) => response.map(|body| GrpcServerBody::new(body, *this.deadline)),
            Err(error) => told(error.into()).into_http(),
        }))
    }
}

impl<F> fmt::Debug for GrpcServerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcServerFuture")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
