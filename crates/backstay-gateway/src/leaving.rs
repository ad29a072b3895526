//! The orderly end, step by step: unready, refusing, cutting, closing.
//!
//! What is waited for, and cut, is the business of [`Drain`]: its layer is the outermost of each stack, and
//! a request's body is read under it too. Around it are the steps of a server.

use crate::config::DrainTimes;
use backstay::drain::{Drain, DrainReport};
use std::{fmt, pin::pin};
use tokio::time::{Duration, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The steps of the end. Each is taken once.
pub(crate) struct Leaving {
    /// `/readyz` says no from now on.
    begun: CancellationToken,
    /// Delay and grace are over.
    hurried: CancellationToken,
    /// New calls are refused, then calls are cut.
    pub(crate) drain: Drain,
    /// Connections are closed.
    closed: CancellationToken,
    /// The connections.
    pub(crate) tracker: TaskTracker,
}

/// How long cancelled calls have to tell their callers, and idle connections to close.
const LAST_WORDS: Duration = Duration::from_secs(1);

// === impl Leaving ===

impl Leaving {
    pub(crate) fn new() -> Self {
        Self {
            begun: CancellationToken::new(),
            hurried: CancellationToken::new(),
            drain: Drain::new(),
            closed: CancellationToken::new(),
            tracker: TaskTracker::new(),
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Ready when connections are to be closed, whatever is on them.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Begins the end; once more skips delay and grace.
    pub(crate) fn begin(&self) {
        if self.has_begun() {
            self.hurried.cancel();
        }
        self.begun.cancel();
    }

    /// Waits until the end has begun, and goes through it.
    pub(crate) async fn run(&self, times: impl FnOnce() -> DrainTimes) -> DrainReport {
        self.begun.cancelled().await;
        let DrainTimes { delay, grace } = times();
        tokio::select! {
            () = sleep(delay) => {}
            () = self.hurried.cancelled() => {}
        }
        let drain = self.drain.clone().grace(grace);
        let mut shutdown = pin!(drain.shutdown());
        let report = tokio::select! {
            report = &mut shutdown => report,
            () = self.hurried.cancelled() => {
                drain.hurry();
                shutdown.await
            }
        };
        self.tracker.close();
        if timeout(LAST_WORDS, self.tracker.wait()).await.is_err() {
            self.closed.cancel();
            self.tracker.wait().await;
        }
        report
    }
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving")
            .field("begun", &self.has_begun())
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}
