//! The body.

use super::{guard::Guard, token::Tokens};
use crate::{
    FRAMES_BETWEEN_LOOKS,
    error::{BoxError, Error},
    observe::{Polled, pass},
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
    /// The end, however it comes, and a look at the tokens.
    #[cold]
    #[inline(never)]
    fn rest<D, E: Into<BoxError>>(self: Pin<&mut Self>, polled: Polled<D, E>) -> Polled<D> {
        let polled = polled.map_err(Into::into);
        let mut this = self.project();
        let fired = match &polled {
            Poll::Ready(Some(Ok(_))) => {
                let (Some(inner), Some(guard)) = (&*this.inner, &*this.guard) else {
                    return polled;
                };
                if inner.is_end_stream() {
                    // A consumer that knows the length does not come back for the end. What is inside
                    // goes first, so that its last words are in the trail.
                    this.inner.set(None);
                    complete(this.guard);
                    false
                } else if guard.has_seen_end() {
                    // Whatever becomes of the connection now, the answer is there.
                    complete(this.guard);
                    false
                } else {
                    (*this.frames).is_multiple_of(FRAMES_BETWEEN_LOOKS) && this.tokens.have_fired()
                }
            }
            Poll::Ready(Some(Err(error))) => {
                this.inner.set(None);
                if let Some(guard) = this.guard.take() {
                    guard.failed(&**error);
                }
                false
            }
            Poll::Ready(None) => {
                this.inner.set(None);
                complete(this.guard);
                false
            }
            // Only a token brings it here.
            Poll::Pending => true,
        };
        if !fired {
            return polled;
        }
        let error = this.guard.as_ref().and_then(Guard::token_fired);
        this.inner.set(None);
        Poll::Ready(token_fired(this.guard, error).map(Err))
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
        let polled = ManuallyDrop::new(inner.as_mut().poll_frame(cx));
        let usual = match &*polled {
            Poll::Ready(Some(Ok(frame))) => {
                *this.frames = this.frames.wrapping_add(1);
                frame.is_data()
                    && !(*this.frames).is_multiple_of(FRAMES_BETWEEN_LOOKS)
                    && this
                        .guard
                        .as_ref()
                        .is_none_or(|guard| !guard.has_seen_end() && !inner.is_end_stream())
            }
            Poll::Pending if this.guard.is_none() || this.tokens.poll(cx).is_pending() => {
                return Poll::Pending;
            }
            Poll::Pending => false,
            Poll::Ready(_) => false,
        };
        if usual {
            pass(ManuallyDrop::into_inner(polled))
        } else {
            self.rest(ManuallyDrop::into_inner(polled))
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
fn token_fired(guard: &mut Option<Guard>, error: Option<Error>) -> Option<BoxError> {
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
