//! The response body: hyper's, with the properties that layers above need.

use crate::{Error, direct::Lease};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The body of a response, read from the connection as it is polled.
///
/// `Send + Sync + Unpin`; the default one is empty. Length, end and trailers are those of the wire. Its
/// errors are [`Error`]s of kind [`Body`](crate::ErrorKind::Body).
///
/// Dropping it before its end cancels: HTTP/1 closes the connection, HTTP/2 resets the stream. Only if nothing but
/// the end is missing, and has arrived, the connection is kept.
#[derive(Default)]
pub struct ResponseBody {
    inner: Option<Incoming>,
    /// The connection, where this body drives it. Never locked: the mutex makes it `Sync`.
    lease: Option<Mutex<Box<dyn Lease>>>,
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) fn new(inner: Incoming) -> Self {
        Self {
            inner: Some(inner),
            lease: None,
        }
    }

    /// A body whose connection moves only when the body is polled.
    pub(crate) fn driven(inner: Incoming, lease: Box<dyn Lease>) -> Self {
        Self {
            inner: Some(inner),
            lease: Some(Mutex::new(lease)),
        }
    }

    /// The connection goes back to its pool, or is closed.
    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.into_inner().finish();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = &mut *self;
        let Some(inner) = &mut body.inner else {
            return Poll::Ready(None);
        };
        let frame = match &mut body.lease {
            None => ready!(Pin::new(inner).poll_frame(cx)),
            Some(lease) => {
                let lease = lease.get_mut();
                ready!(poll_driven(inner, &mut **lease, cx))
            }
        };
        if !matches!(frame, Some(Ok(_))) {
            body.release();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Error::body)))
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

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // First: then the connection knows that nobody reads.
        self.inner = None;
        self.release();
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("is_end_stream", &self.is_end_stream())
            .field("size_hint", &self.size_hint())
            .finish()
    }
}

/// The next frame, if it is there or on the socket.
fn poll_driven(
    inner: &mut Incoming,
    lease: &mut dyn Lease,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    let mut inner = Pin::new(inner);
    if let Poll::Ready(frame) = inner.as_mut().poll_frame(cx) {
        return Poll::Ready(frame);
    }
    lease.drive(cx);
    inner.poll_frame(cx)
}
