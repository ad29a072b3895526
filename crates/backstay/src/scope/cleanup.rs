//! Cleanups: running them, counting them, waiting for them.

use super::{caught::Caught, core::Core};
use crate::{ambient::Ambient, call::Labels, cancel::Why, deadline::Deadline};
use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Duration, timeout},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// The end of a scope, as its cleanups are told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Left {
    /// Why it ended. [`Why::Complete`] for a value, [`Why::Failed`] for an error or a panic.
    pub why: Why,
    /// The name of the scope.
    pub scope: Arc<str>,
    /// Its labels, and those of the scopes around.
    pub labels: Labels,
    /// How long it took.
    pub elapsed: Duration,
}

/// The cleanups of a scope: counts, and a way to wait for what runs.
///
/// Take it from [`Scope::cleanups`](super::Scope::cleanups) to see what became of them after a scope was
/// dropped. A cheap handle.
#[derive(Clone)]
pub struct Cleanups(pub(super) Arc<Counts>);

/// Outlives the scope while cleanups run.
pub(crate) struct Counts {
    running: TaskTracker,
    finished: AtomicUsize,
    timed_out: AtomicUsize,
    panicked: AtomicUsize,
    lost: AtomicUsize,
}

type Hook = Box<dyn FnOnce(Left) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// One cleanup that waits for the end.
pub(crate) struct Cleanup {
    hook: Hook,
    only_when_cut_off: bool,
}

/// How long a cleanup may run, unless the scope says otherwise.
pub(crate) const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

// === impl Cleanups ===

impl Cleanups {
    /// Whether some run now, or are about to.
    pub fn are_running(&self) -> bool {
        !self.0.running.is_empty()
    }

    /// Those that came to their end.
    pub fn finished(&self) -> usize {
        self.0.finished.load(Relaxed)
    }

    /// Those that were ended by their time limit.
    pub fn timed_out(&self) -> usize {
        self.0.timed_out.load(Relaxed)
    }

    /// Those that panicked.
    pub fn panicked(&self) -> usize {
        self.0.panicked.load(Relaxed)
    }

    /// Those that could not run, or not to their end, because their runtime was gone.
    pub fn lost(&self) -> usize {
        self.0.lost.load(Relaxed)
    }

    /// Waits until none runs, for so long at most. False when some still do.
    pub async fn wait(&self, most: Duration) -> bool {
        timeout(most, self.0.running.wait()).await.is_ok()
    }
}

impl fmt::Debug for Cleanups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanups")
            .field("are_running", &self.are_running())
            .field("finished", &self.finished())
            .field("timed_out", &self.timed_out())
            .field("panicked", &self.panicked())
            .field("lost", &self.lost())
            .finish()
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn running(&self) -> TaskTrackerToken {
        self.running.token()
    }
}

impl Default for Counts {
    fn default() -> Self {
        let running = TaskTracker::new();
        // Nothing is refused by that: it lets waiting end once there are none.
        running.close();
        Self {
            running,
            finished: AtomicUsize::new(0),
            timed_out: AtomicUsize::new(0),
            panicked: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        }
    }
}

// === impl Cleanup ===

impl Cleanup {
    pub(super) fn new<F, T>(hook: F, only_when_cut_off: bool) -> Self
    where
        F: FnOnce(Left) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        Self {
            // The user's code is entered in the task, also where it makes the future.
            hook: Box::new(move |left| Box::pin(async move { hook(left).await })),
            only_when_cut_off,
        }
    }

    /// Whether it is for a scope that ends like this.
    pub(super) fn is_due(&self, why: Why) -> bool {
        !self.only_when_cut_off || why.is_cancelled() || why == Why::Deadline
    }

    /// Runs it, shielded from what ended the scope: it has the labels, and its own limit for a deadline.
    pub(super) async fn run(self, core: &Core, why: Why) {
        let mut unsettled = Unsettled { core, lost: true };
        let limit = core.limit;
        let ambient = Ambient {
            deadline: Deadline::after(limit),
            labels: core.labels().clone(),
            scope: None,
        };
        let left = Left {
            why,
            scope: core.name().clone(),
            labels: core.labels().clone(),
            elapsed: core.elapsed(),
        };
        let run = Caught::new((self.hook)(left), ambient);
        let scope = &**core.name();
        let counter = match timeout(limit, run).await {
            Ok(Ok(())) => &core.counts.finished,
            Ok(Err(_)) => {
                tracing::error!(scope, "a cleanup panicked");
                &core.counts.panicked
            }
            Err(_) => {
                tracing::warn!(scope, ?limit, "a cleanup was ended by its time limit");
                &core.counts.timed_out
            }
        };
        counter.fetch_add(1, Relaxed);
        unsettled.lost = false;
    }

    /// Lets go of one that is not to run. This may be a drop during a panic: a second one would abort.
    pub(super) fn discard(self) {
        if catch_unwind(AssertUnwindSafe(|| drop(self))).is_err() {
            tracing::error!("a cleanup panicked while it was dropped");
        }
    }

    /// It can no longer run.
    pub(super) fn lose(self, core: &Core) {
        lost(core);
        self.discard();
    }

    /// Runs it by itself: the scope has been left already.
    pub(super) fn run_alone(self, core: Arc<Core>, why: Why) {
        let running = core.counts.running();
        let alone = Alone {
            cleanup: Some(self),
            core,
            why,
            _running: running,
        };
        spawn(alone.core.runtime(), alone.run());
    }
}

/// Spawns, unless there is no runtime: then it is dropped.
pub(super) fn spawn<F>(runtime: Option<Handle>, run: F) -> Option<JoinHandle<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime.map(|runtime| runtime.spawn(run))
}

/// Says that a cleanup will not run any more, or not to its end.
fn lost(core: &Core) {
    core.counts.lost.fetch_add(1, Relaxed);
    tracing::error!(
        scope = &**core.name(),
        "a cleanup is lost: its runtime is gone"
    );
}

/// A cleanup that has been entered. Dropped before its end, it is lost.
struct Unsettled<'a> {
    core: &'a Core,
    lost: bool,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if self.lost {
            lost(self.core);
        }
    }
}

/// A cleanup in a task of its own. Dropped before it is entered, it is lost.
struct Alone {
    cleanup: Option<Cleanup>,
    core: Arc<Core>,
    why: Why,
    _running: TaskTrackerToken,
}

impl Alone {
    async fn run(mut self) {
        if let Some(cleanup) = self.cleanup.take() {
            cleanup.run(&self.core, self.why).await;
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(cleanup) = self.cleanup.take() {
            cleanup.lose(&self.core);
        }
    }
}
