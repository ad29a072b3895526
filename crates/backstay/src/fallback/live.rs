//! What is kept beside an answer that was let through, to its end.

use super::{
    cool_down::Trial,
    ended::in_band,
    evidence::{Missing, missing},
    policy::Cause,
};
use crate::{
    alarm::Alarm,
    call::{Held, Moment, Over},
    error::{BoxError, Error, ErrorKind},
    observe::{Content, Observer, Signals},
    trail::Outcome,
};
use backstay_dialect::JsonEnd;
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Instant;

/// What is kept beside an answer that was let through.
pub(super) struct Live<R> {
    pub(super) call: Held,
    pub(super) observer: Option<Observer>,
    pub(super) content: Content,
    pub(super) stage: Stage,
    pub(super) bytes: usize,
    // Boxed: few JSON documents are let through before their end.
    pub(super) json: Option<Box<JsonEnd>>,
    pub(super) alarm: Alarm,
    pub(super) trial: Trial,
    /// Set where the bounds of a task are known.
    pub(super) linger: fn(R),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The answer is arriving.
    Open,
    /// An in-band error was passed on; the typed one is next.
    Broken,
    /// The end marker has passed; the transfer is given until then to end too.
    Ended(Option<Instant>),
}

// === impl Live ===

impl<R> Live<R> {
    /// Looks at a frame; false when it is the last one, or the last before an error.
    #[inline]
    pub(super) fn passes(&mut self, frame: &Frame<Bytes>) -> bool {
        if let Some(observer) = &mut self.observer {
            observer.frame(&self.call, frame);
        }
        match self.content {
            Content::Events => {
                let signals = self.call.signals();
                if signals.has(Signals::ERROR) {
                    self.stage = Stage::Broken;
                }
                !signals.has(Signals::ERROR | Signals::ENDED)
            }
            Content::Json => {
                if let (Some(json), Some(data)) = (&mut self.json, frame.data_ref()) {
                    self.bytes += data.len();
                    json.feed(data);
                }
                true
            }
            Content::Opaque | Content::Encoded => true,
        }
    }

    #[inline]
    pub(super) fn has_just_ended(&mut self) -> bool {
        let ended = self.content == Content::Events
            && matches!(self.stage, Stage::Open)
            && self.call.signals().has(Signals::ENDED);
        if ended {
            self.stage = Stage::Ended(None);
        }
        ended
    }

    /// What is wrong with the answer if this is all of it.
    pub(super) fn judge(&self) -> Option<Outcome> {
        let whole = || self.json.as_ref().is_none_or(|json| json.is_complete());
        match missing(self.content, self.call.signals(), self.bytes, whole)? {
            Missing::Output => Some(Outcome::Empty),
            Missing::End => Some(Outcome::Truncated),
        }
    }

    /// No more comes: the transfer ended or broke. What the caller is told.
    pub(super) fn end(&mut self, error: Option<BoxError>) -> Option<BoxError> {
        match (self.stage, error) {
            (Stage::Open | Stage::Broken, Some(error)) if !self.is_whole_json() => {
                return Some(self.broke(error));
            }
            // The answer is whole; what becomes of its connection is nobody's business.
            (Stage::Ended(_), Some(_)) => return None,
            (Stage::Open, None) => {
                if let Some(outcome) = self.judge() {
                    return Some(self.fail(outcome));
                }
            }
            _ => {}
        }
        self.complete();
        None
    }

    fn is_whole_json(&self) -> bool {
        self.content == Content::Json && self.judge().is_none()
    }

    pub(super) fn complete(&mut self) {
        self.trial.succeeded();
        let now = Instant::now();
        self.call.mark(Moment::Complete, now);
        self.call.end(now);
    }

    fn failed(&self, outcome: Outcome) {
        let now = Instant::now();
        let at = self.call.since_start(now);
        self.call.with_attempt(|attempt| attempt.end(outcome, at));
        self.call.end(now);
    }

    pub(super) fn fail(&mut self, outcome: Outcome) -> BoxError {
        let kind = match outcome {
            Outcome::InBand => {
                let failure = in_band(&self.call);
                let class = failure.class;
                self.trial.broke(&Cause::InBand(&failure), Instant::now());
                self.call.with_attempt(|attempt| {
                    attempt.class = Some(class);
                    attempt.code = failure.code;
                });
                ErrorKind::InBand(class)
            }
            Outcome::Empty => {
                self.trial.broke(&Cause::Empty, Instant::now());
                ErrorKind::Empty
            }
            _ => {
                self.trial.broke(&Cause::Truncated, Instant::now());
                ErrorKind::Truncated
            }
        };
        self.failed(outcome);
        Error::of(&self.call, kind).into()
    }

    /// A transport error, or what a layer further in says.
    fn broke(&mut self, error: BoxError) -> BoxError {
        if let Some(known) = Error::find(&*error) {
            if let ErrorKind::Timeout(clock) = known.kind() {
                self.trial.broke(&Cause::Clock(clock), Instant::now());
            }
            self.failed(match known.kind() {
                ErrorKind::Timeout(clock) => Outcome::Timeout(clock),
                ErrorKind::Deadline => Outcome::Deadline,
                ErrorKind::Cancelled(_) => Outcome::Cancelled,
                _ => Outcome::Transport,
            });
            return error;
        }
        self.trial.broke(&Cause::Transport(&*error), Instant::now());
        self.failed(Outcome::Transport);
        Error::of(&self.call, ErrorKind::Transport)
            .with_source(error)
            .into()
    }

    pub(super) fn abandoned(&self) {
        self.failed(match self.call.over() {
            Some(Over::Deadline) => Outcome::Deadline,
            _ => Outcome::Cancelled,
        });
    }
}

impl<R> Drop for Live<R> {
    fn drop(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.settle(&self.call);
        }
    }
}
