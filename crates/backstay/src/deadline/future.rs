//! The future: readiness, then the call, under one timer.

use super::DeadlineBody;
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
        polled: bool,
        alarm: Alarm,
    }
}

// === impl DeadlineFuture ===

impl<S, B> DeadlineFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(service: S, request: Request<B>, call: Held) -> Self {
        Self {
            inner: ReadyCall::new(service, request),
            call: Some(call),
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
            call.adopt_ambient_deadline();
            // A deadline that came with the request or from around may have passed already. The budget
            // of this layer cannot have, so that the clock is read only where it matters.
            let at = call.deadline().instant();
            if at.is_some_and(|at| at <= call.started()) {
                let error = expire(&mut this.inner, call);
                *this.call = None;
                return Poll::Ready(Err(error));
            }
        }
        if let Poll::Ready(result) = this.inner.as_mut().poll(cx) {
            let call = this.call.take();
            let mut response = result.map_err(Into::into)?;
            if let Some(call) = &call {
                call.leave_trail(response.extensions_mut());
            }
            let alarm = std::mem::take(this.alarm);
            return Poll::Ready(Ok(response.map(|body| DeadlineBody::new(body, call, alarm))));
        }
        ready!(this.alarm.poll(cx, call.deadline().instant()));
        let error = expire(&mut this.inner, call);
        *this.call = None;
        Poll::Ready(Err(error))
    }
}

/// Drops what is inside at once, having said why, so that inner layers can write it into the trail.
fn expire<S, B>(inner: &mut Pin<&mut ReadyCall<S, Request<B>>>, call: &Call) -> BoxError
where
    S: Service<Request<B>>,
{
    let now = Instant::now();
    call.set_over(Over::Deadline);
    call.end(now);
    let error = Error::deadline(call, now);
    inner.as_mut().clear();
    error.into()
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
