//! What an answer must have shown for its end to be one.

use crate::observe::{Content, Signals};

/// What is missing from an answer that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It said nothing at all.
    Output,
    /// It broke off.
    End,
}

/// The end evidence of an answer: for a stream, that it was said to be finished, or its end marker after some
/// output; for a JSON document, that it is whole; nothing for anything else.
pub(super) fn missing(
    content: Content,
    seen: Signals,
    bytes: usize,
    whole: impl FnOnce() -> bool,
) -> Option<Missing> {
    match content {
        Content::Opaque | Content::Encoded => None,
        Content::Events if seen.has(Signals::FINISHED) => None,
        Content::Events if !seen.has(Signals::OUTPUT) => Some(Missing::Output),
        Content::Events if seen.has(Signals::ENDED) => None,
        Content::Events => Some(Missing::End),
        Content::Json if bytes == 0 => Some(Missing::Output),
        Content::Json => (!whole()).then_some(Missing::End),
    }
}
