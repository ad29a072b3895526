//! Frames in order, data first and trailers last, as a body gives them.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use std::collections::VecDeque;

/// Frames that are held. One has a place of its own, because most unary answers are one.
#[derive(Default)]
pub(super) struct Frames {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    // Boxed: few answers have them, and the body that holds this is moved a few times.
    trailers: Option<Box<HeaderMap>>,
    bytes: usize,
}

// === impl Frames ===

impl Frames {
    pub(super) fn push(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                self.bytes += data.len();
                if self.first.is_none() && self.more.is_empty() {
                    self.first = Some(data);
                } else {
                    self.more.push_back(data);
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.trailers = Some(Box::new(trailers));
                }
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Frame<Bytes>> {
        match self.first.take().or_else(|| self.more.pop_front()) {
            Some(data) => {
                self.bytes -= data.len();
                Some(Frame::data(data))
            }
            None => Some(Frame::trailers(*self.trailers.take()?)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty() && self.trailers.is_none()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn data(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(&self.more)
    }

    pub(super) fn last_data(&self) -> Option<&Bytes> {
        let mut data = self.more.iter().rev().chain(&self.first);
        data.find(|data| !data.trim_ascii_end().is_empty())
    }

    /// All data in one piece; copies unless it is one frame.
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut data = self.data();
        match (data.next(), data.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            _ => {
                let mut all = BytesMut::with_capacity(self.bytes);
                self.data().for_each(|data| all.extend_from_slice(data));
                all.freeze()
            }
        }
    }
}
