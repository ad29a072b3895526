//! The future: readiness, then the call, under one timer.

use super::{Deadline, DeadlineBody};
use crate::{
    alarm::Alarm,
    call::{Call, Held, Over},
    error::{BoxError, Error},
    ready_call::ReadyCall,
};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tower_service::Service;

pin_project! {
    /// The response future of [`DeadlineService`](super::DeadlineService).
    #[must_use = "futures do nothing unless polled"]
    pub struct DeadlineFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        inner: ReadyCall<S, Request<B>>,
        call: Option<Held>,
        // The earliest of what this layer, the request and the code around say.
        deadline: Deadline,
        polled: bool,
        alarm: Alarm,
    }
}

// === impl DeadlineFuture ===

impl<S, B> DeadlineFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(service: S, request: Request<B>, call: Held, own: Deadline) -> Self {
        Self {
            inner: ReadyCall::new(service, request),
            call: Some(call),
            deadline: own,
            polled: false,
            alarm: Alarm::default(),
        }
    }
}

impl<S, B, R> Future for DeadlineFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<DeadlineBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(call) = this.call else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        if !*this.polled {
            *this.polled = true;
            call.adopt_ambient();
            *this.deadline = this.deadline.earlier(call.deadline());
            // The future may have waited long for its first poll: nothing is sent then.
            if this.deadline.has_passed(Instant::now()) {
                let error = expire(&mut this.inner, call, *this.deadline);
                *this.call = None;
                return Poll::Ready(Err(error));
            }
        }
        match this.inner.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => {
                let (mut parts, body) = response.into_parts();
                let call = this.call.take();
                if let Some(call) = &call {
                    call.leave_trail(&mut parts.extensions);
                }
                let alarm = std::mem::take(this.alarm);
                let body = DeadlineBody::new(body, call, *this.deadline, alarm);
                return Poll::Ready(Ok(Response::from_parts(parts, body)));
            }
            Poll::Ready(Err(error)) => {
                *this.call = None;
                return Poll::Ready(Err(error.into()));
            }
            Poll::Pending => {}
        }
        ready!(this.alarm.poll(cx, this.deadline.instant()));
        let error = expire(&mut this.inner, call, *this.deadline);
        *this.call = None;
        Poll::Ready(Err(error))
    }
}

/// Drops what is inside at once, having said why, so that inner layers can write it into the trail.
fn expire<S, B>(
    inner: &mut Pin<&mut ReadyCall<S, Request<B>>>,
    call: &Call,
    deadline: Deadline,
) -> BoxError
where
    S: Service<Request<B>>,
{
    let error = passed(call, deadline);
    inner.as_mut().clear();
    error.into()
}

/// Says that the deadline passed. One of an attempt is not one of the call.
pub(super) fn passed(call: &Call, deadline: Deadline) -> Error {
    let now = Instant::now();
    if deadline == call.deadline() {
        call.set_over(Over::Deadline);
        call.end(now);
    }
    Error::deadline(call, deadline, now)
}

impl<S, B> fmt::Debug for DeadlineFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineFuture")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
