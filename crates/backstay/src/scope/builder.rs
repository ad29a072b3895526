//! A scope before it begins.

use super::{
    Cleanups, Left, Run, ScopeHandle,
    cleanup::{Cleanup, Counts, DEFAULT_LIMIT},
    core::{Begin, Core},
    exit::Exit,
    source::{CancelSource, Sources},
};
use crate::{
    ambient::Ambient,
    call::Labels,
    deadline::Deadline,
    error::{BoxError, BuildError, Cancellation},
};
use std::{any::Any, borrow::Cow, fmt, future::Future, sync::Arc};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// A block of workflow code with a deadline, labels, cleanups and tasks of its own. See the
/// [module](super).
#[must_use = "a scope does nothing until its block is run"]
pub struct Scope {
    name: Arc<str>,
    labels: Labels,
    budget: Duration,
    deadline: Deadline,
    limit: Duration,
    sources: Vec<CancelSource>,
    cleanups: Vec<Cleanup>,
    counts: Arc<Counts>,
    admission: Option<Admission>,
}

/// What lets a scope run; it is let go when the scope has been left.
pub(super) type Admission = Box<dyn Any + Send + Sync>;

// === impl Scope ===

impl Scope {
    /// A scope of this name, with nothing but what the code around has.
    ///
    /// Names and labels are printed: put no prompt, answer or credential into one.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            labels: Labels::new(),
            budget: Duration::MAX,
            deadline: Deadline::NEVER,
            limit: DEFAULT_LIMIT,
            sources: Vec::new(),
            cleanups: Vec::new(),
            counts: Arc::default(),
            admission: None,
        }
    }

    /// A label for every call inside, for the errors that leave, and for cleanups: `session`, `step`, any.
    /// One of the same name in a scope around is replaced.
    pub fn label(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.labels = self.labels.with(name, value);
        self
    }

    /// How long it may take, from [`run`](Self::run) on. Default: as long as the code around.
    ///
    /// A budget of zero is a deadline that has passed: the block is not entered.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// The instant at which it is over. With a budget too, the earlier of both.
    pub fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// A token that cancels it. There may be more than one.
    pub fn token(self, token: CancellationToken) -> Self {
        self.cancelled_by(CancelSource {
            token,
            reason: Cancellation::Token,
        })
    }

    /// A cleanup for a scope that is cut off: dropped, cancelled, or past its deadline. Not for one whose
    /// block came to an end of its own, with a value or an error.
    pub fn on_cancel<F, T>(mut self, cleanup: F) -> Self
    where
        F: FnOnce(Left) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.cleanups.push(Cleanup::new(cleanup, true));
        self
    }

    /// A cleanup that runs however the scope is left. The last one given runs first.
    pub fn defer<F, T>(mut self, cleanup: F) -> Self
    where
        F: FnOnce(Left) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.cleanups.push(Cleanup::new(cleanup, false));
        self
    }

    /// How long each cleanup may run, and how long leaving waits for tasks that do not end. Default: 5 s.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroDuration`].
    pub fn cleanup_timeout(mut self, limit: Duration) -> Result<Self, BuildError> {
        if limit.is_zero() {
            return Err(BuildError::ZeroDuration {
                setting: "cleanup_timeout",
            });
        }
        self.limit = limit;
        Ok(self)
    }

    /// Counts, and a way to wait for cleanups after the scope was dropped.
    pub fn cleanups(&self) -> Cleanups {
        Cleanups(self.counts.clone())
    }

    /// Runs a block in it: a closure that is given the scope, `async |scope| { .. }`.
    ///
    /// The budget counts from here. The code around is looked at when the future is polled first, and the
    /// block is entered then.
    ///
    /// # Errors
    ///
    /// The block's own, with the names and labels of the scopes that it left; a cancellation, a deadline,
    /// or the panic of a task, when that ended it.
    ///
    /// # Panics
    ///
    /// If the block does, once the scope has been left.
    pub fn run<F, Fut, T>(self, block: F) -> Run<F, Fut, T>
    where
        F: FnOnce(ScopeHandle) -> Fut,
        Fut: Future<Output = Result<T, BoxError>>,
    {
        Run::new(self.prepare(), block)
    }

    /// What else can cancel it, and how that is called: a drain's grace, for one.
    pub(crate) fn cancelled_by(mut self, source: CancelSource) -> Self {
        self.sources.push(source);
        self
    }

    /// Keeps an admission until the scope has been left, cleanups included.
    #[cfg_attr(not(test), expect(dead_code, reason = "a drain admits scopes"))]
    pub(crate) fn admitted_by(mut self, admission: impl Any + Send + Sync) -> Self {
        self.admission = Some(Box::new(admission));
        self
    }

    fn prepare(self) -> Prepared {
        let started = Instant::now();
        let budget = Deadline::from_option(started.checked_add(self.budget));
        Prepared {
            begin: Begin {
                name: self.name,
                labels: self.labels,
                started,
                deadline: self.deadline.earlier(budget),
                limit: self.limit,
                counts: self.counts,
                runtime: Handle::try_current().ok(),
                cleanups: self.cleanups,
            },
            sources: self.sources,
            admission: self.admission,
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("name", &self.name)
            .field("labels", &self.labels)
            .field("budget", &self.budget)
            .field("cleanups", &self.cleanups.len())
            .finish_non_exhaustive()
    }
}

/// A scope whose budget counts, and whose future has not been polled.
pub(super) struct Prepared {
    begin: Begin,
    sources: Vec<CancelSource>,
    admission: Option<Admission>,
}

// === impl Prepared ===

impl Prepared {
    /// Begins inside of the code around.
    pub(super) fn begin(mut self) -> (Exit, Sources) {
        // Rather the runtime that polls it than the one it was made on.
        if let Ok(runtime) = Handle::try_current() {
            self.begin.runtime = Some(runtime);
        }
        let around = Ambient::with(Ambient::clone);
        let core = Core::begin(self.begin, around.as_ref());
        let sources = Sources::new(core.token(), self.sources);
        let around = around.and_then(|around| Some(around.scope?.hold()));
        (Exit::new(core, around, self.admission), sources)
    }

    /// Begins although nobody will run it, so that its cleanups do.
    pub(super) fn begin_unpolled(self) -> Exit {
        Exit::new(Core::begin(self.begin, None), None, self.admission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cancel::Why, error::ErrorKind};
    use parking_lot::Mutex;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_it_as_a_shutdown_and_gets_its_admission_back_after_the_cleanups() {
        let grace_is_over = CancellationToken::new();
        let admission = Arc::new(());
        let left = Arc::new(Mutex::new(None));
        let (admitted, told) = (Arc::downgrade(&admission), left.clone());
        let run = Scope::new("answer")
            .cancelled_by(CancelSource {
                token: grace_is_over.clone(),
                reason: Cancellation::Shutdown,
            })
            .admitted_by(admission)
            .on_cancel(move |left| async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                *told.lock() = Some((left.why, admitted.upgrade().is_some()));
            })
            .run(|_| pending::<Result<(), BoxError>>());
        let run = tokio::spawn(run);
        tokio::task::yield_now().await;
        grace_is_over.cancel();
        let error = run.await.unwrap().unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Cancelled(Cancellation::Shutdown),
            "{error}"
        );
        assert_eq!(*left.lock(), Some((Why::Shutdown, true)));
    }
}
