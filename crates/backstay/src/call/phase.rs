//! Where a call is.

use std::fmt;

/// Where a call is, as hooks, errors and the trail report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Waiting until the inner service can take a request.
    Readiness = 0,
    /// An attempt is being sent, connecting included, and its response head has not come.
    Headers = 1,
    /// The head has come; the first semantic event of the answer has not.
    FirstToken = 2,
    /// The answer is arriving.
    Body = 3,
    /// Waiting between two attempts.
    Backoff = 4,
}

// === impl Phase ===

impl Phase {
    pub(crate) fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Headers,
            2 => Self::FirstToken,
            3 => Self::Body,
            4 => Self::Backoff,
            _ => Self::Readiness,
        }
    }

    /// The phase in the words of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Readiness => "readiness",
            Self::Headers => "headers",
            Self::FirstToken => "first_token",
            Self::Body => "body",
            Self::Backoff => "backoff",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
