//! What a hook or an observer is told.

use crate::{
    call::{Labels, Phase},
    error::ErrorKind,
    trail::Trail,
};

/// The end of a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// Why it ended.
    pub why: Why,
    /// Where it was.
    pub phase: Phase,
    /// The caller's labels.
    pub labels: Labels,
    /// Every attempt; also the provider's response id, when one was seen.
    pub trail: Trail,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Its answer came to its end. Hooks do not run.
    Complete,
    /// The caller dropped the response future or the response body.
    Dropped,
    /// A cancellation token fired.
    Token,
    /// The deadline passed.
    Deadline,
    /// It failed. `None` for an error that is not backstay's own.
    Failed(Option<ErrorKind>),
    /// A drain's grace period was over.
    Shutdown,
}

// === impl Why ===

impl Why {
    /// Whether the answer came to its end.
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Complete)
    }

    /// Whether somebody wanted the call to end: the caller, a token or a drain.
    pub const fn is_cancelled(self) -> bool {
        matches!(self, Self::Dropped | Self::Token | Self::Shutdown)
    }
}
