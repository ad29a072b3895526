//! The body: the same timer to the last frame.

use super::future::Budget;
use crate::{
    FRAMES_BETWEEN_LOOKS,
    alarm::Alarm,
    call::Phase,
    deadline::Deadline,
    error::{BoxError, Error},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};
use tokio::time::Instant;

pin_project! {
    /// The response body of [`InboundService`](super::InboundService).
    ///
    /// At the deadline it drops the inner body, yields the error once, and is at its end.
    pub struct InboundBody<R> {
        #[pin]
        inner: Option<R>,
        // Of an answer of the layer's own.
        text: Option<Bytes>,
        budget: Option<Budget>,
        alarm: Alarm,
        frames: u8,
    }
}

// === impl InboundBody ===

impl<R> InboundBody<R> {
    pub(super) fn new(inner: R, budget: Budget, alarm: Alarm) -> Self {
        Self {
            inner: Some(inner),
            text: None,
            budget: Some(budget),
            alarm,
            frames: 0,
        }
    }

    /// What is said in place of an answer.
    pub(super) fn of_late(text: Bytes) -> Self {
        Self {
            inner: None,
            text: Some(text).filter(|text| !text.is_empty()),
            budget: None,
            alarm: Alarm::default(),
            frames: 0,
        }
    }
}

impl<R> Body for InboundBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(this.text.take().map(|text| Ok(Frame::data(text))));
        };
        let deadline = this
            .budget
            .map_or(Deadline::NEVER, |budget| budget.deadline);
        let next = poll_fn(|cx| inner.as_mut().poll_frame(cx));
        let polled = match deadline {
            Deadline::NEVER => pin!(next).poll(cx),
            // The code of a stream runs in here.
            deadline => pin!(deadline.scope(next)).poll(cx),
        };
        let over = match &polled {
            Poll::Ready(Some(Ok(_))) => {
                *this.frames = this.frames.wrapping_add(1);
                (*this.frames).is_multiple_of(FRAMES_BETWEEN_LOOKS)
                    && deadline.has_passed(Instant::now())
            }
            Poll::Pending => this.alarm.poll(cx, deadline.instant()).is_ready(),
            Poll::Ready(_) => {
                this.inner.set(None);
                false
            }
        };
        if !over {
            return polled.map_err(Into::into);
        }
        this.inner.set(None);
        let error = this.budget.map(|budget| {
            let error = Error::late(budget.limit(), budget.elapsed(), Phase::Body);
            Err(error.into())
        });
        Poll::Ready(error)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => inner.is_end_stream(),
            None => self.text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.text) {
            (Some(inner), _) => inner.size_hint(),
            (None, Some(text)) => {
                SizeHint::with_exact(u64::try_from(text.len()).unwrap_or(u64::MAX))
            }
            (None, None) => SizeHint::with_exact(0),
        }
    }
}

/// A body with no deadline: for servers that want an empty body of this type.
impl<R: Default> Default for InboundBody<R> {
    fn default() -> Self {
        Self {
            inner: Some(R::default()),
            text: None,
            budget: None,
            alarm: Alarm::default(),
            frames: 0,
        }
    }
}

impl<R> fmt::Debug for InboundBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundBody")
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
