//! Leaving a scope: tasks end, then cleanups run.

use super::{
    builder::Admission,
    cleanup::spawn,
    core::{Core, Hold},
};
use crate::cancel::Why;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Owned by the scope's future. Its drop is the end that nobody announced.
pub(super) struct Exit {
    core: Arc<Core>,
    /// Scopes around are not over before this one has been left.
    around: Option<Hold>,
    admission: Option<Admission>,
    left: bool,
}

/// What remains to be done when the block is gone. It runs in a task, out of reach of whoever drops the
/// scope's future.
struct Leaving {
    core: Arc<Core>,
    why: Why,
    _around: Option<Hold>,
    _admission: Option<Admission>,
    _running: TaskTrackerToken,
}

// === impl Exit ===

impl Exit {
    pub(super) fn new(core: Arc<Core>, around: Option<Hold>, admission: Option<Admission>) -> Self {
        Self {
            core,
            around,
            admission,
            left: false,
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The future is dropped: says so, unless another end was first.
    pub(super) fn is_dropped(&self) {
        if !self.left {
            self.core.end(self.core.must_end().unwrap_or(Why::Dropped));
        }
    }

    /// Ends the tasks and starts the cleanups, once the block is gone. `None` when there is nothing to
    /// wait for.
    pub(super) fn leave(&mut self) -> Option<JoinHandle<()>> {
        if std::mem::replace(&mut self.left, true) {
            return None;
        }
        let why = self.core.end(Why::Dropped);
        self.core.cancel();
        self.core.discard_undue(why);
        let (around, admission) = (self.around.take(), self.admission.take());
        if self.core.close_if_idle() {
            return None;
        }
        let leaving = Leaving {
            core: self.core.clone(),
            why,
            _around: around,
            _admission: admission,
            _running: self.core.counts.running(),
        };
        spawn(self.core.runtime(), leaving.run())
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.is_dropped();
        self.leave();
    }
}

// === impl Leaving ===

impl Leaving {
    async fn run(self) {
        let Self { core, why, .. } = &self;
        if !core.settled().await {
            let scope = &**core.name();
            tracing::error!(scope, limit = ?core.limit, "tasks of a scope do not end");
        }
        while let Some(cleanup) = core.next_cleanup() {
            if cleanup.is_due(*why) {
                cleanup.run(core, *why).await;
            }
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // None are left, unless the runtime is gone.
        while let Some(cleanup) = self.core.next_cleanup() {
            if cleanup.is_due(self.why) {
                cleanup.lose(&self.core);
            }
        }
    }
}
