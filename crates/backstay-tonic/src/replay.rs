//! A request body of tonic's that can be sent more than once.

use backstay::body::{ReplayableBody, Segments};
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tonic::{Status, body::Body};

/// tonic's request body, kept for another attempt where that is possible.
///
/// It is read when the fallback layer asks for it, and only as far as it is there already: a unary request
/// is encoded on the spot and is in memory then. A body that would have to be waited for, because its
/// messages are still to come, or that is over the replay limit, is sent as it is made, once: waiting for
/// its end could wait for ever, since a stream may depend on the answer to it. A failure then stands with
/// `Reason::NotReplayable` in the trail.
pub struct ReplayBody {
    // tonic asks for `Send` of a request body and not for `Sync`; its own is not `Sync` either.
    content: RefCell<Content>,
    limit: usize,
}

enum Content {
    /// Nobody has asked for it.
    Unread(Body),
    /// All of it.
    Memory(Segments),
    /// What was there, then the rest.
    Partly(VecDeque<Frame<Bytes>>, Rest),
}

enum Rest {
    Body(Body),
    Failed(Option<Status>),
}

// === impl ReplayBody ===

impl ReplayBody {
    pub(crate) fn new(body: Body, limit: usize) -> Self {
        Self {
            content: RefCell::new(Content::Unread(body)),
            limit,
        }
    }

    /// tonic's body again.
    pub(crate) fn into_tonic(self) -> Body {
        match self.content.into_inner() {
            Content::Unread(body) => body,
            Content::Partly(frames, Rest::Body(body)) if frames.is_empty() => body,
            content => Body::new(Self {
                content: RefCell::new(content),
                limit: self.limit,
            }),
        }
    }
}

impl ReplayableBody for ReplayBody {
    fn segments(&self) -> Option<Segments> {
        let mut content = self.content.borrow_mut();
        if let Content::Unread(body) = &mut *content {
            *content = read(std::mem::take(body), self.limit);
        }
        match &*content {
            Content::Memory(segments) => Some(segments.clone()),
            _ => None,
        }
    }

    fn must_stream(&self) -> bool {
        !matches!(&*self.content.borrow(), Content::Memory(_))
    }

    fn from_segments(segments: Segments) -> Self {
        Self {
            limit: segments.len(),
            content: RefCell::new(Content::Memory(segments)),
        }
    }

    fn resume(read: Segments, rest: Self) -> Self {
        let limit = rest.limit;
        let frames = read.iter().cloned().map(Frame::data).collect();
        let rest = Rest::Body(rest.into_tonic());
        Self {
            content: RefCell::new(Content::Partly(frames, rest)),
            limit,
        }
    }
}

/// Reads what is there without waiting.
fn read(mut body: Body, limit: usize) -> Content {
    let mut context = Context::from_waker(Waker::noop());
    let mut frames = VecDeque::new();
    let mut bytes = 0_usize;
    loop {
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(frame))) => {
                bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
                let kept = frame.is_data();
                frames.push_back(frame);
                // Trailers of a request are none of gRPC's, and are passed on if there are any.
                if bytes > limit || !kept {
                    return Content::Partly(frames, Rest::Body(body));
                }
            }
            Poll::Ready(Some(Err(status))) => {
                return Content::Partly(frames, Rest::Failed(Some(status)));
            }
            Poll::Ready(None) => return Content::Memory(in_one(frames, bytes).into()),
            // The next poll brings a waker of its own.
            Poll::Pending => return Content::Partly(frames, Rest::Body(body)),
        }
    }
}

fn in_one(frames: VecDeque<Frame<Bytes>>, bytes: usize) -> Bytes {
    let mut data = frames
        .into_iter()
        .filter_map(|frame| frame.into_data().ok());
    match (data.next(), data.next()) {
        (None, _) => Bytes::new(),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let mut all = BytesMut::with_capacity(bytes);
            all.extend_from_slice(&first);
            all.extend_from_slice(&second);
            data.for_each(|more| all.extend_from_slice(&more));
            all.freeze()
        }
    }
}

