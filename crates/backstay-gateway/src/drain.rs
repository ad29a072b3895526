//! The orderly end: refuse new calls, wait a grace period, cancel the rest.

use crate::config::DrainTimes;
use std::{fmt, sync::Arc};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How an orderly end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Calls that were under way when it began.
    pub calls: usize,
    /// Calls that the grace period was too short for.
    pub cut: usize,
    /// How long it took.
    pub took: Duration,
}

/// The steps of the end, each a token that fires once.
pub(crate) struct Drain {
    /// `/readyz` says no from now on.
    leaving: CancellationToken,
    /// New calls are refused, sockets are closed.
    draining: CancellationToken,
    /// Calls are cancelled.
    cut: CancellationToken,
    /// Connections are closed.
    closed: CancellationToken,
    hurry: Arc<Notify>,
    tracker: TaskTracker,
}

/// How long cancelled calls have to tell their callers.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the calls are counted while they are waited for.
const COUNT_EVERY: Duration = Duration::from_millis(5);

// === impl Drain ===

impl Drain {
    pub(crate) fn new() -> Self {
        Self {
            leaving: CancellationToken::new(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            closed: CancellationToken::new(),
            hurry: Arc::default(),
            tracker: TaskTracker::new(),
        }
    }

    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Begins the end; once more skips the grace.
    pub(crate) fn begin(&self) {
        if self.leaving.is_cancelled() {
            self.hurry.notify_one();
        }
        self.leaving.cancel();
    }

    /// Waits until the end has begun, and goes through it. `calls` counts those under way.
    pub(crate) async fn run(
        &self,
        times: impl FnOnce() -> DrainTimes,
        calls: impl Fn() -> usize,
    ) -> DrainReport {
        self.leaving.cancelled().await;
        let DrainTimes { delay, grace } = times();
        let began = Instant::now();
        tokio::select! {
            () = sleep(delay) => {}
            () = self.hurry.notified() => self.hurry.notify_one(),
        }
        let under_way = calls();
        self.draining.cancel();
        let finished = async {
            while calls() > 0 {
                sleep(COUNT_EVERY).await;
            }
        };
        tokio::select! {
            _ = timeout(grace, finished) => {}
            () = self.hurry.notified() => {}
        }
        let cut = calls();
        self.cut.cancel();
        self.tracker.close();
        if timeout(LAST_WORDS, self.tracker.wait()).await.is_err() {
            self.closed.cancel();
            self.tracker.wait().await;
        }
        DrainReport {
            calls: under_way,
            cut,
            took: Instant::now().saturating_duration_since(began),
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("leaving", &self.leaving.is_cancelled())
            .field("draining", &self.draining.is_cancelled())
            .finish_non_exhaustive()
    }
}
