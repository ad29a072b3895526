//! Cutting a stream into events.

mod event_stream;
mod json_array;

use std::fmt;

use crate::{Event, Framing, sse};

/// Cuts one stream into events, in one of the framings.
#[derive(Debug)]
pub(crate) enum Framer {
    ServerSent(sse::Framer),
    EventStream(event_stream::Framer),
    JsonArray(json_array::Framer),
}

/// What a piece of a stream did to its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The stream goes on.
    Open,
    /// The framing itself says that the stream is over.
    Closed,
    /// The bytes are no stream of this framing, and none that come later can be believed.
    Broken,
}

/// The start of something that the last piece broke off in.
#[derive(Default)]
struct Held(Vec<u8>);

// === impl Framer ===

impl Framer {
    /// At the start of a stream of which events with more than `limit` bytes of data are passed over.
    pub(crate) fn new(framing: Framing, limit: usize) -> Self {
        match framing {
            Framing::ServerSent => Self::ServerSent(sse::Framer::new(limit)),
            Framing::EventStream => Self::EventStream(event_stream::Framer::new(limit)),
            Framing::JsonArray => Self::JsonArray(json_array::Framer::new(limit)),
        }
    }

    /// Whether a stream of this framing shows its own end.
    pub(crate) fn has_end(&self) -> bool {
        matches!(self, Self::JsonArray(_))
    }

    /// Takes the next piece and calls `on_event` for each event that it completes, until that
    /// returns `false`; what comes after that is not looked at.
    #[inline]
    pub(crate) fn feed(&mut self, piece: &[u8], on_event: impl FnMut(&Event<'_>) -> bool) -> Cut {
        match self {
            Self::ServerSent(framer) => {
                framer.feed(piece, on_event);
                Cut::Open
            }
            Self::EventStream(framer) => framer.feed(piece, on_event),
            Self::JsonArray(framer) => framer.feed(piece, on_event),
        }
    }
}

// === impl Held ===

/// Prints the length only: it is part of the answer.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
