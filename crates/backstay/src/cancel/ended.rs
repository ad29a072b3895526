//! What a hook or an observer is told.

use crate::{
    call::{Labels, Phase},
    drain,
    error::{Cancellation, ErrorKind},
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
    /// The scope that it was made in ended first.
    Scope,
}

// === impl Why ===

impl Why {
    /// Whether the answer came to its end.
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Complete)
    }

    /// Whether somebody wanted the call to end: the caller, a token, a drain, or its scope.
    pub const fn is_cancelled(self) -> bool {
        matches!(
            self,
            Self::Dropped | Self::Token | Self::Shutdown | Self::Scope
        )
    }

    /// What an error says of the end that it led to.
    pub(crate) const fn of(kind: Option<ErrorKind>) -> Self {
        match kind {
            Some(ErrorKind::Deadline) => Self::Deadline,
            Some(ErrorKind::Cancelled(why)) => Self::cancelled(why),
            kind => Self::Failed(kind),
        }
    }

    /// Why something is dropped that nobody has ended: where a drain does it, for its sake.
    pub(crate) fn dropped() -> Self {
        if drain::shuts_down() {
            Self::Shutdown
        } else {
            Self::Dropped
        }
    }

    pub(crate) const fn cancelled(why: Cancellation) -> Self {
        match why {
            Cancellation::Dropped => Self::Dropped,
            Cancellation::Token => Self::Token,
            Cancellation::Shutdown => Self::Shutdown,
            Cancellation::Scope => Self::Scope,
        }
    }

    /// What the end of a scope is to whatever is under way in it: what ended the scope from the outside
    /// ended that too; when the scope came to an end of its own, it ended first.
    pub(crate) const fn inside(self) -> Self {
        match self {
            Self::Complete | Self::Failed(_) | Self::Scope => Self::Scope,
            Self::Dropped | Self::Token | Self::Deadline | Self::Shutdown => self,
        }
    }
}
