//! The group.

use super::{Failure, First, GroupError, Settled, Success};
use crate::{
    ambient::Ambient,
    call::Labels,
    cancel::{Counts, Why},
    deadline::Deadline,
    error::{BoxError, Cancellation, Error, ErrorKind},
    scope::{Begin, Core, CutOff, DEFAULT_LIMIT, Inside},
};
use std::{fmt, future::Future, sync::Arc};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, timeout},
};

/// Futures that run together, each with a name. See the [module](super).
#[must_use = "a group that is dropped cancels its members"]
pub struct Group<T> {
    around: Ambient,
    members: Vec<Member>,
    running: JoinSet<(usize, Ended<T>)>,
    /// Members for which there was no runtime.
    refused: Vec<usize>,
    /// The group has begun to cut off those that still run.
    stopping: bool,
    succeeded: Vec<Success<T>>,
    failures: Vec<Failure>,
    cut_off: Vec<Arc<str>>,
}

/// A member has a scope of its own, so that it can be cut off alone. That scope does not end with the
/// member: a response body that the member returns goes on, in the scope around the group.
struct Member {
    name: Arc<str>,
    core: Arc<Core>,
    ended: bool,
}

type Ended<T> = Result<Result<T, BoxError>, CutOff>;

// === impl Group ===

