//! What the fallback layer needs of a request body.

use super::{Body, Segments};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{
    BodyExt, Empty, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};
use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A request body that can be sent more than once.
///
/// Implemented by `Full<Bytes>` (a rewrite copies it once), `Empty<Bytes>`, boxed bodies (read into memory
/// before the first attempt), and backstay's own [`Body`] (no copy). Wrap anything else with
/// [`Body::wrap`], or implement it.
pub trait ReplayableBody: HttpBody<Data = Bytes> + Unpin + Sized {
    /// The content, when it is in memory already.
    ///
    /// `None` lets the fallback layer read the body, up to its replay limit, before the first attempt.
    fn segments(&self) -> Option<Segments>;

    /// Whether it has to be sent while it is being made, so that reading it to its end first could wait for
    /// the answer. Asked for when the content is not in memory; such a body is sent once.
    fn must_stream(&self) -> bool {
        false
    }

    /// A body of this content.
    fn from_segments(segments: Segments) -> Self;

    /// A body of which a part was read: that part, then the rest. Asked for when the replay limit was
    /// reached and an attempt needs no rewrite.
    fn resume(read: Segments, rest: Self) -> Self;
}

impl ReplayableBody for Body {
    fn segments(&self) -> Option<Segments> {
        self.segments().cloned()
    }

    fn from_segments(segments: Segments) -> Self {
        segments.into()
    }

    fn resume(read: Segments, rest: Self) -> Self {
        Self::wrap(Resumed { read, rest })
    }
}

impl ReplayableBody for Full<Bytes> {
    fn segments(&self) -> Option<Segments> {
        // Cloned and read to its one frame: `Full` does not lend its bytes.
        let mut copy = self.clone();
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut copy).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok().map(Segments::from),
            _ => Some(Segments::default()),
        }
    }

    fn from_segments(segments: Segments) -> Self {
        Self::new(segments.to_bytes())
    }

    /// Never asked for: the content is in memory.
    fn resume(read: Segments, _: Self) -> Self {
        Self::from_segments(read)
    }
}

impl ReplayableBody for Empty<Bytes> {
    fn segments(&self) -> Option<Segments> {
        Some(Segments::default())
    }

    /// An empty body stays empty: it has no model to replace.
    fn from_segments(_: Segments) -> Self {
        Self::new()
    }

    fn resume(_: Segments, rest: Self) -> Self {
        rest
    }
}

impl<E: 'static> ReplayableBody for BoxBody<Bytes, E> {
    fn segments(&self) -> Option<Segments> {
        None
    }

    fn from_segments(segments: Segments) -> Self {
        InMemory::new(segments).boxed()
    }

    fn resume(read: Segments, rest: Self) -> Self {
        Resumed { read, rest }.boxed()
    }
}

impl<E: 'static> ReplayableBody for UnsyncBoxBody<Bytes, E> {
    fn segments(&self) -> Option<Segments> {
        None
    }

    fn from_segments(segments: Segments) -> Self {
        InMemory::new(segments).boxed_unsync()
    }

    fn resume(read: Segments, rest: Self) -> Self {
        Resumed { read, rest }.boxed_unsync()
    }
}

/// Content in memory as a body that cannot fail, with whatever error type a box asks for.
struct InMemory<E> {
    body: Body,
    error: PhantomData<fn() -> E>,
}

/// What was read of a body, then the rest of it.
struct Resumed<B> {
    read: Segments,
    rest: B,
}

// === impl InMemory ===

impl<E> InMemory<E> {
    fn new(segments: Segments) -> Self {
        Self {
            body: segments.into(),
            error: PhantomData,
        }
    }
}

impl<E> HttpBody for InMemory<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            // Slices in memory do not fail and do not wait.
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Resumed ===

impl<B> HttpBody for Resumed<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.read.take_next() {
            Some(slice) => Poll::Ready(Some(Ok(Frame::data(slice)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.size_hint();
        let read = self.read.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}
