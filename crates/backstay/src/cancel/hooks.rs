//! Running hooks, counting them, waiting for them.

use super::{Ended, Why};
use crate::error::BuildError;
use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Duration, timeout},
};

/// The hooks and observers of a cancel layer: counts, and a way to wait for what runs.
///
/// A cheap handle; clones name the same hooks.
#[derive(Clone)]
pub struct Hooks(pub(super) Arc<Shared>);

pub(super) type Hook = Arc<dyn Fn(Ended) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
pub(super) type Observe = Arc<dyn Fn(&Ended) + Send + Sync>;

/// What the clones of a service share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) hooks: Vec<Hook>,
    pub(super) observers: Vec<Observe>,
    pub(super) limit: Option<Duration>,
    pub(super) counts: Arc<Counts>,
}

/// Outlives the service while hooks run.
#[derive(Default)]
pub(super) struct Counts {
    in_flight: AtomicUsize,
    running: AtomicUsize,
    finished: AtomicUsize,
    timed_out: AtomicUsize,
    panicked: AtomicUsize,
    lost: AtomicUsize,
    idle: Notify,
}

/// How long a hook may run, unless the layer says otherwise.
const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

// === impl Hooks ===

impl Hooks {
    /// Calls that have not ended.
    pub fn in_flight(&self) -> usize {
        self.0.counts.in_flight.load(Relaxed)
    }

    /// Hooks that run now, or are about to.
    pub fn running(&self) -> usize {
        self.0.counts.running.load(Relaxed)
    }

    /// Hooks that came to their end.
    pub fn finished(&self) -> usize {
        self.0.counts.finished.load(Relaxed)
    }

    /// Hooks that were ended by their time limit.
    pub fn timed_out(&self) -> usize {
        self.0.counts.timed_out.load(Relaxed)
    }

    /// Hooks that panicked.
    pub fn panicked(&self) -> usize {
        self.0.counts.panicked.load(Relaxed)
    }

    /// Hooks that could not run, or not to their end, because their runtime was gone.
    pub fn lost(&self) -> usize {
        self.0.counts.lost.load(Relaxed)
    }

    /// Waits until no hook runs, for so long at most. False when some still do.
    pub async fn wait(&self, most: Duration) -> bool {
        let counts = &self.0.counts;
        let idle = async {
            loop {
                let notified = counts.idle.notified();
                if counts.running.load(Relaxed) == 0 {
                    return;
                }
                notified.await;
            }
        };
        timeout(most, idle).await.is_ok()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("in_flight", &self.in_flight())
            .field("running", &self.running())
            .field("finished", &self.finished())
            .field("timed_out", &self.timed_out())
            .field("panicked", &self.panicked())
            .field("lost", &self.lost())
            .finish()
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn copy(&self) -> Self {
        Self {
            hooks: self.hooks.clone(),
            observers: self.observers.clone(),
            limit: self.limit,
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

    pub(super) fn call_began(&self) {
        self.counts.in_flight.fetch_add(1, Relaxed);
    }

    /// Whether nobody wants to know of such an end.
    pub(super) fn is_silent(&self, why: Why) -> bool {
        self.observers.is_empty() && (why.is_complete() || self.hooks.is_empty())
    }

    pub(super) fn call_ended_silently(&self) {
        self.counts.in_flight.fetch_sub(1, Relaxed);
    }

    /// Tells the observers, and starts the hooks unless the call is complete.
    pub(super) fn call_ended(&self, ended: &Ended, runtime: Option<&Handle>) {
        for observe in &self.observers {
            // This may be a drop during a panic: a second panic would abort the process.
            if catch_unwind(AssertUnwindSafe(|| observe(ended))).is_err() {
                tracing::error!("an observer of a call's end panicked");
            }
        }
        if !ended.why.is_complete() {
            for hook in &self.hooks {
                self.start(hook.clone(), ended.clone(), runtime);
            }
        }
        // Last: who waits for calls and then for hooks misses none.
        self.counts.in_flight.fetch_sub(1, Relaxed);
    }

    fn start(&self, hook: Hook, ended: Ended, runtime: Option<&Handle>) {
        self.counts.running.fetch_add(1, Relaxed);
        let run = Running {
            hook: Some((hook, ended)),
            limit: self.limit.unwrap_or(DEFAULT_LIMIT),
            counts: self.counts.clone(),
            settled: false,
        };
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

/// One hook from its start to its settlement. Dropped before that, it is lost.
struct Running {
    hook: Option<(Hook, Ended)>,
    limit: Duration,
    counts: Arc<Counts>,
    settled: bool,
}

// === impl Running ===

impl Running {
    async fn run(mut self) {
        // The user's code is entered here, in the task, also where it makes the future.
        let run = CatchPanic {
            hook: self.hook.take(),
            future: None,
        };
        let counter = match timeout(self.limit, run).await {
            Ok(Ok(())) => &self.counts.finished,
            Ok(Err(Panicked)) => {
                tracing::error!("a cancellation hook panicked");
                &self.counts.panicked
            }
            Err(_) => {
                tracing::warn!(limit = ?self.limit, "a cancellation hook was ended by its time limit");
                &self.counts.timed_out
            }
        };
        counter.fetch_add(1, Relaxed);
        self.settled = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.settled {
            self.counts.lost.fetch_add(1, Relaxed);
            tracing::error!("a cancellation hook is lost: its runtime is gone");
        }
        if self.counts.running.fetch_sub(1, Relaxed) == 1 {
            self.counts.idle.notify_waiters();
        }
    }
}

/// Makes and polls the user's future, and stops at its first panic.
struct CatchPanic {
    hook: Option<(Hook, Ended)>,
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Panicked;

impl Future for CatchPanic {
    type Output = Result<(), Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some((hook, ended)) = this.hook.take() {
                this.future = Some(hook(ended));
            }
            match &mut this.future {
                Some(future) => future.as_mut().poll(cx),
                None => Poll::Ready(()),
            }
        }));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => {
                // What panicked once is not polled again; its drop may panic too.
                let future = this.future.take();
                let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
                Poll::Ready(Err(Panicked))
            }
        }
    }
}
