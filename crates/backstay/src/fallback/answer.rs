//! An answer that says that it failed, read as far as it takes to know why.

use super::frames::Frames;
use crate::{alarm::Alarm, error::BoxError, observe::is_encoded};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, header, response::Parts};
use http_body::{Body, Frame};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::{Duration, Instant};

/// A failed answer with a prefix of its body.
pub(super) struct FailedAnswer<R> {
    pub(super) parts: Parts,
    /// The rest, while it is not known to be over.
    rest: Option<R>,
    prefix: BytesMut,
    whole: Option<Bytes>,
    trailers: Option<HeaderMap>,
    frames: usize,
    alarm: Alarm,
    until: Instant,
}

/// How much of a failed answer's body is read.
const MAX_PREFIX: usize = 64 * 1024;
/// In how many frames; some may be empty.
const MAX_FRAMES: usize = 1024;
/// How long is waited for it; a failed answer comes in one piece.
const MAX_TIME: Duration = Duration::from_millis(500);

// === impl FailedAnswer ===

impl<R> FailedAnswer<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    pub(super) fn new(response: Response<R>, now: Instant) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            parts,
            rest: Some(body),
            prefix: BytesMut::new(),
            whole: None,
            trailers: None,
            frames: 0,
            alarm: Alarm::default(),
            until: now + MAX_TIME,
        }
    }

    /// Ready when all of the body is read, or a bound is reached.
    pub(super) fn poll_prefix(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(body) = &mut self.rest {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let is_over = body.is_end_stream();
                    self.frames += 1;
                    self.keep(frame);
                    if is_over {
                        self.rest = None;
                    } else if self.len() >= MAX_PREFIX || self.frames >= MAX_FRAMES {
                        return Poll::Ready(());
                    }
                }
                // The status is the answer; a body that breaks off does not change it.
                Poll::Ready(Some(Err(_))) => {
                    self.rest = None;
                    let read = self.len();
                    set_length(&mut self.parts.headers, read, true);
                }
                Poll::Ready(None) => self.rest = None,
                Poll::Pending => return self.alarm.poll(cx, Some(self.until)),
            }
        }
        Poll::Ready(())
    }

    fn keep(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            // An answer in one frame is not copied.
            Ok(data) if self.prefix.is_empty() && self.whole.is_none() => self.whole = Some(data),
            Ok(data) => {
                if let Some(first) = self.whole.take() {
                    self.prefix.extend_from_slice(&first);
                }
                self.prefix.extend_from_slice(&data);
            }
            Err(trailers) => self.trailers = trailers.into_trailers().ok(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.prefix.len() + self.whole.as_ref().map_or(0, Bytes::len)
    }

    /// What was read, unless it is encoded: then there is nothing to be read in it.
    pub(super) fn legible(&self) -> &[u8] {
        if is_encoded(&self.parts.headers) {
            return &[];
        }
        let read = self.whole.as_deref().unwrap_or(&self.prefix);
        read.get(..MAX_PREFIX).unwrap_or(read)
    }

    /// Lets go of the connection. What was read is all there is of the answer from now on.
    pub(super) fn let_go(mut self) -> (Parts, Frames) {
        let cut = self.rest.take().is_some();
        let read = self.len();
        set_length(&mut self.parts.headers, read, cut);
        let (parts, read, _) = self.into_parts();
        (parts, read)
    }

    /// The answer with all of its body.
    pub(super) fn into_parts(self) -> (Parts, Frames, Option<R>) {
        let data = self.whole.unwrap_or_else(|| self.prefix.freeze());
        let mut read = Frames::default();
        if !data.is_empty() {
            read.push(Frame::data(data));
        }
        if let Some(trailers) = self.trailers {
            read.push(Frame::trailers(trailers));
        }
        (self.parts, read, self.rest)
    }
}

/// A length of the upstream's must be true of what is passed on.
fn set_length(headers: &mut HeaderMap, length: usize, cut: bool) {
    headers.remove(header::TRANSFER_ENCODING);
    if cut && headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
}
