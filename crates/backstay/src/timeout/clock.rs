//! The names of the clocks.

use std::fmt;

/// One of the limits that can end an attempt. The [module](super) says what each covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// Until a new connection can be used.
    Connect,
    /// Until the response head.
    Headers,
    /// Until the first semantic event.
    FirstToken,
    /// Until the first content that is not reasoning.
    FirstContent,
    /// Between semantic events.
    Idle,
    /// Between any bytes.
    Liveness,
    /// The whole attempt.
    Attempt,
}

// === impl Clock ===

impl Clock {
    /// The clock in the words of the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Headers => "headers",
            Self::FirstToken => "first_token",
            Self::FirstContent => "first_content",
            Self::Idle => "idle",
            Self::Liveness => "liveness",
            Self::Attempt => "attempt",
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
