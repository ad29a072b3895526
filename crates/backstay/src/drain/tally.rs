//! What became of those who were inside when the drain began.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Written only while the drain goes on: before it nobody takes the lock.
#[derive(Debug, Default)]
pub(super) struct Tally {
    outcomes: Mutex<Outcomes>,
    changed: Notify,
}

/// How many ended which way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    pub(super) completed: usize,
    pub(super) failed: usize,
    pub(super) cancelled: usize,
    pub(super) unpolled: usize,
    closed: bool,
}

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Failed,
    Cancelled,
}

// === impl Tally ===

impl Tally {
    pub(super) fn count(&self, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock();
        if outcomes.closed {
            return;
        }
        match outcome {
            Outcome::Completed => outcomes.completed += 1,
            Outcome::Failed => outcomes.failed += 1,
            Outcome::Cancelled => outcomes.cancelled += 1,
        }
        drop(outcomes);
        self.changed.notify_waiters();
    }

    /// Waits until so many have ended.
    pub(super) async fn reaches(&self, all: usize) {
        loop {
            let changed = self.changed.notified();
            if self.outcomes.lock().ended() >= all {
                return;
            }
            changed.await;
        }
    }

    /// Takes the rest for unpolled. Whoever ends later is not counted again.
    pub(super) fn close(&self, all: usize) -> Outcomes {
        let mut outcomes = self.outcomes.lock();
        if !outcomes.closed {
            outcomes.closed = true;
            outcomes.unpolled = all.saturating_sub(outcomes.ended());
        }
        *outcomes
    }
}

// === impl Outcomes ===

impl Outcomes {
    fn ended(&self) -> usize {
        self.completed + self.failed + self.cancelled + self.unpolled
    }
}
