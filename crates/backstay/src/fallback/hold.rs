//! An answer held back until its commit point.

use super::{
    Commit,
    evidence::{Missing, missing},
    frames::Frames,
    targets::HoldBounds,
};
use crate::{
    call::{Call, Claim},
    error::BoxError,
    observe::{Content, Observer, Signals},
    trail::Note,
};
use backstay_dialect::{Dialect, JsonEnd};
use bytes::Bytes;
use http::{Response, response::Parts};
use http_body::Body;
use memchr::memmem;
use std::{
    pin::Pin,
    sync::LazyLock,
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
    /// The transfer tells where the body ends, so that a body which ends early is an error.
    sized: bool,
    since: Option<Instant>,
    /// The policy is asked when the answer was withheld.
    pub(super) minds_refusals: bool,
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

/// What an answer that is an error has in it. Prepared once: a search of its own costs more than most answers.
static ERROR: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(b"\"error\""));

// === impl Hold ===

impl<R> Hold<R> {
    /// The answer is given up: the record is told what has passed of it.
    pub(super) fn settle(&mut self, call: &Call) {
        if let Some(observer) = &mut self.observer {
            observer.settle(call);
        }
    }
}

impl<R> Hold<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    /// `point` is what the caller wished for; `None` is the default of the content.
    pub(super) fn new(response: Response<R>, call: &Call, point: Option<Commit>) -> Self {
        let (parts, body) = response.into_parts();
        // A layer further in may be the one that observes this body.
        let observer = call
            .claim(Claim::Observer)
            .then(|| Observer::new(call, &parts.headers));
        let content = match &observer {
            Some(observer) => observer.content(),
            None => Observer::content_of(call, &parts.headers),
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
            sized: body.size_hint().exact().is_some(),
            parts,
            body,
            observer,
            content,
            frames: Frames::default(),
            point,
            since: None,
            minds_refusals: false,
        }
    }

    pub(super) fn commit_at_head(&mut self) {
        self.point = Commit::Head;
    }

    /// Whatever its headers say, this answer has no body to be judged.
    pub(super) fn has_no_content(&mut self) {
        self.content = Content::Opaque;
        self.point = Commit::Head;
    }

    /// Whether the head or the first output let it through, and not the end or a bound, which come later.
    pub(super) fn is_due_to_the_last_moment(&self, call: &Call) -> bool {
        match self.point {
            Commit::Head => true,
            Commit::FirstContent => call.signals().has(Signals::OUTPUT),
            // Reasoning came before it.
            Commit::AfterReasoning => false,
            Commit::End => false,
        }
    }

    /// Whether the target has shown that it answers. The head of a stream alone does not show it.
    pub(super) fn proves_its_target(&self, call: &Call) -> bool {
        self.content != Content::Events || call.signals().has(Signals::OUTPUT | Signals::FINISHED)
    }

    /// Whether the provider withheld the answer, and somebody minds.
    pub(super) fn is_refusal(&self, call: &Call) -> bool {
        self.minds_refusals && call.signals().has(Signals::REFUSED)
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        dialect: &dyn Dialect,
        bounds: &HoldBounds,
    ) -> Poll<HoldEnd> {
        if self.point == Commit::Head {
            return Poll::Ready(HoldEnd::Committed { ended: false });
        }
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                // All of a document is here; what became of its connection does not matter.
                Some(Err(_)) if self.content == Content::Json && self.is_whole_json(false) => {
                    return Poll::Ready(self.end(call, dialect));
                }
                Some(Err(error)) => return Poll::Ready(HoldEnd::Failed(error.into())),
                None => return Poll::Ready(self.end(call, dialect)),
            };
            let has_data = frame.data_ref().is_some_and(|data| !data.is_empty());
            if let Some(observer) = &mut self.observer {
                observer.frame(call, &frame);
            }
            self.frames.push(frame);
            let seen = call.signals();
            if seen.has(Signals::ERROR) {
                return Poll::Ready(HoldEnd::InBand);
            }
            if seen.has(Signals::ENDED) {
                // Nothing after the marker belongs to the answer; the body reads the rest.
                return Poll::Ready(match self.judge(call, dialect) {
                    HoldEnd::Committed { .. } => HoldEnd::Committed { ended: false },
                    other => other,
                });
            }
            let output = match self.content {
                Content::Events => seen.has(Signals::OUTPUT),
                _ => has_data,
            };
            let due = match self.point {
                Commit::FirstContent => output,
                Commit::AfterReasoning if self.content == Content::Events => {
                    seen.has(Signals::CONTENT)
                }
                Commit::AfterReasoning => output,
                Commit::Head | Commit::End => false,
            };
            if due {
                return Poll::Ready(HoldEnd::Committed { ended: false });
            }
            if self.body.is_end_stream() {
                return Poll::Ready(self.end(call, dialect));
            }
            if self.frames.len() >= bounds.frames
                || self.frames.bytes() >= bounds.bytes
                || self.is_over_time(bounds)
            {
                call.with_attempt(|attempt| attempt.note(Note::HoldBound));
                return Poll::Ready(HoldEnd::Committed { ended: false });
            }
        }
    }

    fn end(&self, call: &Call, dialect: &dyn Dialect) -> HoldEnd {
        match self.judge(call, dialect) {
            HoldEnd::Committed { .. } => HoldEnd::Committed { ended: true },
            other => other,
        }
    }

    /// What the answer is worth if nothing follows.
    fn judge(&self, call: &Call, dialect: &dyn Dialect) -> HoldEnd {
        let whole = || self.is_whole_json(self.sized);
        match missing(self.content, call.signals(), self.frames.bytes(), whole) {
            Some(Missing::Output) => HoldEnd::Empty,
            Some(Missing::End) => HoldEnd::Truncated,
            None if self.content == Content::Json => self.read_json(call, dialect),
            None => HoldEnd::Committed { ended: false },
        }
    }

    /// A whole document with a 2xx status may be an error all the same.
    fn read_json(&self, call: &Call, dialect: &dyn Dialect) -> HoldEnd {
        let fine = HoldEnd::Committed { ended: false };
        if self.frames.bytes() > MAX_JSON_READ {
            return fine;
        }
        let document = self.frames.to_bytes();
        // An answer is read only where it could be an error, or where somebody minds that it is withheld.
        if ERROR.find(&document).is_none() && !self.minds_refusals {
            return fine;
        }
        let answer = dialect.read_answer(&document);
        if answer.refused {
            call.signal(Signals::REFUSED);
        }
        let Some(failure) = answer.error else {
            return fine;
        };
        call.with_state(|state| state.in_band = Some(failure));
        HoldEnd::InBand
    }

    /// Where the transfer proves the length, a document that begins and ends like one is one. Else all of
    /// it is looked at.
    fn is_whole_json(&self, sized: bool) -> bool {
        if sized {
            let first = self
                .frames
                .data()
                .find_map(|data| data.trim_ascii_start().first());
            let last = self
                .frames
                .last_data()
                .and_then(|data| data.trim_ascii_end().last());
            return match first {
                Some(b'{') => last == Some(&b'}'),
                Some(b'[') => last == Some(&b']'),
                // A bare number or word has no end of its own.
                _ => true,
            };
        }
        let mut end = JsonEnd::default();
        self.frames.data().for_each(|data| end.feed(data));
        end.is_complete()
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
