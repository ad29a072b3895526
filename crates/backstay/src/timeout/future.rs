//! The future: the clocks to the response head.

use super::{TimeoutsBody, alone::Alone, limits::Limits};
use crate::{
    alarm::Alarm,
    call::Held,
    error::{BoxError, Error},
    trail::Outcome,
};
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
use tokio::time::Instant;

pin_project! {
    /// The response future of [`TimeoutsService`](super::TimeoutsService).
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutsFuture<F> {
        #[pin]
        inner: Option<F>,
        running: Option<Running>,
        refused: Option<Error>,
    }
}

pub(super) struct Running {
    // First, so that the attempt's end is written before the call is let go.
    pub(super) alone: Option<Alone>,
    pub(super) call: Held,
    pub(super) limits: Limits,
    pub(super) alarm: Alarm,
}

// === impl TimeoutsFuture ===

impl<F> TimeoutsFuture<F> {
    pub(super) fn new(inner: F, call: Held, limits: Limits, alone: Option<Alone>) -> Self {
        Self {
            inner: Some(inner),
            running: Some(Running {
                alone,
                call,
                limits,
                alarm: Alarm::default(),
            }),
            refused: None,
        }
    }

    /// Nothing is sent.
    pub(super) fn refused(error: Error) -> Self {
        Self {
            inner: None,
            running: None,
            refused: Some(error),
        }
    }
}

impl<F, R, E> Future for TimeoutsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<TimeoutsBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (Some(inner), Some(running)) = (this.inner.as_mut().as_pin_mut(), &mut *this.running)
        else {
            return match this.refused.take() {
                Some(error) => Poll::Ready(Err(error.into())),
                // Polled again after its end, which no future must be.
                None => Poll::Pending,
            };
        };
        match inner.poll(cx) {
            Poll::Ready(Ok(response)) => {
                this.inner.set(None);
                let Some(running) = this.running.take() else {
                    return Poll::Pending;
                };
                let (mut parts, body) = response.into_parts();
                running.call.leave_trail(&mut parts.extensions);
                let body = TimeoutsBody::new(body, &parts, running);
                return Poll::Ready(Ok(Response::from_parts(parts, body)));
            }
            Poll::Ready(Err(error)) => {
                this.inner.set(None);
                let error = error.into();
                if let Some(running) = this.running.take()
                    && let Some(alone) = running.alone
                {
                    alone.failed(&*error);
                }
                return Poll::Ready(Err(error));
            }
            Poll::Pending => {}
        }
        ready!(running.alarm.poll(cx, running.limits.next()));
        let now = Instant::now();
        let Some(expired) = running.limits.expired(now) else {
            // A timer has a resolution of a millisecond and never fires early.
            return Poll::Pending;
        };
        let call = &running.call;
        let error = Error::timeout(call, expired.clock, expired.limit, expired.elapsed);
        let at = call.since_start(now);
        call.with_attempt(|attempt| {
            attempt.uncertain = true;
            attempt.end(Outcome::Timeout(expired.clock), at);
        });
        this.inner.set(None);
        *this.running = None;
        Poll::Ready(Err(error.into()))
    }
}

impl<F> fmt::Debug for TimeoutsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutsFuture")
            .field("call", &self.running.as_ref().map(|running| &running.call))
            .finish_non_exhaustive()
    }
}
