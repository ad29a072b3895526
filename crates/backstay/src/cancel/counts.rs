//! Counting hooks, and waiting until none runs.

use std::sync::{
    Arc,
    atomic::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};
use tokio::sync::Notify;

/// The hooks of a layer, the cleanups of a scope, or all that a drain watches. Outlives them while hooks run.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    running: AtomicUsize,
    finished: AtomicUsize,
    timed_out: AtomicUsize,
    panicked: AtomicUsize,
    lost: AtomicUsize,
    idle: Notify,
}

/// What became of the hooks that were started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookCounts {
    /// They came to their end.
    pub finished: usize,
    /// They were ended by their time limit.
    pub timed_out: usize,
    /// They panicked.
    pub panicked: usize,
    /// They could not run, or not to their end, because their runtime was gone.
    pub lost: usize,
    /// They run still, or wait for their turn to.
    pub running: usize,
}

/// How one hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Finished,
    TimedOut,
    Panicked,
    Lost,
}

/// Something runs, for those who wait until nothing does.
pub(crate) struct Running(Vec<Arc<Counts>>);

// === impl Counts ===

impl Counts {
    pub(crate) fn read(&self) -> HookCounts {
        HookCounts {
            finished: self.finished.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            panicked: self.panicked.load(Relaxed),
            lost: self.lost.load(Relaxed),
            running: self.running.load(Relaxed),
        }
    }

    /// Waits until no hook runs.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.running.load(Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    fn settle(&self, how: Settled) {
        let counter = match how {
            Settled::Finished => &self.finished,
            Settled::TimedOut => &self.timed_out,
            Settled::Panicked => &self.panicked,
            Settled::Lost => &self.lost,
        };
        counter.fetch_add(1, Relaxed);
    }
}

// === impl HookCounts ===

impl HookCounts {
    /// What was settled since an earlier look; what runs, runs now.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            finished: self.finished.saturating_sub(earlier.finished),
            timed_out: self.timed_out.saturating_sub(earlier.timed_out),
            panicked: self.panicked.saturating_sub(earlier.panicked),
            lost: self.lost.saturating_sub(earlier.lost),
            running: self.running,
        }
    }
}

// === impl Running ===

impl Running {
    pub(crate) fn new(counts: Vec<Arc<Counts>>) -> Self {
        for counts in &counts {
            counts.running.fetch_add(1, AcqRel);
        }
        Self(counts)
    }

    pub(crate) fn settle(&self, how: Settled) {
        for counts in &self.0 {
            counts.settle(how);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for counts in &self.0 {
            if counts.running.fetch_sub(1, AcqRel) == 1 {
                counts.idle.notify_waiters();
            }
        }
    }
}
