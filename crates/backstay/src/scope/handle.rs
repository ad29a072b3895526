//! The scope, seen from inside.

use super::{
    Task,
    cleanup::{Cleanup, Left},
    core::Core,
    task,
};
use crate::{call::Labels, deadline::Deadline, error::BoxError, group::Group};
use std::{fmt, future::Future, sync::Arc};
use tokio_util::sync::CancellationToken;

/// A scope as the code in its block holds it. A cheap handle; clones name the same scope.
#[derive(Clone)]
pub struct ScopeHandle(Arc<Core>);

// === impl ScopeHandle ===

impl ScopeHandle {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    /// Starts a task that ends with the scope. Deadline, token and labels are around the code in it as
    /// they are around the block.
    ///
    /// If it panics, the scope ends with an error that names it. A task begun when the scope has ended is
    /// not run, and its result is a cancellation.
    pub fn spawn<F, T>(&self, name: impl Into<Arc<str>>, run: F) -> Task<T>
    where
        F: Future<Output = Result<T, BoxError>> + Send + 'static,
        T: Send + 'static,
    {
        task::spawn(&self.0, name.into(), run)
    }

    /// A group whose members end with the scope.
    pub fn group<T: Send + 'static>(&self) -> Group<T> {
        Group::inside(self.0.ambient_here())
    }

    /// Keeps a cleanup for when the scope is left, however that is. The last one given runs first.
    ///
    /// One that is given when the scope has been left runs at once, in a task.
    pub fn defer<F, T>(&self, cleanup: F)
    where
        F: FnOnce(Left) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.keep(Cleanup::new(cleanup, false));
    }

    /// The same, only for a scope that is cut off: dropped, cancelled, or past its deadline.
    pub fn on_cancel<F, T>(&self, cleanup: F)
    where
        F: FnOnce(Left) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.keep(Cleanup::new(cleanup, true));
    }

    fn keep(&self, cleanup: Cleanup) {
        if let Err((cleanup, why)) = self.0.defer(cleanup)
            && cleanup.is_due(why)
        {
            cleanup.run_alone(self.0.clone(), why);
        }
    }

    /// Waits until no task of the scope runs. Not for use in one of them: it would wait for itself.
    pub async fn tasks_done(&self) {
        self.0.tasks_done().await;
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Its labels, and those of the scopes around.
    pub fn labels(&self) -> &Labels {
        self.0.labels()
    }

    /// The instant at which it is over.
    pub fn deadline(&self) -> Deadline {
        self.0.deadline()
    }

    /// A token that fires when it ends: for code that cannot simply be dropped. Cancelling it does nothing
    /// to the scope.
    pub fn token(&self) -> CancellationToken {
        self.0.token().child_token()
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
