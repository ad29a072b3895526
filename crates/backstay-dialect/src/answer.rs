//! An answer that came whole: what a dialect is shown of it, and what it makes of it.

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use crate::{Failure, Usage};

/// An answer with a status outside of 2xx, as a dialect is shown it.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The start of the body: a bounded prefix, which may end anywhere.
    pub body: &'a [u8],
    /// The time at which the head arrived; dates in headers are measured from it.
    pub now: SystemTime,
}

/// What a whole 2xx answer says.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// An error reported inside a 2xx answer.
    pub error: Option<Failure>,
    /// The provider withheld the answer: a refusal, a content filter.
    pub refused: bool,
    /// The provider's id of the answer: at most 128 bytes of `A-Z a-z 0-9 _ . -`.
    pub response_id: Option<Box<str>>,
    /// Tokens used.
    pub usage: Option<Usage>,
}

// === impl Answer ===

/// Prints no header and no body: providers echo the input, and headers carry cookies.
impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
