//! backstay's own request body.

use super::Segments;
use crate::error::BoxError;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::BoxBody};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// A request body that is in memory, or any other body in a box.
///
/// From bytes it can be sent again and have its model replaced without a copy. A [wrapped](Self::wrap)
/// body is read into memory, up to the replay limit, before the first attempt.
#[derive(Default)]
pub struct Body(Kind);

enum Kind {
    Segments(Segments),
    Wrapped(BoxBody<Bytes, BoxError>),
}

// === impl Body ===

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Any body. Put one here that streams.
    pub fn wrap<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Wrapped(body.map_err(Into::into).boxed()))
    }

    pub(super) fn segments(&self) -> Option<&Segments> {
        match &self.0 {
            Kind::Segments(segments) => Some(segments),
            Kind::Wrapped(_) => None,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Segments(segments) => {
                Poll::Ready(segments.take_next().map(|slice| Ok(Frame::data(slice))))
            }
            Kind::Wrapped(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Segments(segments) => segments.is_empty(),
            Kind::Wrapped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Segments(segments) => SizeHint::with_exact(segments.len() as u64),
            Kind::Wrapped(body) => body.size_hint(),
        }
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Segments(Segments::default())
    }
}

impl From<Segments> for Body {
    fn from(segments: Segments) -> Self {
        Self(Kind::Segments(segments))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Segments::from(bytes).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Segments(segments) => f.debug_tuple("Body").field(segments).finish(),
            Kind::Wrapped(_) => f.debug_tuple("Body").field(&"wrapped").finish(),
        }
    }
}
