//! Leaving a scope: tasks end, then cleanups run.

use super::{
    cleanup::spawn,
    core::{Core, Hold},
};
use crate::{
    cancel::{Running, Why},
    drain::{Admission, Record},
};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::task::JoinHandle;

/// Owned by the scope's future. Its drop is the end that nobody announced.
pub(super) struct Exit {
    core: Arc<Core>,
    /// Scopes around are not over before this one has been left.
    around: Option<Hold>,
    /// A drain waits for the block; for what is left to do then, as it does for hooks.
    admission: Option<Admission>,
    left: bool,
}

/// What remains to be done when the block is gone. It runs in a task, out of reach of whoever drops the
/// scope's future.
struct Leaving {
    core: Arc<Core>,
    why: Why,
    /// Until cleanups are counted, one by one.
    tasks_end: Option<Running>,
    _around: Option<Hold>,
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

    /// Whether a drain's grace is over.
    pub(super) fn is_shut_down(&self) -> bool {
        self.admission.as_ref().is_some_and(Admission::is_shut_down)
    }

    /// The same; the task is woken then.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.admission {
            Some(admission) => {
                let record = || Some(Record::Scope(self.core.clone()));
                admission.poll_shutdown_of(record, cx)
            }
            None => Poll::Pending,
        }
    }

    /// The future is dropped: says so, unless another end was first.
    pub(super) fn is_dropped(&self) {
        if !self.left {
            self.core
                .end(self.core.must_end().unwrap_or_else(Why::dropped));
        }
    }

    /// Ends the tasks and starts the cleanups, once the block is gone. `None` when there is nothing to
    /// wait for.
    pub(super) fn leave(&mut self) -> Option<JoinHandle<()>> {
        if std::mem::replace(&mut self.left, true) {
            return None;
        }
        let why = self.core.end(Why::dropped());
        // Before the drain is told: it waits for what is to be done yet.
        let tasks_end = self.core.running();
        self.core.cancel();
        self.core.discard_undue(why);
        let around = self.around.take();
        if let Some(admission) = self.admission.take() {
            admission.ended(why);
        }
        if self.core.close_if_idle() {
            return None;
        }
        let leaving = Leaving {
            core: self.core.clone(),
            why,
            tasks_end: Some(tasks_end),
            _around: around,
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
    async fn run(mut self) {
        if !self.core.settled().await {
            let scope = &**self.core.name();
            tracing::error!(scope, limit = ?self.core.limit, "tasks of a scope do not end");
        }
        // Tasks may have given some on their way out.
        self.core.discard_undue(self.why);
        self.tasks_end = None;
        while let Some(cleanup) = self.core.next_cleanup() {
            if cleanup.is_due(self.why) {
                cleanup.run(&self.core, self.why).await;
            } else {
                cleanup.discard();
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
            } else {
                cleanup.discard();
            }
        }
    }
}
