//! What a scope's future, its handles, its tasks and the calls inside share.

use super::{cleanup::Cleanup, deferred::Deferred};
use crate::{
    ambient::Ambient,
    call::Labels,
    cancel::{Counts, Running, Why},
    deadline::Deadline,
    drain,
    error::{Error, ErrorKind},
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// A scope that has begun. A group has one too, as the parent of what its members start.
pub(crate) struct Core {
    name: Arc<str>,
    labels: Labels,
    started: Instant,
    deadline: Deadline,
    /// How long each cleanup may run, and how long leaving waits for tasks.
    pub(super) limit: Duration,
    pub(super) counts: Arc<Counts>,
    /// The hook counts of the drains that it runs under: of calls inside, and of its cleanups.
    watchers: Vec<Arc<Counts>>,
    runtime: Option<Handle>,
    parent: Option<Arc<Core>>,
    /// Fires when this scope, or one around it, has ended.
    token: CancellationToken,
    /// Set before anything inside is dropped, so that all of it can tell why.
    ended: OnceLock<Why>,
    /// The first task that panicked.
    panicked: OnceLock<Arc<str>>,
    /// Tasks, and nested scopes until they have been left.
    tasks: TaskTracker,
    deferred: Deferred<Cleanup>,
}

/// What a scope is made of.
pub(crate) struct Begin {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) started: Instant,
    pub(crate) deadline: Deadline,
    pub(crate) limit: Duration,
    pub(crate) counts: Arc<Counts>,
    pub(crate) runtime: Option<Handle>,
    pub(crate) cleanups: Vec<Cleanup>,
    /// The drain that has admitted it.
    pub(crate) drain: Option<Arc<Counts>>,
}

