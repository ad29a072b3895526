//! The observer of one attempt's body.

use super::{Content, Signals};
use crate::{
    call::{Call, Moment, Phase},
    spoken::Spoken,
};
use backstay_dialect::{Framing, Progress, Seen, StreamObserver, Usage};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::fmt;
use tokio::time::Instant;

/// Reads the frames of one attempt's body as they pass, and raises what it sees in the call's record.
///
/// It changes no byte and copies none.
pub(crate) struct Observer {
    kind: Kind,
    bytes: u64,
}

enum Kind {
    /// Boxed: most calls of a stack may be unary, and a body is moved a few times.
    Events(Box<Events>),
    Bytes(Content),
}

struct Events {
    dialect: Spoken,
    stream: StreamObserver,
    /// What has been raised.
    raised: Signals,
    /// Tokens used so far.
    usage: Option<Usage>,
    /// Some of it is not in the record yet.
    unwritten: bool,
}

// === impl Observer ===

impl Observer {
    pub(crate) fn new(call: &Call, headers: &HeaderMap) -> Self {
        let kind = match events_of(call, headers) {
            Ok((dialect, framing)) => Kind::Events(Box::new(Events {
                dialect,
                stream: StreamObserver::new(framing),
                raised: Signals::NONE,
                usage: None,
                unwritten: false,
            })),
            Err(content) => Kind::Bytes(content),
        };
        let observer = Self { kind, bytes: 0 };
        if observer.content() == Content::Events {
            call.set_phase(Phase::FirstToken);
        } else {
            call.set_phase(Phase::Body);
        }
        observer
    }

    /// The content of an answer that another layer observes.
    pub(crate) fn content_of(call: &Call, headers: &HeaderMap) -> Content {
        match events_of(call, headers) {
            Ok(_) => Content::Events,
            Err(content) => content,
        }
    }

    pub(crate) fn content(&self) -> Content {
        match &self.kind {
            Kind::Events(_) => Content::Events,
            Kind::Bytes(content) => *content,
        }
    }

    /// Nothing more will pass: the record is told what has.
    pub(crate) fn settle(&mut self, call: &Call) {
        call.received(self.bytes);
        if let Kind::Events(events) = &mut self.kind {
            events.write_usage(call);
        }
    }

    /// Looks at a frame and says what this one shows.
    #[inline]
    pub(crate) fn frame(&mut self, call: &Call, frame: &Frame<Bytes>) -> Signals {
        let Some(data) = frame.data_ref() else {
            return Signals::NONE;
        };
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        match &mut self.kind {
            Kind::Bytes(_) => Signals::OUTPUT | Signals::CONTENT,
            _ if data.is_empty() => Signals::NONE,
            Kind::Events(events) => events.frame(call, data),
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("content", &self.content())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

// === impl Events ===

impl Events {
    fn frame(&mut self, call: &Call, data: &[u8]) -> Signals {
        let seen = self.stream.observe(&*self.dialect, data);
        let mut signals = Signals::NONE;
        match seen.progress {
            Progress::None => {}
            Progress::Reasoning => signals |= Signals::OUTPUT,
            Progress::Content => signals |= Signals::OUTPUT | Signals::CONTENT,
        }
        if seen.finished {
            signals |= Signals::FINISHED;
        }
        if seen.ended {
            signals |= Signals::ENDED;
        }
        if seen.refused {
            signals |= Signals::REFUSED;
        }
        if signals.has(Signals::OUTPUT) && !self.raised.has(Signals::OUTPUT) {
            call.set_phase(Phase::Body);
            call.mark(Moment::FirstToken, Instant::now());
        }
        let usage = seen.usage;
        if seen.error.is_some() || seen.response_id.is_some() {
            signals |= remember(call, seen);
        }
        // Few frames of a stream show anything new.
        if signals.adds_to(self.raised) {
            self.raised |= signals;
            call.signal(signals);
        }
        if let Some(usage) = usage {
            self.count(call, usage);
        }
        signals
    }

    /// Counts are cumulative; a stream may give them with each event, so that they are written down at first,
    /// towards the end, and when the body is let go.
    #[cold]
    fn count(&mut self, call: &Call, usage: Usage) {
        let first = self.usage.is_none();
        self.usage.get_or_insert_default().update(usage);
        self.unwritten = true;
        if first || self.raised.has(Signals::FINISHED | Signals::ENDED) {
            self.write_usage(call);
        }
    }

    fn write_usage(&mut self, call: &Call) {
        if std::mem::take(&mut self.unwritten) {
            let usage = self.usage;
            call.with_attempt(|attempt| attempt.usage = usage);
        }
    }
}

/// How the events of an answer are read, or what else it is.
fn events_of(call: &Call, headers: &HeaderMap) -> Result<(Spoken, Framing), Content> {
    let streamed = call.stream() == Some(true);
    let content = match Content::of(headers) {
        // Most answers: nothing needs to be asked.
        content @ (Content::Encoded | Content::Json) if !streamed => return Err(content),
        Content::Encoded => return Err(Content::Encoded),
        // The plain dialect knows no events.
        Content::Events => Content::Opaque,
        content => content,
    };
    // The dialect may be the user's code: it is not entered under the lock.
    let dialect = call.with_state(|state| state.dialect.clone());
    let Some(dialect) = dialect.filter(|dialect| dialect.carries_model()) else {
        return Err(content);
    };
    match dialect.framing(headers, streamed) {
        Some(framing) => Ok((dialect, framing)),
        None => Err(content),
    }
}

/// The few facts of a stream that outlive their frame.
#[cold]
fn remember(call: &Call, seen: Seen) -> Signals {
    call.with_state(|state| {
        if let Some(id) = seen.response_id {
            if let Some(attempt) = state.trail.last_mut() {
                attempt.response_id = Some(id.clone());
            }
            state.provider_response_id = Some(id);
        }
        match seen.error {
            Some(failure) => {
                state.in_band = Some(failure);
                Signals::ERROR
            }
            None => Signals::NONE,
        }
    })
}
