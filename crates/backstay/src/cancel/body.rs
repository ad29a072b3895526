//! The body.

use super::{guard::Guard, token::Tokens};
use crate::{
    FRAMES_BETWEEN_LOOKS,
    error::{BoxError, Error},
    observe::{End, Polled, end_instead, pass},
};
use http_body::{Body, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    mem::ManuallyDrop,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The response body of [`CancelService`](super::CancelService).
    ///
    /// When a token fires it drops the inner body, yields the error once, and is at its end.
    pub struct CancelBody<B> {
        // Dropped first, so that the trail is complete when the hooks get it.
        #[pin]
        inner: Option<B>,
        guard: Option<Guard>,
        tokens: Tokens,
        frames: u8,
    }

    impl<B> PinnedDrop for CancelBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(guard) = this.guard.as_ref() {
                guard.is_dropped();
            }
            this.inner.set(None);
        }
    }
}

// === impl CancelBody ===

impl<B: Body> CancelBody<B> {
    pub(super) fn new(inner: B, mut guard: Option<Guard>, tokens: Tokens) -> Self {
        // A consumer may never poll a body that has nothing in it.
        if inner.is_end_stream() {
            complete(&mut guard);
        }
        Self {
            inner: Some(inner),
            guard,
            tokens,
            frames: 0,
        }
    }
}

impl<B: Body> CancelBody<B> {
    /// A look at the tokens, or after a frame that was the last of the answer.
    #[cold]
    #[inline(never)]
    fn look(mut self: Pin<&mut Self>) -> Option<End> {
        let mut this = self.as_mut().project();
        let (Some(inner), Some(guard)) = (&*this.inner, &*this.guard) else {
            return None;
        };
        if inner.is_end_stream() {
            // A consumer that knows the length does not come back for the end. What is inside
            // goes first, so that its last words are in the trail.
            this.inner.set(None);
            complete(this.guard);
        } else if guard.has_seen_end() {
            // Whatever becomes of the connection now, the answer is there.
            complete(this.guard);
        } else if (*this.frames).is_multiple_of(FRAMES_BETWEEN_LOOKS) && this.tokens.have_fired() {
            return Some(self.fired());
        }
        None
    }

    /// A token has fired.
    #[cold]
    #[inline(never)]
    fn fired(self: Pin<&mut Self>) -> End {
        let mut this = self.project();
        let error = this.guard.as_ref().and_then(Guard::token_fired);
        this.inner.set(None);
        token_fired(this.guard, error)
    }

    /// Nothing follows.
    #[cold]
    #[inline(never)]
    fn ended(self: Pin<&mut Self>, error: Option<&BoxError>) {
        let mut this = self.project();
        this.inner.set(None);
        match (this.guard.take(), error) {
            (Some(guard), Some(error)) => guard.failed(&**error),
            (Some(guard), None) => guard.complete(),
            (None, _) => {}
        }
    }
}

impl<B> Body for CancelBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline(always)]
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B::Data> {
        let this = self.as_mut().project();
        let Some(mut inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        match inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = ManuallyDrop::new(frame);
                *this.frames = this.frames.wrapping_add(1);
                let usual = !(*this.frames).is_multiple_of(FRAMES_BETWEEN_LOOKS)
                    && this
                        .guard
                        .as_ref()
                        .is_none_or(|guard| !guard.has_seen_end() && !inner.is_end_stream());
                if !usual && let Some(end) = self.look() {
                    return end_instead(frame, end);
                }
                pass(frame)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                self.ended(Some(&error));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.ended(None);
                Poll::Ready(None)
            }
            Poll::Pending if this.guard.is_none() || this.tokens.poll(cx).is_pending() => {
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(self.fired().map(Err)),
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

#[cold]
fn complete(guard: &mut Option<Guard>) {
    if let Some(guard) = guard.take() {
        guard.complete();
    }
}

/// Runs the hooks, once what is inside has been dropped.
#[cold]
fn token_fired(guard: &mut Option<Guard>, error: Option<Error>) -> End {
    let (guard, error) = (guard.take()?, error?);
    guard.failed(&error);
    Some(error.into())
}

/// A body without a call: for clients that want an empty body of this type.
impl<B: Default> Default for CancelBody<B> {
    fn default() -> Self {
        Self {
            inner: Some(B::default()),
            guard: None,
            tokens: Tokens::default(),
            frames: 0,
        }
    }
}

impl<B> fmt::Debug for CancelBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelBody")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