/// Keeps a scope, and those around it, from being over.
pub(crate) struct Hold(#[allow(dead_code)] Vec<TaskTrackerToken>);

// === impl Core ===

impl Core {
    /// Begins inside of what is around: deadlines shrink, labels merge.
    pub(crate) fn begin(begin: Begin, around: Option<&Ambient>) -> Arc<Self> {
        let parent = around.and_then(|around| around.scope.clone());
        let mut labels = begin.labels;
        let mut deadline = begin.deadline;
        if let Some(around) = around {
            labels.inherit(&around.labels);
            deadline = deadline.earlier(around.deadline);
        }
        let mut watchers: Vec<_> = begin.drain.into_iter().collect();
        let of_parent = parent.iter().flat_map(|parent| &parent.watchers);
        let around = drain::around();
        for each in of_parent.chain(around.iter().flat_map(|around| around.iter())) {
            if !watchers.iter().any(|known| Arc::ptr_eq(known, each)) {
                watchers.push(each.clone());
            }
        }
        let tasks = TaskTracker::new();
        // Nothing is refused by that: it lets waiting end once there are none.
        tasks.close();
        Arc::new(Self {
            name: begin.name,
            labels,
            started: begin.started,
            deadline,
            limit: begin.limit,
            counts: begin.counts,
            watchers,
            runtime: begin.runtime,
            token: match &parent {
                Some(parent) => parent.token.child_token(),
                None => CancellationToken::new(),
            },
            parent,
            ended: OnceLock::new(),
            panicked: OnceLock::new(),
            tasks,
            deferred: Deferred::new(begin.cleanups),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn labels(&self) -> &Labels {
        &self.labels
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(crate) fn watchers(&self) -> &[Arc<Counts>] {
        &self.watchers
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The runtime that it runs on, else the one that is here.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        let own = self.runtime.clone();
        own.or_else(|| Handle::try_current().ok())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }

    /// What code inside finds around it.
    pub(crate) fn ambient(self: &Arc<Self>) -> Ambient {
        Ambient {
            deadline: self.deadline,
            labels: self.labels.clone(),
            scope: Some(self.clone()),
        }
    }

    /// The same, or what is around the code that asks, if that is in the block of this very scope: there a
    /// [`Deadline::scope`] may have lowered the deadline.
    pub(super) fn ambient_here(self: &Arc<Self>) -> Ambient {
        let here = Ambient::with(|ambient| {
            let scope = ambient.scope.as_ref()?;
            Arc::ptr_eq(scope, self).then(|| ambient.clone())
        });
        here.flatten().unwrap_or_else(|| self.ambient())
    }

    /// Why whatever is still under way inside is cut off, once it is.
    pub(crate) fn cut_off(&self) -> Option<Why> {
        match self.ended.get() {
            Some(why) => Some(why.inside()),
            None => self.parent.as_ref()?.cut_off(),
        }
    }

    /// Why this scope has to end, though its block did not: one around it has ended, or a task panicked.
    pub(super) fn must_end(&self) -> Option<Why> {
        match self.ended.get() {
            Some(why) => Some(*why),
            None => self.parent.as_ref()?.cut_off(),
        }
    }

    /// Says why it ends, before anything inside is dropped. The first reason stands, and is returned.
    pub(crate) fn end(&self, why: Why) -> Why {
        *self.ended.get_or_init(|| why)
    }

    /// Tells everybody inside who waits.
    pub(crate) fn cancel(&self) {
        self.token.cancel();
    }

    /// The drain's grace is over, and nobody polls the block: its tasks can be ended, and the drain waits
    /// for them and their hooks. Cleanups wait for the block to go, which may use what they give back.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        self.end(Why::Shutdown);
        self.cancel();
        if let Some(runtime) = self.runtime().filter(|_| !self.tasks.is_empty()) {
            let (core, ending) = (self.clone(), self.running());
            runtime.spawn(async move {
                core.settled().await;
                drop(ending);
            });
        }
    }

    /// Something of the scope's that it has ended, and its drains, wait for.
    pub(super) fn running(&self) -> Running {
        let mut counts = vec![self.counts.clone()];
        counts.extend_from_slice(&self.watchers);
        Running::new(counts)
    }

    pub(super) fn task_panicked(&self, name: &Arc<str>) {
        let _ = self.panicked.set(name.clone());
        self.end(Why::Failed(Some(ErrorKind::Panicked)));
        self.cancel();
    }

    /// The error of a task that panicked.
    pub(super) fn panic(&self) -> Option<Error> {
        let task = self.panicked.get()?;
        let why = Why::Failed(Some(ErrorKind::Panicked));
        let error = Error::cut_off(why, task, &self.labels, self.elapsed());
        Some(Error::leaving(
            error.into(),
            &self.name,
            &self.labels,
            self.elapsed(),
        ))
    }

    /// The error of whatever was cut off for this reason.
    pub(crate) fn error(&self, why: Why, name: &str) -> Error {
        let error = Error::cut_off(why, name, &self.labels, self.elapsed());
        match why {
            Why::Deadline => error.with_limit(self.deadline.budget(self.started)),
            _ => error,
        }
    }

    /// Lets something begin inside, unless it is over.
    pub(crate) fn admit(&self) -> Option<Hold> {
        // So that whoever ends the scope either sees it or is seen by it.
        self.deferred.while_it_stays(|| match self.cut_off() {
            Some(_) => None,
            None => Some(self.hold()),
        })
    }

    pub(crate) fn hold(&self) -> Hold {
        let lineage = std::iter::successors(Some(self), |core| core.parent.as_deref());
        Hold(lineage.map(|core| core.tasks.token()).collect())
    }

    /// Waits until nothing runs inside, within the limit. False when something still does.
    pub(crate) async fn settled(&self) -> bool {
        tokio::time::timeout(self.limit, self.tasks.wait())
            .await
            .is_ok()
    }

    /// Waits until no task runs.
    pub(crate) async fn tasks_done(&self) {
        self.tasks.wait().await;
    }

    /// Keeps a cleanup for the end; gives it back when that has been.
    pub(super) fn defer(&self, cleanup: Cleanup) -> Result<(), (Cleanup, Why)> {
        let kept = self.deferred.keep(cleanup);
        kept.map_err(|cleanup| (cleanup, self.end(Why::Complete)))
    }

    /// The cleanup that is next; with none left, none will be kept any more.
    pub(super) fn next_cleanup(&self) -> Option<Cleanup> {
        self.deferred.next()
    }

    /// Lets go of the cleanups that are for another end than this; the others count from now on.
    pub(super) fn discard_undue(&self, why: Why) {
        self.deferred.retain(|cleanups| {
            let (mut due, undue): (Vec<_>, Vec<_>) = cleanups
                .into_iter()
                .partition(|cleanup| cleanup.is_due(why));
            undue.into_iter().for_each(Cleanup::discard);
            for cleanup in &mut due {
                cleanup.becomes_due(self);
            }
            due
        });
    }

    /// Whether there is nothing to wait for; then it is closed.
    pub(super) fn close_if_idle(&self) -> bool {
        self.deferred.close_if(|| self.tasks.is_empty())
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("name", &self.name)
            .field("labels", &self.labels)
            .field("deadline", &self.deadline)
            .field("tasks", &self.tasks.len())
            .field("ended", &self.ended.get())
            .finish_non_exhaustive()
    }
}
