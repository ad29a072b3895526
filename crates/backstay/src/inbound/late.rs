//! A request whose time is over.

use tokio::time::Duration;

/// A request whose time was over before it had an answer.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    budget: Duration,
    told: bool,
    elapsed: Duration,
}

// === impl Late ===

impl Late {
    pub(super) fn new(budget: Duration, told: bool, elapsed: Duration) -> Self {
        Self {
            budget,
            told,
            elapsed,
        }
    }

    /// How long it had.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Whether its caller said how long it waits, and was believed.
    pub fn was_told(&self) -> bool {
        self.told
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}
