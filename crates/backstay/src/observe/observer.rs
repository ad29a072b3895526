//! The observer of one attempt's body.

use super::Signals;
use crate::{
    call::{Call, Phase},
    trail::Note,
};
use backstay_dialect::{Dialect, JsonEnd, Progress, StreamObserver};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Frame;
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// Reads the frames of one attempt's body as they pass, and raises what it sees in the call's record.
///
/// It changes no byte. When it is dropped, the attempt's byte count is written to the trail.
pub(crate) struct Observer {
    call: Call,
    content: Content,
    state: State,
    bytes: u64,
    /// The first frame with output has passed.
    started: bool,
}

/// What kind of body a response has, as far as its end and its events can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// An event stream of a dialect that knows its events.
    Events,
    /// A JSON document.
    Json,
    /// Anything else: only its bytes count.
    Opaque,
    /// Encoded although `identity` was asked for: only its bytes count, and the trail says so.
    Encoded,
}

enum State {
    Events {
        dialect: Arc<dyn Dialect>,
        // Boxed: most calls of a stack may be unary, and a body is moved a few times.
        stream: Box<StreamObserver>,
    },
    Json(JsonEnd),
    Opaque,
}

// === impl Observer ===

impl Observer {
    pub(crate) fn new(call: Call, headers: &HeaderMap) -> Self {
        let dialect = call.with_state(|state| state.dialect.clone());
        let content = Content::of(headers, dialect.as_deref());
        let state = match (content, dialect) {
            (Content::Events, Some(dialect)) => State::Events {
                dialect,
                stream: Box::default(),
            },
            (Content::Json, _) => State::Json(JsonEnd::default()),
            _ => State::Opaque,
        };
        if content == Content::Encoded {
            call.with_attempt(|attempt| attempt.note = Some(Note::Encoded));
        }
        call.set_phase(Phase::FirstToken);
        Self {
            call,
            content,
            state,
            bytes: 0,
            started: false,
        }
    }

    pub(crate) fn content(&self) -> Content {
        self.content
    }

    /// Looks at a frame and says what this one shows.
    #[inline]
    pub(crate) fn frame(&mut self, frame: &Frame<Bytes>) -> Signals {
        match frame.data_ref() {
            Some(data) if !data.is_empty() => self.data(data),
            _ => Signals::NONE,
        }
    }

    fn data(&mut self, data: &Bytes) -> Signals {
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        let seen = match &mut self.state {
            State::Opaque => Signals::OUTPUT,
            State::Json(end) => {
                end.feed(data);
                if end.is_complete() {
                    Signals::OUTPUT | Signals::FINISHED
                } else {
                    Signals::OUTPUT
                }
            }
            State::Events { dialect, stream } => {
                let seen = stream.observe(&**dialect, data);
                let mut signals = Signals::NONE;
                if seen.progress != Progress::None {
                    signals |= Signals::OUTPUT;
                }
                if seen.finished {
                    signals |= Signals::FINISHED;
                }
                if seen.ended {
                    signals |= Signals::ENDED;
                }
                if let Some(id) = seen.response_id {
                    self.call.with_state(|state| {
                        state.provider_response_id.get_or_insert(id);
                    });
                }
                if let Some(failure) = seen.error {
                    signals |= Signals::ERROR;
                    self.call.with_state(|state| state.in_band = Some(failure));
                }
                signals
            }
        };
        if seen.has(Signals::OUTPUT) && !self.started {
            self.started = true;
            self.first_token();
            self.call.signal(seen);
        } else if seen.has(Signals::FINISHED | Signals::ENDED | Signals::ERROR) {
            self.call.signal(seen);
        }
        seen
    }

    #[cold]
    fn first_token(&self) {
        let at = self.call.since_start(Instant::now());
        self.call.set_phase(Phase::Body);
        self.call.with_attempt(|attempt| {
            attempt.first_token.get_or_insert(at);
        });
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.call.with_attempt(|attempt| attempt.bytes = self.bytes);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("content", &self.content)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

// === impl Content ===

impl Content {
    pub(crate) fn of_call(call: &Call, headers: &HeaderMap) -> Self {
        let dialect = call.with_state(|state| state.dialect.clone());
        Self::of(headers, dialect.as_deref())
    }

    fn of(headers: &HeaderMap, dialect: Option<&dyn Dialect>) -> Self {
        if headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            return Self::Encoded;
        }
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return Self::Opaque;
        };
        let kind = kind.as_bytes();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or(kind);
        let kind = kind.trim_ascii();
        if kind.eq_ignore_ascii_case(b"text/event-stream") {
            // The plain dialect knows no events.
            if dialect.is_some_and(Dialect::carries_model) {
                Self::Events
            } else {
                Self::Opaque
            }
        } else if kind.eq_ignore_ascii_case(b"application/json")
            || kind
                .len()
                .checked_sub(5)
                .is_some_and(|at| kind[at..].eq_ignore_ascii_case(b"+json"))
        {
            Self::Json
        } else {
            Self::Opaque
        }
    }
}
