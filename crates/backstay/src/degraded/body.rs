//! The body: the upstream's, or the user's.

use crate::error::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

pin_project! {
    /// The response body of [`DegradedService`](super::DegradedService).
    pub struct DegradedBody<B> {
        #[pin]
        inner: Option<B>,
        substitute: Bytes,
    }
}

// === impl DegradedBody ===

impl<B> DegradedBody<B> {
    pub(super) fn inner(inner: B) -> Self {
        Self {
            inner: Some(inner),
            substitute: Bytes::new(),
        }
    }

    pub(super) fn substitute(substitute: Bytes) -> Self {
        Self {
            inner: None,
            substitute,
        }
    }
}

impl<B> Body for DegradedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll_frame(cx).map_err(Into::into),
            None if this.substitute.is_empty() => Poll::Ready(None),
            None => Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.substitute))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => inner.is_end_stream(),
            None => self.substitute.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(self.substitute.len() as u64),
        }
    }
}

impl<B: Default> Default for DegradedBody<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B> fmt::Debug for DegradedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DegradedBody")
            .field("substituted", &self.inner.is_none())
            .finish_non_exhaustive()
    }
}
