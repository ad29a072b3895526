//! One event of a stream: what a dialect is shown of it, and what it makes of it.

use std::fmt;

use crate::Failure;

/// One event of a stream.
#[derive(Clone, Copy, Default)]
pub struct Event<'a> {
    /// The value of the last `event` field, or the type of a binary frame; empty when there was none. Cut
    /// at [`MAX_EVENT_NAME_BYTES`](crate::MAX_EVENT_NAME_BYTES).
    pub name: &'a [u8],
    /// The values of the `data` fields, joined by a line feed; the payload of a binary frame; an element
    /// of a JSON array.
    pub data: &'a [u8],
    /// The frame itself says that it is an error. Server-sent events have no such mark.
    pub exception: bool,
}

/// What one event says. The default says nothing.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFacts<'a> {
    /// What the event adds to the answer.
    pub progress: Progress,
    /// The model said why it stopped; the end of the stream after it is a success.
    pub finished: bool,
    /// The stream is over, even if the socket stays open.
    pub ended: bool,
    /// An error reported inside the stream.
    pub error: Option<Failure>,
    /// The provider withheld the answer, or the rest of it: a refusal, a content filter.
    pub refused: bool,
    /// The provider's id of the answer, as [`response_id`] accepts it.
    pub response_id: Option<&'a str>,
    /// Tokens used so far.
    pub usage: Option<Usage>,
}

/// What a stretch of a stream adds to the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// Nothing: a ping, a role, an announcement.
    #[default]
    None,
    /// Reasoning, which precedes the answer proper.
    Reasoning,
    /// Part of the answer: text, a refusal, a tool call.
    Content,
}

/// Tokens used, as far as the provider said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read, including those that came from a cache.
    pub input: Option<u64>,
    /// Tokens written, including reasoning.
    pub output: Option<u64>,
}

/// The most bytes that an answer's id may have.
pub(crate) const MAX_ID_BYTES: usize = 128;

/// The id as text, if it is one to keep: 1 to 128 bytes of `A-Z a-z 0-9 _ . -`. Anything else
/// could smuggle text into a log.
#[must_use]
pub fn response_id(id: &[u8]) -> Option<&str> {
    safe_token(id, MAX_ID_BYTES)
}

/// The bytes as text if there are 1 to `most` of them, all of `A-Z a-z 0-9 _ . -`.
pub(crate) fn safe_token(bytes: &[u8], most: usize) -> Option<&str> {
    let safe = |byte: &u8| SAFE[usize::from(*byte)];
    if bytes.is_empty() || bytes.len() > most || !bytes.iter().all(safe) {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

/// Looked up, because ids come with every event of many streams.
const SAFE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        table[byte] = character.is_ascii_alphanumeric() || matches!(character, b'_' | b'.' | b'-');
        byte += 1;
    }
    table
};

// === impl Event ===

/// Prints lengths only: the data is the answer.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name_bytes", &self.name.len())
            .field("data_bytes", &self.data.len())
            .finish()
    }
}

// === impl Usage ===

impl Usage {
    /// Takes over what `later` knows; counts in a stream are cumulative.
    pub fn update(&mut self, later: Usage) {
        self.input = later.input.or(self.input);
        self.output = later.output.or(self.output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain() {
        assert_eq!(response_id(b"chatcmpl-A_1.2"), Some("chatcmpl-A_1.2"));
        let longest = [b'a'; MAX_ID_BYTES];
        assert!(response_id(&longest).is_some());
        assert_eq!(response_id(&[b'a'; MAX_ID_BYTES + 1]), None);
        for bad in [&b""[..], b"a b", b"a\nb", b"a\\u0041", "é".as_bytes()] {
            assert_eq!(response_id(bad), None);
        }
    }
}
