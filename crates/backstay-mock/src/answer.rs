//! An answer as a dialect has it: what is said, and not yet when, in which pieces, or what goes wrong.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// The message of every error that nobody gave a message.
pub(crate) const MESSAGE: &str = "scripted by the mock";

const COMMENT: Bytes = Bytes::from_static(b": still working\n\n");
const GARBAGE_EVENT: Bytes =
    Bytes::from_static(b"data: {\"choices\": [{\"delta\": {\"con\x00<html>\n\n");

/// A streamed answer in one dialect's events, not yet timed.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) content_type: &'static str,
    /// What comes before the first token: the role chunk, `message_start`.
    pub(crate) start: Vec<Bytes>,
    /// One token each.
    pub(crate) tokens: Vec<Bytes>,
    /// Finish reason and usage.
    pub(crate) finish: Vec<Bytes>,
    /// The end marker.
    pub(crate) marker: Bytes,
    pub(crate) ping: Bytes,
    /// Bytes that say nothing.
    pub(crate) comment: Bytes,
    /// The in-band error, where the reply has one.
    pub(crate) error: Bytes,
    /// What no reader can read.
    pub(crate) garbage: Bytes,
    /// Finishes each piece for its place in the stream. The number is 0 before the first one, and else the
    /// function's own.
    pub(crate) dress: Option<fn(&mut u64, Bytes) -> Bytes>,
}

/// A unary answer, not yet framed.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) status: StatusCode,
    /// Headers that belong to the content.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How many tokens are in it.
    pub(crate) tokens: usize,
}

// === impl Document ===

impl Document {
    pub(crate) fn new(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.to_string().into(),
            tokens: 0,
        }
    }
}

// === impl Events ===

impl Default for Events {
    /// A stream of server-sent events, without a single one.
    fn default() -> Self {
        Self {
            content_type: "text/event-stream; charset=utf-8",
            start: Vec::new(),
            tokens: Vec::new(),
            finish: Vec::new(),
            marker: Bytes::new(),
            ping: Bytes::new(),
            comment: COMMENT,
            error: Bytes::new(),
            garbage: GARBAGE_EVENT,
            dress: None,
        }
    }
}
