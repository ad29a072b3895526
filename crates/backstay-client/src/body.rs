//! The response body: hyper's, with the properties that layers above need.

use crate::Error;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// The body of a response, read from the connection as it is polled.
///
/// `Send + Sync + Unpin`; the default one is empty. Length, end and trailers are those of the wire. Its
/// errors are [`Error`]s of kind [`Body`](crate::ErrorKind::Body).
///
/// Dropping it before its end cancels: HTTP/1 closes the connection, HTTP/2 resets the stream.
#[derive(Default)]
pub struct ResponseBody {
    inner: Option<Incoming>,
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) fn new(inner: Incoming) -> Self {
        Self { inner: Some(inner) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Error::body))),
            None => Poll::Ready(None),
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

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("is_end_stream", &self.is_end_stream())
            .field("size_hint", &self.size_hint())
            .finish()
    }
}
