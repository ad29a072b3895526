//! Cleanups: running them, counting them, waiting for them.

use super::core::Core;
use crate::{
    ambient::Ambient,
    call::Labels,
    cancel::{Counts, HookCounts, Running, Settled, Why},
    caught::Caught,
    deadline::Deadline,
    drain,
};
use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Duration, timeout},
};

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

type Hook = Box<dyn FnOnce(Left) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// One cleanup that waits for the end.
pub(crate) struct Cleanup {
    hook: Hook,
    only_when_cut_off: bool,
    /// Counted as running from when the scope has ended.
    running: Option<Running>,
}

/// How long a cleanup may run, unless the scope says otherwise.
pub(crate) const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

// === impl Cleanups ===

impl Cleanups {
    /// What became of them. `running` has one more while tasks that were cut off are waited for.
    pub fn counts(&self) -> HookCounts {
        self.0.read()
    }

    /// Whether some run now, or are about to.
    pub fn are_running(&self) -> bool {
        self.counts().running > 0
    }

    /// Those that came to their end.
    pub fn finished(&self) -> usize {
        self.counts().finished
    }

    /// Those that were ended by their time limit.
    pub fn timed_out(&self) -> usize {
        self.counts().timed_out
    }

    /// Those that panicked.
    pub fn panicked(&self) -> usize {
        self.counts().panicked
    }

    /// Those that could not run, or not to their end, because their runtime was gone.
    pub fn lost(&self) -> usize {
        self.counts().lost
    }

    /// Waits until none runs, for so long at most. False when some still do.
    pub async fn wait(&self, most: Duration) -> bool {
        timeout(most, self.0.idle()).await.is_ok()
    }
}

impl fmt::Debug for Cleanups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanups")
            .field("counts", &self.counts())
            .finish()
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
            running: None,
        }
    }

    /// It will run, and is waited for.
    pub(super) fn becomes_due(&mut self, core: &Core) {
        self.running.get_or_insert_with(|| core.running());
    }

    /// Whether it is for a scope that ends like this.
    pub(super) fn is_due(&self, why: Why) -> bool {
        !self.only_when_cut_off || why.is_cancelled() || why == Why::Deadline
    }

    /// Runs it, shielded from what ended the scope: it has the labels, and its own limit for a deadline.
    pub(super) async fn run(mut self, core: &Core, why: Why) {
        let running = self.running.take().unwrap_or_else(|| core.running());
        let mut entered = Entered {
            core,
            running,
            lost: true,
        };
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
        let run = Caught::inside((self.hook)(left), ambient);
        // The drains of the scope wait for the hooks of calls made in there too.
        let run = drain::run_inside(core.watchers().into(), run);
        let scope = &**core.name();
        let how = match timeout(limit, run).await {
            Ok(Ok(())) => Settled::Finished,
            Ok(Err(_)) => {
                tracing::error!(scope, "a cleanup panicked");
                Settled::Panicked
            }
            Err(_) => {
                tracing::warn!(scope, ?limit, "a cleanup was ended by its time limit");
                Settled::TimedOut
            }
        };
        entered.lost = false;
        entered.running.settle(how);
    }

    /// Lets go of one that is not to run. This may be a drop during a panic: a second one would abort.
    pub(super) fn discard(self) {
        if catch_unwind(AssertUnwindSafe(|| drop(self))).is_err() {
            tracing::error!("a cleanup panicked while it was dropped");
        }
    }

    /// It can no longer run.
    pub(super) fn lose(mut self, core: &Core) {
        lost(core, &self.running.take().unwrap_or_else(|| core.running()));
        self.discard();
    }

    /// Runs it by itself: the scope has been left already.
    pub(super) fn run_alone(mut self, core: Arc<Core>, why: Why) {
        self.becomes_due(&core);
        let alone = Alone {
            cleanup: Some(self),
            core,
            why,
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
fn lost(core: &Core, running: &Running) {
    running.settle(Settled::Lost);
    tracing::error!(
        scope = &**core.name(),
        "a cleanup is lost: its runtime is gone"
    );
}

/// A cleanup that has been entered. Dropped before its end, it is lost.
struct Entered<'a> {
    core: &'a Core,
    running: Running,
    lost: bool,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if self.lost {
            lost(self.core, &self.running);
        }
    }
}

/// A cleanup in a task of its own. Dropped before it is entered, it is lost.
struct Alone {
    cleanup: Option<Cleanup>,
    core: Arc<Core>,
    why: Why,
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
