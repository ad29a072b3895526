//! The body.

use super::{Admission, Watchers, around, future::shut_down, live::Record};
use crate::{
    call::{Call, Held},
    error::BoxError,
    observe::{End, Polled, Signals, pass},
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
    /// The response body of [`DrainService`](super::DrainService) and
    /// [`ServerService`](super::ServerService).
    ///
    /// When the grace period is over it drops the inner body, yields the error once, and is at its end.
    pub struct DrainBody<B> {
        // In this order: hooks are started before the drain is told that the call has ended.
        #[pin]
        inner: Option<B>,
        call: Option<Held>,
        // None once the drain does not wait for it any more.
        admission: Option<Admission>,
        // Around a server's body, which may make calls of its own.
        watchers: Option<Watchers>,
    }
}

// === impl DrainBody ===

impl<B: Body> DrainBody<B> {
    pub(super) fn new(inner: B, call: Option<Held>, admission: Option<Admission>) -> Self {
        let mut body = Self {
            inner: Some(inner),
            call,
            admission,
            watchers: None,
        };
        // A consumer may never poll a body that has nothing in it.
        if body.inner.as_ref().is_some_and(Body::is_end_stream) {
            complete(&mut body.admission);
        } else if let Some(admission) = &mut body.admission {
            // Nor any other.
            admission.place(|| record(body.call.as_deref()));
        }
        body
    }

    /// The body of a server's response.
    pub(super) fn of_server(inner: B, admission: Option<Admission>, watchers: Watchers) -> Self {
        let mut body = Self::new(inner, None, admission);
        body.watchers = Some(watchers);
        body
    }

    /// After a frame that may have been the last.
    #[cold]
    #[inline(never)]
    fn look(self: Pin<&mut Self>, is_last: bool) {
        let mut this = self.project();
        if (*this.inner).as_ref().is_some_and(Body::is_end_stream) {
            // A consumer that knows the length does not come back for the end.
            this.inner.set(None);
            *this.call = None;
            complete(this.admission);
        } else if has_seen_end(this.call.as_ref()) {
            // Whatever becomes of the connection now, the answer is there.
            complete(this.admission);
        } else if is_last && let Some(admission) = this.admission {
            // Nothing but an error follows trailers, and some bodies do not say so: a consumer may not come back.
            admission.is_complete_if_dropped();
        }
    }

    /// Nothing follows.
    #[cold]
    #[inline(never)]
    fn ended(self: Pin<&mut Self>, error: Option<&BoxError>) {
        let mut this = self.project();
        this.inner.set(None);
        *this.call = None;
        match (this.admission.take(), error) {
            (Some(admission), Some(error)) => admission.failed(&**error),
            (Some(admission), None) => admission.complete(),
            (None, _) => {}
        }
    }
}

impl<B> DrainBody<B> {
    /// With nothing in it.
    pub(super) fn empty() -> Self {
        Self {
            inner: None,
            call: None,
            admission: None,
            watchers: None,
        }
    }
}

impl<B> Body for DrainBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    #[inline(always)]
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B::Data> {
        let mut this = self.as_mut().project();
        if this.admission.as_ref().is_some_and(Admission::is_shut_down) {
            return Poll::Ready(ended_by_shutdown(this.inner, this.call, this.admission).map(Err));
        }
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = match this.watchers {
            None => inner.as_mut().poll_frame(cx),
            Some(watchers) => around::poll(watchers.clone(), || inner.as_mut().poll_frame(cx)),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = ManuallyDrop::new(frame);
                let usual = frame.is_data()
                    && (this.admission.is_none()
                        || !has_seen_end(this.call.as_ref()) && !inner.is_end_stream());
                if !usual {
                    let is_last = !frame.is_data();
                    self.look(is_last);
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
            Poll::Pending => {
                let call = this.call.as_deref();
                let shut_down = match this.admission {
                    Some(admission) => admission.poll_shutdown_of(|| record(call), cx),
                    None => Poll::Pending,
                };
                shut_down
                    .map(|()| ended_by_shutdown(this.inner, this.call, this.admission).map(Err))
            }
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

fn record(call: Option<&Call>) -> Option<Record> {
    call.cloned().map(Record::Call)
}

fn has_seen_end(call: Option<&Held>) -> bool {
    call.is_some_and(|call| call.signals().has(Signals::ENDED))
}

#[cold]
fn complete(admission: &mut Option<Admission>) {
    if let Some(admission) = admission.take() {
        admission.complete();
    }
}

/// Ends it with the error; hooks are started once what is inside has been dropped.
#[cold]
#[inline(never)]
fn ended_by_shutdown<B>(
    mut inner: Pin<&mut Option<B>>,
    call: &mut Option<Held>,
    admission: &mut Option<Admission>,
) -> End {
    let error = match (&*call, &*admission) {
        (Some(call), _) => Some(shut_down(call)),
        (None, Some(admission)) => Some(admission.error()),
        (None, None) => None,
    };
    match admission {
        // A server's body may have calls of its own in it.
        Some(admission) => around::shut_down(around::inside(admission.hooks()), || inner.set(None)),
        None => inner.set(None),
    }
    *call = None;
    // Dropped, it counts as cancelled.
    *admission = None;
    error.map(Into::into)
}

/// A body that no drain waits for: for clients that want an empty body of this type.
impl<B: Default> Default for DrainBody<B> {
    fn default() -> Self {
        Self {
            inner: Some(B::default()),
            call: None,
            admission: None,
            watchers: None,
        }
    }
}

impl<B> fmt::Debug for DrainBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainBody")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
