//! Who is inside, and whether anybody is still let in, in one word.

#[cfg(loom)]
use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
#[cfg(not(loom))]
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

/// Twice the number of those inside, and one more once it is closed. One word, so that nobody slips in
/// uncounted: those inside when it is closed are exactly those who later leave a closed gate.
#[derive(Debug)]
pub(super) struct Gate(AtomicUsize);

const CLOSED: usize = 1;
const ONE: usize = 2;

// === impl Gate ===

impl Gate {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// False once it is closed.
    pub(super) fn enter(&self) -> bool {
        let before = self.0.fetch_add(ONE, AcqRel);
        let open = before & CLOSED == 0;
        if !open {
            self.0.fetch_sub(ONE, AcqRel);
        }
        open
    }

    /// Whether it was closed by then.
    pub(super) fn leave(&self) -> bool {
        self.0.fetch_sub(ONE, AcqRel) & CLOSED != 0
    }

    /// Lets nobody in any more, and says how many are inside.
    pub(super) fn close(&self) -> usize {
        self.0.fetch_or(CLOSED, AcqRel) / ONE
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Acquire) & CLOSED != 0
    }

    pub(super) fn inside(&self) -> usize {
        self.0.load(Acquire) / ONE
    }
}
