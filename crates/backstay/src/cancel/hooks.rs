//! The hooks and observers of a layer.

use super::{
    Ended, Why,
    counts::{Counts, HookCounts, Running},
    run::{Hook, Run},
};
use crate::error::BuildError;
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Duration, timeout},
};

/// The hooks and observers of a cancel layer: counts, and a way to wait for what runs.
///
/// A cheap handle; clones name the same hooks.
#[derive(Clone)]
pub struct Hooks(pub(super) Arc<Shared>);

pub(super) type Observe = Arc<dyn Fn(&Ended) + Send + Sync>;

/// What the clones of a service share.
pub(super) struct Shared {
    pub(super) hooks: Vec<Hook>,
    pub(super) observers: Vec<Observe>,
    pub(super) limit: Duration,
    at_once: Arc<Semaphore>,
    in_flight: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

/// How long a hook may run, unless the layer says otherwise.
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);
/// How many hooks of a layer run at the same time, unless it says otherwise.
const DEFAULT_AT_ONCE: usize = 64;

// === impl Hooks ===

impl Hooks {
    /// Calls that have not ended.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Relaxed)
    }

    /// What became of the hooks that were started.
    pub fn counts(&self) -> HookCounts {
        self.0.counts.read()
    }

    /// Hooks that run now, or are about to.
    pub fn running(&self) -> usize {
        self.counts().running
    }

    /// Hooks that came to their end.
    pub fn finished(&self) -> usize {
        self.counts().finished
    }

    /// Hooks that were ended by their time limit.
    pub fn timed_out(&self) -> usize {
        self.counts().timed_out
    }

    /// Hooks that panicked.
    pub fn panicked(&self) -> usize {
        self.counts().panicked
    }

    /// Hooks that could not run, or not to their end, because their runtime was gone.
    pub fn lost(&self) -> usize {
        self.counts().lost
    }

    /// Waits until no hook runs, for so long at most. False when some still do.
    pub async fn wait(&self, most: Duration) -> bool {
        timeout(most, self.0.counts.idle()).await.is_ok()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("in_flight", &self.in_flight())
            .field("counts", &self.counts())
            .finish()
    }
}

// === impl Shared ===

impl Shared {
    /// The same counts, for a layer that is changed.
    pub(super) fn copy(&self) -> Self {
        Self {
            hooks: self.hooks.clone(),
            observers: self.observers.clone(),
            limit: self.limit,
            at_once: self.at_once.clone(),
            in_flight: self.in_flight.clone(),
            counts: self.counts.clone(),
        }
    }

    pub(super) fn limit(limit: Duration) -> Result<Duration, BuildError> {
        if limit.is_zero() {
            return Err(BuildError::ZeroDuration {
                setting: "hook_timeout",
            });
        }
        Ok(limit)
    }

    pub(super) fn set_at_once(&mut self, hooks: usize) -> Result<(), BuildError> {
        if hooks == 0 {
            return Err(BuildError::Zero {
                setting: "hooks_at_once",
            });
        }
        self.at_once = Arc::new(Semaphore::new(hooks.min(Semaphore::MAX_PERMITS)));
        Ok(())
    }

    pub(super) fn call_began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Whether nobody wants to know of any end.
    pub(super) fn is_deaf(&self) -> bool {
        self.observers.is_empty() && self.hooks.is_empty()
    }

    /// Whether nobody wants to know of such an end.
    pub(super) fn is_silent(&self, why: Why) -> bool {
        self.observers.is_empty() && (why.is_complete() || self.hooks.is_empty())
    }

    pub(super) fn call_ended_silently(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Tells the observers, and starts the hooks unless the call is complete. `watchers` count them too.
    pub(super) fn call_ended(
        &self,
        ended: &Ended,
        runtime: Option<&Handle>,
        watchers: &[Arc<Counts>],
    ) {
        for observe in &self.observers {
            // This may be a drop during a panic: a second panic would abort the process.
            if catch_unwind(AssertUnwindSafe(|| observe(ended))).is_err() {
                tracing::error!("an observer of a call's end panicked");
            }
        }
        if !ended.why.is_complete() {
            for hook in &self.hooks {
                self.start(hook.clone(), ended.clone(), runtime, watchers);
            }
        }
        // Last: who waits for calls and then for hooks misses none.
        self.in_flight.fetch_sub(1, Relaxed);
    }

    fn start(&self, hook: Hook, ended: Ended, runtime: Option<&Handle>, watchers: &[Arc<Counts>]) {
        let mut counts = Vec::with_capacity(1 + watchers.len());
        counts.push(self.counts.clone());
        counts.extend_from_slice(watchers);
        let running = Running::new(counts);
        let run = Run::new(
            hook,
            ended,
            self.limit,
            self.at_once.clone(),
            running,
            watchers.into(),
        );
        match runtime {
            Some(runtime) => {
                runtime.spawn(run.run());
            }
            // Made outside of any runtime: there may be one here. Else it is lost, which its drop says.
            None => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(run.run());
                }
            }
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            hooks: Vec::new(),
            observers: Vec::new(),
            limit: DEFAULT_LIMIT,
            at_once: Arc::new(Semaphore::new(DEFAULT_AT_ONCE)),
            in_flight: Arc::default(),
            counts: Arc::default(),
        }
    }
}
