//! The body: what was held, then the rest of it, to its status.

use super::{
    future::{failure, truncated},
    hold::to_its_end,
};
use crate::{dialect::code_of, status::of_headers};
use backstay::{BoxError, Call, Error, ErrorKind, trail::Outcome};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::Code;

/// The response body of [`GrpcAttemptService`](super::GrpcAttemptService).
///
/// A code other than `OK` in its trailers, or an end without a code, ends it with a typed error.
pub struct GrpcAttemptBody<R> {
    frames: VecDeque<Frame<Bytes>>,
    /// While it may have more.
    inner: Option<R>,
    call: Option<Call>,
    /// The code is still to come.
    watched: bool,
}

// === impl GrpcAttemptBody ===

impl<R> GrpcAttemptBody<R> {
    pub(super) fn watched(
        frames: VecDeque<Frame<Bytes>>,
        inner: Option<R>,
        call: Option<Call>,
    ) -> Self {
        Self {
            frames,
            watched: inner.is_some(),
            inner,
            call,
        }
    }

    /// A body that says nothing of how the call ended.
    pub(super) fn unwatched(inner: R) -> Self {
        Self {
            frames: VecDeque::new(),
            inner: Some(inner),
            call: None,
            watched: false,
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            frames: VecDeque::new(),
            inner: None,
            call: None,
            watched: false,
        }
    }

    /// The trailers: all is well, or they become an error.
    fn trailers(&mut self, mut trailers: HeaderMap) -> Result<Frame<Bytes>, BoxError> {
        let status = of_headers(&mut trailers);
        match code_of(&trailers) {
            Some(Code::Ok) => Ok(Frame::trailers(trailers)),
            None => Err(truncated(self.call.as_ref())),
            Some(code) => {
                let status = status.unwrap_or_else(|| tonic::Status::new(code, ""));
                let Some(call) = &self.call else {
                    return Err(status.into());
                };
                let failure = failure(code);
                let kind = ErrorKind::InBand(failure.class);
                call.end_attempt(Outcome::InBand, Some(&failure));
                Err(Error::in_call(&call.trail(), kind, status).into())
            }
        }
    }
}

impl<R> Body for GrpcAttemptBody<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(frame) = this.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let polled = ready!(Pin::new(inner).poll_frame(cx));
        let end = match polled {
            Some(Ok(frame)) if frame.is_trailers() && this.watched => match frame.into_trailers() {
                Ok(trailers) => Some(this.trailers(trailers)),
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            },
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Some(Err(error.into())),
            None if this.watched => Some(Err(truncated(this.call.as_ref()))),
            None => None,
        };
        // Nothing follows: the stream and the call are let go.
        if let (Some(Ok(_)), Some(inner)) = (&end, &mut this.inner) {
            to_its_end(inner, cx);
        }
        this.inner = None;
        this.call = None;
        Poll::Ready(end)
    }

    /// Not before the status has come: the end of a transfer is none.
    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
            && self
                .inner
                .as_ref()
                .is_none_or(|inner| !self.watched && inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let held: usize = self
            .frames
            .iter()
            .filter_map(Frame::data_ref)
            .map(Bytes::len)
            .sum();
        let inner = match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held as u64));
        if let Some(upper) = inner
            .upper()
            .and_then(|upper| upper.checked_add(held as u64))
        {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<R> Default for GrpcAttemptBody<R> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<R> fmt::Debug for GrpcAttemptBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcAttemptBody")
            .field("frames", &self.frames.len())
            .field("watched", &self.watched)
            .finish_non_exhaustive()
    }
}
