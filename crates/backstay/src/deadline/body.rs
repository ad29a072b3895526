//! The body: the same timer to the last frame.

use super::{Deadline, future::passed};
use crate::{
    FRAMES_BETWEEN_LOOKS,
    alarm::Alarm,
    call::Held,
    error::BoxError,
    observe::{End, Polled, Signals, end_instead, pass},
};
use http_body::{Body, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    mem::ManuallyDrop,
    pin::Pin,
    task::{Context, Poll},
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

    /// A look at the clock.
    #[cold]
    #[inline(never)]
    fn look(self: Pin<&mut Self>) -> Option<End> {
        let over = self.call.is_some() && self.deadline.has_passed(Instant::now());
        over.then(|| self.over())
    }

    #[cold]
    #[inline(never)]
    fn wait(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.as_mut().project();
        let at = this.deadline.instant();
        this.alarm.poll(cx, at).map(|()| self.over())
    }

    /// The deadline has passed.
    fn over(self: Pin<&mut Self>) -> End {
        let mut this = self.project();
        // An answer that has shown its end marker is complete; only its connection was waited for.
        let error = this.call.as_ref().and_then(|call| {
            let complete = call.signals().has(Signals::ENDED);
            (!complete).then(|| passed(call, *this.deadline).into())
        });
        // What is inside is dropped first, so that it can write into the trail why it ended.
        this.inner.set(None);
        *this.call = None;
        error
    }

    /// Nothing follows: the upstream and the call are let go.
    #[cold]
    #[inline(never)]
    fn ended(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.inner.set(None);
        if let Some(call) = this.call.take() {
            call.end_now();
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

    #[inline(always)]
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B::Data> {
        let this = self.as_mut().project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        match inner.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = ManuallyDrop::new(frame);
                *this.frames = this.frames.wrapping_add(1);
                if (*this.frames).is_multiple_of(FRAMES_BETWEEN_LOOKS)
                    && let Some(end) = self.look()
                {
                    return end_instead(frame, end);
                }
                pass(frame)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                self.ended();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.ended();
                Poll::Ready(None)
            }
            Poll::Pending if this.alarm.will_wake(cx) || this.deadline.instant().is_none() => {
                Poll::Pending
            }
            Poll::Pending => self.wait(cx).map(|end| end.map(Err)),
        }
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
