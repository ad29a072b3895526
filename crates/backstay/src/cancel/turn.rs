//! The one word that makes it exactly once.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering::AcqRel};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

/// Who runs the hooks of a call that a drain watches: the guard that travels with the call, or the drain
/// from the call's record. Whoever takes the turn first; nobody gets it twice.
///
/// Taking it is a release and an acquire: who finds it taken sees what the taker wrote before.
#[derive(Debug)]
pub(super) struct Turn(AtomicBool);

// === impl Turn ===

impl Turn {
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// True for the first who asks, false for everybody after.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, AcqRel)
    }
}
