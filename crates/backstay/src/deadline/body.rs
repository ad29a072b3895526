//! The body: the same timer to the last frame.

use super::{Deadline, future::passed};
use crate::{FRAMES_BETWEEN_LOOKS, alarm::Alarm, call::Held, error::BoxError, observe::Signals};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

pin_project! {
    /// The response body of [`DeadlineService`](super::DeadlineService).
    ///
    /// At the deadline it drops the inner body, yields the error once, and is at its end.
    pub struct DeadlineBody<B> {
        #[pin]
        inner: Option<B>,
        call: Option<Held>,
        deadline: Deadline,
        alarm: Alarm,
        frames: u8,
    }
}

// === impl DeadlineBody ===

impl<B> DeadlineBody<B> {
    pub(super) fn new(inner: B, call: Option<Held>, deadline: Deadline, alarm: Alarm) -> Self {
        Self {
            inner: Some(inner),
            call,
            deadline,
            alarm,
            frames: 0,
        }
    }

    /// What is inside is dropped first, so that it can write into the trail why it ended. An answer that
    /// has shown its end marker is complete; only its connection was waited for.
    #[cold]
    fn expire(self: Pin<&mut Self>) -> Option<BoxError> {
        let mut this = self.project();
        let error = this.call.as_ref().and_then(|call| {
            let complete = call.signals().has(Signals::ENDED);
            (!complete).then(|| passed(call, *this.deadline).into())
        });
        this.inner.set(None);
        *this.call = None;
        error
    }

    /// Nothing follows: the upstream and the call are let go.
    #[cold]
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.inner.set(None);
        if let Some(call) = this.call.take() {
            call.end(Instant::now());
        }
    }
}

impl<B> Body for DeadlineBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.as_mut().project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        match inner.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                *this.frames = this.frames.wrapping_add(1);
                let flood = *this.frames % FRAMES_BETWEEN_LOOKS == 0;
                if !(flood && this.call.is_some() && this.deadline.has_passed(Instant::now())) {
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                self.end();
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(None) => {
                self.end();
                return Poll::Ready(None);
            }
            Poll::Pending => {
                if this.alarm.will_wake(cx) {
                    return Poll::Pending;
                }
                ready!(this.alarm.poll(cx, this.deadline.instant()));
            }
        }
        Poll::Ready(self.expire().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A body with no deadline: for clients that want an empty body of this type.
impl<B: Default> Default for DeadlineBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None, Deadline::NEVER, Alarm::default())
    }
}

impl<B> fmt::Debug for DeadlineBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineBody")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