impl<T: Send + 'static> Group<T> {
    /// A group inside of the code around. In a [`Scope`](crate::Scope) it ends with it.
    pub fn new() -> Self {
        Self::inside(Ambient::with(Ambient::clone).unwrap_or_default())
    }

    pub(crate) fn inside(around: Ambient) -> Self {
        Self {
            around,
            members: Vec::new(),
            running: JoinSet::new(),
            refused: Vec::new(),
            stopping: false,
            succeeded: Vec::new(),
            failures: Vec::new(),
            cut_off: Vec::new(),
        }
    }

    /// Starts a member, in a task. Deadline, token and labels of the code around the group are around it.
    pub fn spawn<F>(&mut self, name: impl Into<Arc<str>>, run: F)
    where
        F: Future<Output = Result<T, BoxError>> + Send + 'static,
    {
        let name = name.into();
        let runtime = match &self.around.scope {
            Some(scope) => scope.runtime(),
            None => Handle::try_current().ok(),
        };
        let begin = Begin {
            name: name.clone(),
            labels: Labels::new(),
            started: Instant::now(),
            deadline: Deadline::NEVER,
            limit: DEFAULT_LIMIT,
            counts: Arc::new(Counts::default()),
            runtime: runtime.clone(),
            cleanups: Vec::new(),
            drain: None,
        };
        let core = Core::begin(begin, Some(&self.around));
        let index = self.members.len();
        self.members.push(Member {
            name,
            core: core.clone(),
            ended: false,
        });
        let Some(runtime) = runtime else {
            tracing::error!("a member of a group does not run: there is no runtime");
            self.refused.push(index);
            return;
        };
        let hold = core.hold();
        let (token, ambient) = (core.token().clone(), core.ambient());
        let inside = Inside::new(run, core, token, ambient);
        self.running.spawn_on(
            async move {
                let ended = inside.await;
                drop(hold);
                (index, ended)
            },
            &runtime,
        );
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Waits for all members, whatever becomes of each.
    pub async fn wait_for_all(mut self) -> Settled<T> {
        while self.next().await.is_some() {}
        self.settled()
    }

    /// Waits for all members, and cancels the others at the first failure. Returns once those have ended,
    /// with the values in the order in which the members were spawned.
    ///
    /// # Errors
    ///
    /// Every failure that happened before the others had ended.
    pub async fn cancel_on_failure(mut self) -> Result<Vec<T>, GroupError> {
        while let Some(succeeded) = self.next().await {
            if !succeeded && !self.stopping {
                self.stop();
            }
        }
        self.stopped().await;
        self.settled().all()
    }

    /// Waits for the first member that comes to a value, and cancels the others. Returns once those have
    /// ended.
    ///
    /// # Errors
    ///
    /// Every failure, when no member came to a value; also of a group that has no member.
    pub async fn first_success(mut self) -> Result<First<T>, GroupError> {
        while let Some(succeeded) = self.next().await {
            if succeeded && !self.stopping {
                self.stop();
            }
        }
        self.stopped().await;
        let mut succeeded = std::mem::take(&mut self.succeeded);
        // One that was as fast as the winner comes after it.
        succeeded.truncate(1);
        let failed = self.failed();
        match succeeded.pop() {
            Some(winner) => Ok(First {
                winner,
                failed: failed.any(),
            }),
            None => Err(failed),
        }
    }

    /// Takes in the next member that ends: whether it succeeded.
    async fn next(&mut self) -> Option<bool> {
        loop {
            if let Some(index) = self.refused.pop() {
                return Some(self.take_in(index, Err(CutOff::Ended(Why::Dropped))));
            }
            // One whose runtime is gone will be missing at the end, and counts as dropped.
            if let Ok((index, ended)) = self.running.join_next().await? {
                return Some(self.take_in(index, ended));
            }
        }
    }

    fn take_in(&mut self, index: usize, ended: Ended<T>) -> bool {
        let stopping = self.stopping;
        let Some(member) = self.members.get_mut(index) else {
            return false;
        };
        member.ended = true;
        let (name, core) = (member.name.clone(), &member.core);
        let error = match ended {
            Ok(Ok(value)) => {
                let success = Success { index, name, value };
                self.succeeded.push(success);
                return true;
            }
            Ok(Err(error)) => Error::leaving(error, &name, core.labels(), core.elapsed()),
            Err(CutOff::Panicked(_)) => {
                tracing::error!(member = &*name, "a member of a group panicked");
                core.error(Why::Failed(Some(ErrorKind::Panicked)), &name)
            }
            Err(CutOff::Ended(why)) => core.error(why, &name),
        };
        // The group's own doing is no failure of the member.
        if stopping && error.kind() == ErrorKind::Cancelled(Cancellation::Scope) {
            self.cut_off.push(name);
        } else {
            self.failures.push(Failure::new(index, name, error));
        }
        false
    }

    /// Cuts off whoever still runs.
    fn stop(&mut self) {
        self.stopping = true;
        self.cut_off_running(Why::Scope);
    }

    /// Waits for what the members that were cut off leave behind: cleanups of scopes inside of them.
    async fn stopped(&self) {
        if !self.stopping {
            return;
        }
        let all = async {
            for member in &self.members {
                member.core.tasks_done().await;
            }
        };
        if timeout(DEFAULT_LIMIT, all).await.is_err() {
            tracing::error!(limit = ?DEFAULT_LIMIT, "tasks of a group do not end");
        }
    }

    fn settled(mut self) -> Settled<T> {
        let mut succeeded = std::mem::take(&mut self.succeeded);
        succeeded.sort_by_key(|each| each.index);
        Settled {
            succeeded,
            failed: self.failed().any(),
        }
    }

    fn failed(&mut self) -> GroupError {
        let missing = self.members.iter().enumerate();
        let missing = missing.filter(|(_, member)| !member.ended);
        let missing: Vec<_> = missing.map(|(index, _)| index).collect();
        for index in missing {
            self.take_in(index, Err(CutOff::Ended(Why::Dropped)));
        }
        let failures = std::mem::take(&mut self.failures);
        let cut_off = std::mem::take(&mut self.cut_off);
        GroupError::new(failures, cut_off, self.members.len())
    }
}

impl<T> Group<T> {
    fn cut_off_running(&self, why: Why) {
        // First say why to all, then wake them.
        let running = || self.members.iter().filter(|member| !member.ended);
        for member in running() {
            member.core.end(member.core.cut_off().unwrap_or(why));
        }
        for member in running() {
            member.core.cancel();
        }
    }
}

impl<T: Send + 'static> Default for Group<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Group<T> {
    fn drop(&mut self) {
        self.cut_off_running(Why::dropped());
    }
}

impl<T> fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.members.iter().filter(|member| !member.ended).count();
        f.debug_struct("Group")
            .field("members", &self.members.len())
            .field("running", &running)
            .field("failures", &self.failures.len())
            .finish_non_exhaustive()
    }
}
