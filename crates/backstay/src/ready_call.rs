//! Make a service ready, then call it, as one unboxed future.

use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

pin_project! {
    /// `ready().await` and `call(..).await` on a service of its own. tower's `Oneshot`, with one thing
    /// more: it can be emptied, which drops what is inside at once.
    #[project = ReadyCallProj]
    pub(crate) enum ReadyCall<S, Req>
    where
        S: Service<Req>,
    {
        Readying { service: S, request: Option<Req> },
        Calling { #[pin] future: S::Future },
        Empty,
    }
}

// === impl ReadyCall ===

impl<S, Req> ReadyCall<S, Req>
where
    S: Service<Req>,
{
    pub(crate) fn new(service: S, request: Req) -> Self {
        Self::Readying {
            service,
            request: Some(request),
        }
    }

    pub(crate) fn clear(mut self: Pin<&mut Self>) {
        self.set(Self::Empty);
    }
}

impl<S, Req> Future for ReadyCall<S, Req>
where
    S: Service<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                ReadyCallProj::Readying { service, request } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        self.set(Self::Empty);
                        return Poll::Ready(Err(error));
                    }
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let future = service.call(request);
                    self.set(Self::Calling { future });
                }
                ReadyCallProj::Calling { future } => {
                    // Returned as it is: taken apart, it would be moved twice.
                    let polled = future.poll(cx);
                    if polled.is_ready() {
                        self.set(Self::Empty);
                    }
                    return polled;
                }
                // Polled again after its end, which no future must be.
                ReadyCallProj::Empty => return Poll::Pending,
            }
        }
    }
}
