//! A reply that is read to its trailers, or to its first message, before it is passed on.

use super::layer::HoldBounds;
use crate::{dialect::code_of, methods::Reply, status::drop_broken_details};
use backstay::BoxError;
use bytes::Bytes;
use http::{HeaderMap, response::Parts};
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::Code;

/// A reply that nobody has seen yet.
pub(super) struct Hold<R> {
    pub(super) parts: Parts,
    pub(super) body: R,
    pub(super) frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    reply: Reply,
}

/// How a hold ended.
pub(super) enum HoldEnd {
    /// It may be passed on.
    Pass,
    /// The same, with its trailers among the frames, which say that all is well.
    Whole,
    /// A bound was reached: it is passed on, whatever may follow.
    Bound,
    /// Its trailers have another code.
    Failed(HeaderMap),
    /// The end, and no code.
    Truncated,
    /// The body failed.
    Broke(BoxError),
}

// === impl Hold ===

impl<R> Hold<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    pub(super) fn new(parts: Parts, body: R, reply: Reply) -> Self {
        Self {
            parts,
            body,
            frames: VecDeque::new(),
            bytes: 0,
            reply,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, bounds: HoldBounds) -> Poll<HoldEnd> {
        if self.reply == Reply::Passed {
            return Poll::Ready(HoldEnd::Pass);
        }
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(HoldEnd::Broke(error.into())),
                None => return Poll::Ready(HoldEnd::Truncated),
            };
            let frame = match frame.into_trailers() {
                Ok(mut trailers) => {
                    drop_broken_details(&mut trailers);
                    return Poll::Ready(match code_of(&trailers) {
                        Some(Code::Ok) => {
                            to_its_end(&mut self.body, cx);
                            self.frames.push_back(Frame::trailers(trailers));
                            HoldEnd::Whole
                        }
                        Some(_) => HoldEnd::Failed(trailers),
                        None => HoldEnd::Truncated,
                    });
                }
                Err(frame) => frame,
            };
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.bytes = self.bytes.saturating_add(length);
            self.frames.push_back(frame);
            if self.reply == Reply::FirstMessage && length > 0 {
                return Poll::Ready(HoldEnd::Pass);
            }
            if self.bytes > bounds.bytes || self.frames.len() >= bounds.frames {
                return Poll::Ready(HoldEnd::Bound);
            }
        }
    }
}

/// Lets a body see that its trailers were the last of it, so that what is inside knows of a complete answer.
/// HTTP/2 sends nothing after trailers: this does not wait.
pub(super) fn to_its_end<R>(body: &mut R, cx: &mut Context<'_>)
where
    R: Body + Unpin,
{
    let _ = Pin::new(body).poll_frame(cx);
}
