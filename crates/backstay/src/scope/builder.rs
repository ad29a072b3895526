//! A scope before it begins.

use super::{
    Cleanups, Left, Run, ScopeHandle,
    cleanup::{Cleanup, DEFAULT_LIMIT},
    core::{Begin, Core},
    exit::Exit,
    tokens::Tokens,
};
use crate::{
    ambient::Ambient,
    call::Labels,
    cancel::Counts,
    deadline::Deadline,
    drain::{Admission, Drain},
    error::{BoxError, BuildError, Error},
};
use std::{borrow::Cow, fmt, future::Future, sync::Arc};
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
    tokens: Vec<CancellationToken>,
    cleanups: Vec<Cleanup>,
    counts: Arc<Counts>,
    drain: Option<Drain>,
}

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
            tokens: Vec::new(),
            cleanups: Vec::new(),
            counts: Arc::default(),
            drain: None,
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
    pub fn token(mut self, token: CancellationToken) -> Self {
        self.tokens.push(token);
        self
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

    /// Under a drain, which admits it when it is run.
    pub(crate) fn under(mut self, drain: Drain) -> Self {
        self.drain = Some(drain);
        self
    }

    fn prepare(self) -> Prepared {
        let admission = self.drain.as_ref();
        let admission = admission.map(|drain| drain.admit_with(|| self.labels.clone()));
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
                drain: self.drain.map(|drain| drain.hooks().clone()),
            },
            tokens: self.tokens,
            admission,
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
    tokens: Vec<CancellationToken>,
    admission: Option<Result<Admission, Error>>,
}

// === impl Prepared ===

impl Prepared {
    /// Begins inside of the code around; an error if it was not admitted.
    pub(super) fn begin(mut self) -> (Exit, Tokens, Option<Error>) {
        // Rather the runtime that polls it than the one it was made on.
        if let Ok(runtime) = Handle::try_current() {
            self.begin.runtime = Some(runtime);
        }
        let (admission, refused) = match self.admission.take() {
            Some(Ok(admission)) => (Some(admission), None),
            Some(Err(refused)) => (None, Some(refused)),
            None => (None, None),
        };
        let tokens = std::mem::take(&mut self.tokens);
        let exit = self.exit(admission);
        let tokens = Tokens::new(exit.core().token(), tokens);
        (exit, tokens, refused)
    }

    /// Begins although nobody will run it, so that its cleanups do.
    pub(super) fn begin_unpolled(mut self) -> Exit {
        let admission = self.admission.take().and_then(Result::ok);
        self.exit(admission)
    }

    fn exit(self, admission: Option<Admission>) -> Exit {
        let around = Ambient::with(Ambient::clone);
        let core = Core::begin(self.begin, around.as_ref());
        let around = around.and_then(|around| Some(around.scope?.hold()));
        Exit::new(core, around, admission)
    }
}
