//! The body: the same timer to the last frame.

use crate::{
    FRAMES_BETWEEN_LOOKS,
    alarm::Alarm,
    call::{Held, Over},
    error::{BoxError, Error},
};
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
        alarm: Alarm,
        frames: u8,
    }
}

// === impl DeadlineBody ===

impl<B> DeadlineBody<B> {
    pub(super) fn new(inner: B, call: Option<Held>, alarm: Alarm) -> Self {
        Self {
            inner: Some(inner),
            call,
            alarm,
            frames: 0,
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

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = inner.poll_frame(cx) {
            *this.frames = this.frames.wrapping_add(1);
            let flood = *this.frames % FRAMES_BETWEEN_LOOKS == 0;
            if !(flood && has_passed(this.call)) {
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
        } else {
            let at = this
                .call
                .as_ref()
                .and_then(|call| call.deadline().instant());
            ready!(this.alarm.poll(cx, at));
        }
        let error = this.call.take().map(|call| {
            let now = Instant::now();
            call.set_over(Over::Deadline);
            call.end(now);
            Error::deadline(&call, now)
        });
        this.inner.set(None);
        Poll::Ready(error.map(|error| Err(error.into())))
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

fn has_passed(call: &Option<Held>) -> bool {
    call.as_ref()
        .is_some_and(|call| call.deadline().has_passed(Instant::now()))
}

/// A body with no deadline: for clients that want an empty body of this type.
impl<B: Default> Default for DeadlineBody<B> {
    fn default() -> Self {
        Self {
            inner: Some(B::default()),
            call: None,
            alarm: Alarm::default(),
            frames: 0,
        }
    }
}

impl<B> fmt::Debug for DeadlineBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineBody")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
