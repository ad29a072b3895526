//! How far a batch is.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// How far a batch is: for a progress bar. A cheap handle; it may outlive the batch.
#[derive(Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Default)]
struct Counts {
    started: AtomicUsize,
    succeeded: AtomicUsize,
    failed: AtomicUsize,
    cancelled: AtomicUsize,
    expected: AtomicUsize,
}

/// `expected` that nobody knows.
const UNKNOWN: usize = usize::MAX;

// === impl Progress ===

impl Progress {
    pub(super) fn new(expected: Option<usize>) -> Self {
        let counts = Counts {
            expected: AtomicUsize::new(expected.unwrap_or(UNKNOWN)),
            ..Counts::default()
        };
        Self(Arc::new(counts))
    }

    /// Requests that were taken from the input. Those from this index on were not sent.
    pub fn started(&self) -> usize {
        self.0.started.load(Relaxed)
    }

    /// Items that have ended, in whatever way.
    pub fn done(&self) -> usize {
        self.succeeded() + self.failed() + self.cancelled()
    }

    /// Items that ended in a value.
    pub fn succeeded(&self) -> usize {
        self.0.succeeded.load(Relaxed)
    }

    /// Items that ended in an error that is no cancellation.
    pub fn failed(&self) -> usize {
        self.0.failed.load(Relaxed)
    }

    /// Items that were cancelled: by a token, by a drain, or because the batch ended first.
    pub fn cancelled(&self) -> usize {
        self.0.cancelled.load(Relaxed)
    }

    /// Items under way: their request was taken, and their future has not ended.
    pub fn in_flight(&self) -> usize {
        self.started().saturating_sub(self.done())
    }

    /// How many items there will be, if the input knows.
    pub fn expected(&self) -> Option<usize> {
        match self.0.expected.load(Relaxed) {
            UNKNOWN => None,
            expected => Some(expected),
        }
    }

    pub(super) fn item_started(&self) {
        self.0.started.fetch_add(1, Relaxed);
    }

    pub(super) fn item_ended(&self, how: Ended) {
        let counter = match how {
            Ended::Succeeded => &self.0.succeeded,
            Ended::Failed => &self.0.failed,
            Ended::Cancelled => &self.0.cancelled,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("expected", &self.expected())
            .field("started", &self.started())
            .field("succeeded", &self.succeeded())
            .field("failed", &self.failed())
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

/// How an item ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Succeeded,
    Failed,
    Cancelled,
}
