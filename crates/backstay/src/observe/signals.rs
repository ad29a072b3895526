//! Facts about an attempt's body, as bits that are only ever raised.

use std::{
    ops::{BitOr, BitOrAssign},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

/// What has been seen of the body of the attempt under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signals(u8);

/// The same, shared by the layers of a call.
#[derive(Debug, Default)]
pub(crate) struct SharedSignals(AtomicU8);

// === impl Signals ===

impl Signals {
    pub(crate) const NONE: Self = Self(0);
    /// A semantic event: output or reasoning.
    pub(crate) const OUTPUT: Self = Self(1);
    /// The answer is said to be complete; its end may come.
    pub(crate) const FINISHED: Self = Self(2);
    /// The end marker: nothing that follows belongs to the answer.
    pub(crate) const ENDED: Self = Self(4);
    /// An in-band error; what it is stands in the record.
    pub(crate) const ERROR: Self = Self(8);
    /// Output that is not reasoning.
    pub(crate) const CONTENT: Self = Self(16);
    /// The provider withheld the answer, or the rest of it.
    pub(crate) const REFUSED: Self = Self(32);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is anything here that is not in the other.
    pub(crate) const fn adds_to(self, other: Self) -> bool {
        self.0 & !other.0 != 0
    }
}

impl BitOr for Signals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Signals {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

// === impl SharedSignals ===

impl SharedSignals {
    pub(crate) fn get(&self) -> Signals {
        Signals(self.0.load(Relaxed))
    }

    pub(crate) fn raise(&self, signals: Signals) {
        self.0.fetch_or(signals.0, Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Relaxed);
    }
}
