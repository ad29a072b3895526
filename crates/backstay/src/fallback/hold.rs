//! An answer held back until its commit point.

use super::{Commit, targets::HoldBounds};
use crate::{
    call::{Call, Claim},
    error::BoxError,
    observe::{Content, Observer, Signals},
    trail::Note,
};
use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

/// A 2xx answer that the caller has not seen yet.
pub(super) struct Hold<R> {
    pub(super) parts: Parts,
    pub(super) body: R,
    pub(super) observer: Option<Observer>,
    pub(super) content: Content,
    pub(super) frames: Frames,
    point: Commit,
    since: Option<Instant>,
}

/// Frames in order. One has a place of its own, because most unary answers are one.
#[derive(Default)]
pub(super) struct Frames {
    first: Option<Frame<Bytes>>,
    more: VecDeque<Frame<Bytes>>,
    bytes: usize,
}

/// How a hold ended.
pub(super) enum HoldEnd {
    /// The commit point was reached. `ended`: the body has come to its end, and this is all of it.
    Committed { ended: bool },
    /// An in-band error; what it is stands in the record.
    InBand,
    /// The end, without end evidence.
    Truncated,
    /// The end, without output.
    Empty,
    /// The body failed.
    Failed(BoxError),
}

/// A JSON answer up to this size is looked into for an error, once it is whole.
const MAX_JSON_READ: usize = 256 * 1024;

// === impl Hold ===

impl<R> Hold<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    /// `point` is what the caller wished for; `None` is the default of the content.
    pub(super) fn new(parts: Parts, body: R, call: &Call, point: Option<Commit>) -> Self {
        // A layer further in may be the one that observes this body.
        let observer = call
            .claim(Claim::Observer)
            .then(|| Observer::new(call.clone(), &parts.headers));
        let content = match &observer {
            Some(observer) => observer.content(),
            None => Content::of_call(call, &parts.headers),
        };
        let point = match (content, point) {
            // Nothing can be told of it but its bytes.
            (Content::Encoded, _) => Commit::Head,
            (_, Some(point)) => point,
            (Content::Events, None) => Commit::FirstContent,
            (Content::Json, None) => Commit::End,
            (Content::Opaque, None) => Commit::Head,
        };
        Self {
            parts,
            body,
            observer,
            content,
            frames: Frames::default(),
            point,
            since: None,
        }
    }

    pub(super) fn commit_at_head(&mut self) {
        self.point = Commit::Head;
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        bounds: &HoldBounds,
    ) -> Poll<HoldEnd> {
        if self.point == Commit::Head {
            return Poll::Ready(HoldEnd::Committed { ended: false });
        }
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(HoldEnd::Failed(error.into())),
                None => return Poll::Ready(self.end(call)),
            };
            if let Some(observer) = &mut self.observer {
                observer.frame(&frame);
            }
            self.frames.push(frame);
            let seen = call.signals();
            if seen.has(Signals::ERROR) {
                return Poll::Ready(HoldEnd::InBand);
            }
            if seen.has(Signals::ENDED) {
                // Nothing after the marker belongs to the answer; the body reads the rest.
                return Poll::Ready(match self.judge(call) {
                    HoldEnd::Committed { .. } => HoldEnd::Committed { ended: false },
                    other => other,
                });
            }
            if self.point == Commit::FirstContent && seen.has(Signals::OUTPUT) {
                return Poll::Ready(HoldEnd::Committed { ended: false });
            }
            if self.frames.len() >= bounds.frames
                || self.frames.bytes >= bounds.bytes
                || self.is_over_time(bounds)
            {
                call.with_attempt(|attempt| attempt.note = Some(Note::HoldBound));
                return Poll::Ready(HoldEnd::Committed { ended: false });
            }
            if self.body.is_end_stream() {
                return Poll::Ready(self.end(call));
            }
        }
    }

    fn end(&self, call: &Call) -> HoldEnd {
        match self.judge(call) {
            HoldEnd::Committed { .. } => HoldEnd::Committed { ended: true },
            other => other,
        }
    }

    /// What the answer is worth if nothing follows.
    fn judge(&self, call: &Call) -> HoldEnd {
        let seen = call.signals();
        let fine = HoldEnd::Committed { ended: false };
        match self.content {
            Content::Opaque | Content::Encoded => fine,
            Content::Events if seen.has(Signals::FINISHED) => fine,
            Content::Events if !seen.has(Signals::OUTPUT) => HoldEnd::Empty,
            Content::Events if seen.has(Signals::ENDED) => fine,
            Content::Json if seen.has(Signals::FINISHED) => self.read_json(call),
            Content::Json if self.frames.bytes == 0 => HoldEnd::Empty,
            Content::Events | Content::Json => HoldEnd::Truncated,
        }
    }

    /// A whole JSON document with a 2xx status may be an error all the same.
    fn read_json(&self, call: &Call) -> HoldEnd {
        if self.frames.bytes <= MAX_JSON_READ {
            let document = self.frames.to_bytes();
            let dialect = call.with_state(|state| state.dialect.clone());
            if let Some(dialect) = dialect {
                let facts = dialect.read_answer(&document);
                if facts.error.is_some() || facts.response_id.is_some() {
                    let failed = facts.error.is_some();
                    call.with_state(|state| {
                        state.in_band = facts.error;
                        if let Some(id) = facts.response_id {
                            state.provider_response_id.get_or_insert(id);
                        }
                    });
                    if failed {
                        return HoldEnd::InBand;
                    }
                }
            }
        }
        HoldEnd::Committed { ended: false }
    }

    /// Looked at when a frame comes: silence is the clocks' business.
    fn is_over_time(&mut self, bounds: &HoldBounds) -> bool {
        // The first frame of most answers is the last one held.
        if self.frames.len() < 2 {
            return false;
        }
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) >= bounds.time
    }
}

// === impl Frames ===

impl Frames {
    pub(super) fn push(&mut self, frame: Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
        if self.first.is_none() && self.more.is_empty() {
            self.first = Some(frame);
        } else {
            self.more.push_back(frame);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Frame<Bytes>> {
        let frame = self.first.take().or_else(|| self.more.pop_front())?;
        self.bytes -= frame.data_ref().map_or(0, Bytes::len);
        Some(frame)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All data in one piece; copies unless it is one frame.
    fn to_bytes(&self) -> Bytes {
        let mut data = self
            .first
            .iter()
            .chain(&self.more)
            .filter_map(Frame::data_ref);
        match (data.next(), data.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            (Some(first), Some(second)) => {
                let mut all = BytesMut::with_capacity(self.bytes);
                all.extend_from_slice(first);
                all.extend_from_slice(second);
                data.for_each(|more| all.extend_from_slice(more));
                all.freeze()
            }
        }
    }
}
