//! Watching a stream go by.

use http::{HeaderMap, header};

use crate::framing::{Cut, Framer};
use crate::{Dialect, Failure, FailureClass, Progress, Usage};

/// How the events of a stream are cut out of its bytes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Server-sent events (WHATWG HTML, section 9.2.6).
    #[default]
    ServerSent,
    /// Amazon's binary frames, `application/vnd.amazon.eventstream` (Smithy's event stream
    /// specification). Both checksums of a frame that is read are checked.
    EventStream,
    /// A JSON array of which each element is an event. Its closing bracket ends it: what finishes the
    /// answer counts from there on only, since what is cut before is no JSON to its reader.
    JsonArray,
}

/// Watches the events of a stream go by, frame by frame, and says what each frame means.
///
/// Frames may be cut anywhere. An event that lies whole in one frame is read in place; of one
/// that is cut, at most a limit of bytes is held (and of a binary one 128 KiB of headers), and an event
/// over the limit is passed over, but for a server-sent one with a name: it is read without its data, since
/// the last event of an answer may repeat the whole of it. An event that the stream breaks off in is not read.
///
/// Bytes that are no stream of the framing, a binary frame with a wrong checksum say, are an error of
/// the server's with the code [`BROKEN_FRAMING`], and nothing after them is read.
#[derive(Debug)]
pub struct StreamObserver {
    framer: Framer,
    /// The answer finished, in a framing that has an end of its own and did not come to it yet.
    finished: bool,
    ended: bool,
    broken: bool,
    id_seen: bool,
}

/// What one frame said: all events that it completed, merged in order.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The most that any event added to the answer.
    pub progress: Progress,
    /// The stream is over, even if the socket stays open; nothing after it is read. Stays true.
    pub ended: bool,
    /// The model said why it stopped; the end of the stream after it is a success.
    pub finished: bool,
    /// The first error reported inside the stream by this frame.
    pub error: Option<Failure>,
    /// The provider withheld the answer, or the rest of it: a refusal, a content filter.
    pub refused: bool,
    /// The provider's id of the answer; only in the frame that shows it first.
    pub response_id: Option<Box<str>>,
    /// Tokens used so far, as far as this frame says so.
    pub usage: Option<Usage>,
    /// How many events ended in this frame; comments are none.
    pub events: u32,
}

/// The most bytes of one event's data that are held, unless said otherwise: 1 MiB.
pub const DEFAULT_EVENT_LIMIT: usize = 1024 * 1024;

/// The code of a failure that no provider tells: the bytes are no stream of the framing.
pub const BROKEN_FRAMING: &str = "broken_framing";

// === impl StreamObserver ===

impl StreamObserver {
    /// An observer at the start of a stream of this framing, with [`DEFAULT_EVENT_LIMIT`].
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self::with_limit(framing, DEFAULT_EVENT_LIMIT)
    }

    /// An observer at the start of a stream that passes over events with more than `bytes` bytes
    /// of data.
    #[must_use]
    pub fn with_limit(framing: Framing, bytes: usize) -> Self {
        Self {
            framer: Framer::new(framing, bytes),
            finished: false,
            ended: false,
            broken: false,
            id_seen: false,
        }
    }

    /// Reads the next frame of the stream's body. All frames of one stream go through the same
    /// observer and the same dialect.
    pub fn observe(&mut self, dialect: &dyn Dialect, frame: &[u8]) -> Seen {
        let mut seen = Seen::default();
        if !self.ended && !self.broken {
            let has_end = self.framer.has_end();
            let cut = self.framer.feed(frame, |event| {
                let facts = dialect.read_event(event);
                seen.events = seen.events.saturating_add(1);
                seen.progress = seen.progress.max(facts.progress);
                seen.finished |= facts.finished && !has_end;
                self.finished |= facts.finished;
                seen.refused |= facts.refused;
                if seen.error.is_none() {
                    seen.error = facts.error;
                }
                if let (false, Some(id)) = (self.id_seen, facts.response_id) {
                    self.id_seen = true;
                    seen.response_id = Some(id.into());
                }
                if let Some(usage) = facts.usage {
                    seen.usage.get_or_insert_default().update(usage);
                }
                self.ended = facts.ended;
                !facts.ended
            });
            match cut {
                Cut::Closed if self.finished => {
                    seen.finished = true;
                    self.ended = true;
                }
                Cut::Broken => {
                    self.broken = true;
                    seen.error.get_or_insert_with(|| {
                        Failure::new(FailureClass::Server).with_code(BROKEN_FRAMING.as_bytes())
                    });
                }
                Cut::Open | Cut::Closed => {}
            }
        }
        seen.ended = self.ended;
        seen
    }
}

// === impl Framing ===

impl Framing {
    /// The framing that a content type names: server-sent events for `text/event-stream`, binary frames
    /// for `application/vnd.amazon.eventstream`, else none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = media_type(headers);
        [
            (&b"text/event-stream"[..], Self::ServerSent),
            (b"application/vnd.amazon.eventstream", Self::EventStream),
        ]
        .into_iter()
        .find(|(name, _)| kind.eq_ignore_ascii_case(name))
        .map(|(_, framing)| framing)
    }
}

/// The content type without its parameters; empty when there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> &[u8] {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return b"";
    };
    let kind = kind.as_bytes();
    let end = kind.iter().position(|byte| *byte == b';');
    kind[..end.unwrap_or(kind.len())].trim_ascii()
}