impl HttpBody for ReplayBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.content.get_mut() {
            Content::Unread(body) => Pin::new(body).poll_frame(cx),
            Content::Memory(segments) => {
                let all = std::mem::take(segments).to_bytes();
                Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))))
            }
            Content::Partly(frames, rest) => match (frames.pop_front(), rest) {
                (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
                (None, Rest::Body(body)) => Pin::new(body).poll_frame(cx),
                (None, Rest::Failed(status)) => Poll::Ready(status.take().map(Err)),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &*self.content.borrow() {
            Content::Unread(body) => body.is_end_stream(),
            Content::Memory(segments) => segments.is_empty(),
            Content::Partly(frames, rest) => {
                frames.is_empty()
                    && match rest {
                        Rest::Body(body) => body.is_end_stream(),
                        Rest::Failed(status) => status.is_none(),
                    }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.content.borrow() {
            Content::Unread(body) => body.size_hint(),
            Content::Memory(segments) => SizeHint::with_exact(segments.len() as u64),
            Content::Partly(..) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ReplayBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.content.borrow() {
            Content::Unread(_) => "unread",
            Content::Memory(_) => "in memory",
            Content::Partly(..) => "streaming",
        };
        f.debug_tuple("ReplayBody").field(&state).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full, StreamBody};
    use tokio_stream::StreamExt;

    fn frames(
        parts: Vec<Result<&'static str, Status>>,
    ) -> impl tokio_stream::Stream<Item = Result<Frame<Bytes>, Status>> {
        tokio_stream::iter(
            parts
                .into_iter()
                .map(|part| part.map(|text| Frame::data(Bytes::from_static(text.as_bytes())))),
        )
    }

    #[test]
    fn what_is_there_is_kept_and_not_copied() {
        let bytes = Bytes::from_static(b"message");
        let body = ReplayBody::new(Body::new(Full::new(bytes.clone())), 64);
        let kept = body.segments().unwrap().to_bytes();
        assert_eq!(kept.as_ptr(), bytes.as_ptr());
        assert!(!body.must_stream());
    }

    #[tokio::test]
    async fn what_must_be_waited_for_is_streamed() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.try_send(Ok(Frame::data(Bytes::from("a")))).unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::<Result<_, Status>>::new(receiver);
        let body = ReplayBody::new(Body::new(StreamBody::new(stream)), 64);
        assert!(body.segments().is_none());
        assert!(body.must_stream());
        let rest = tokio::spawn(body.into_tonic().collect());
        sender
            .send(Ok(Frame::data(Bytes::from("b"))))
            .await
            .unwrap();
        drop(sender);
        assert_eq!(rest.await.unwrap().unwrap().to_bytes(), "ab");
    }

    #[tokio::test]
    async fn over_the_limit_it_is_streamed_whole() {
        let parts = frames(vec![Ok("abc"), Ok("def"), Ok("ghi")]);
        let body = ReplayBody::new(Body::new(StreamBody::new(parts)), 4);
        assert!(body.segments().is_none());
        let all = body.into_tonic().collect().await.unwrap().to_bytes();
        assert_eq!(all, "abcdefghi");
        let parts = frames(vec![Ok("abc"), Ok("d")]);
        let body = ReplayBody::new(Body::new(StreamBody::new(parts)), 4);
        assert_eq!(body.segments().unwrap().to_bytes(), "abcd");
    }

    #[tokio::test]
    async fn an_encoder_that_fails_says_so_once() {
        let parts = frames(vec![Ok("abc"), Err(Status::out_of_range("too large"))]);
        let body = ReplayBody::new(Body::new(StreamBody::new(parts)), 64);
        assert!(body.segments().is_none());
        let mut body = body.into_tonic();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "abc"
        );
        let status = body.frame().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::OutOfRange);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn nobody_asks_and_nothing_is_read() {
        let body = Body::new(StreamBody::new(frames(vec![Ok("a")]).map(|frame| frame)));
        let body = ReplayBody::new(body, 64).into_tonic();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "a");
    }
}
