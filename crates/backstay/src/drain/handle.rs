//! The handle.

use super::{
    Admission, DrainLayer, DrainReport, Tracked, course,
    server::ServerLayer,
    shared::{Begun, Settings, Shared},
};
use crate::{call::Labels, cancel::Counts, error::Error, scope::Scope};
use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Relaxed, Release},
    },
};
use tokio::{runtime::Handle, time::Duration};

/// The orderly end of services, scopes and whatever else is given to it. See the [module](super).
///
/// A cheap handle: clones name the same drain. The settings belong to the handle: those of the one that
/// starts the drain hold.
#[derive(Clone)]
pub struct Drain {
    pub(super) shared: Arc<Shared>,
    settings: Settings,
}

/// Less than what orchestrators give a process (Kubernetes' `terminationGracePeriodSeconds` is 30 s),
/// hooks included.
const DEFAULT_GRACE: Duration = Duration::from_secs(20);
const DEFAULT_HOOKS: Duration = Duration::from_secs(5);
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

// === impl Drain: its settings ===

impl Drain {
    /// One that has not begun: everything is admitted.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared::new()),
            settings: Settings {
                grace: DEFAULT_GRACE,
                hooks: DEFAULT_HOOKS,
                retry_after: DEFAULT_RETRY_AFTER,
            },
        }
    }

    /// How long what is under way may go on once the drain has begun. Zero cancels it at once,
    /// `Duration::MAX` never. Default: 20 s.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// How long hooks are waited for once the grace period is over, or everything has ended before. Hooks
    /// that are still running then go on, and the report counts them. Default: 5 s.
    #[must_use]
    pub const fn hook_wait(mut self, most: Duration) -> Self {
        self.settings.hooks = most;
        self
    }

    /// What [`server_layer`](Self::server_layer) says in `Retry-After`, rounded up to whole seconds.
    /// Default: 5 s.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.settings.retry_after = wait;
        self
    }
}

// === impl Drain: what it covers ===

impl Drain {
    /// A layer for a service that makes calls; also [`ServiceBuilderExt::drain`](crate::ServiceBuilderExt::drain).
    pub fn layer(&self) -> DrainLayer {
        DrainLayer::new(self.clone())
    }

    /// A layer for a service that answers requests, axum's for one: it answers 503 with `Retry-After`
    /// once the drain has begun. The error type of the service is kept.
    pub fn server_layer(&self) -> ServerLayer {
        ServerLayer::new(self.clone(), self.settings.retry_after)
    }

    /// Leave to begin something that the drain waits for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Draining`](crate::ErrorKind::Draining) once the drain has begun.
    pub fn admit(&self) -> Result<Admission, Error> {
        self.admit_with(Labels::new)
    }

    /// A future of any kind, admitted from now on: it ends with
    /// [`Cancellation::Shutdown`](crate::error::Cancellation::Shutdown) when the grace period is over, and
    /// with [`ErrorKind::Draining`](crate::ErrorKind::Draining), without having been polled, if the drain
    /// has begun already. Hooks of calls made in it are waited for.
    pub fn track<F: Future>(&self, future: F) -> Tracked<F> {
        Tracked::new(future, self.admit())
    }

    /// A scope of this name that the drain waits for: admitted when it is [run](Scope::run), and left with
    /// [`Cancellation::Shutdown`](crate::error::Cancellation::Shutdown) when the grace period is over. Its
    /// cleanups, and the hooks of calls made in it, in its tasks too, are waited for and counted as hooks.
    ///
    /// Once the drain has begun its block is not entered, and it is left at once with
    /// [`ErrorKind::Draining`](crate::ErrorKind::Draining); what was [deferred](Scope::defer) runs.
    pub fn scope(&self, name: impl Into<Arc<str>>) -> Scope {
        Scope::new(name).under(self.clone())
    }

    pub(crate) fn hooks(&self) -> &Arc<Counts> {
        &self.shared.hooks
    }

    pub(crate) fn admit_with(&self, labels: impl FnOnce() -> Labels) -> Result<Admission, Error> {
        Admission::new(&self.shared).ok_or_else(|| {
            self.shared.refused.fetch_add(1, Relaxed);
            Admission::refused(labels())
        })
    }
}

// === impl Drain: its course ===

impl Drain {
    /// Begins: nothing new is admitted, and the grace period runs. Only the first time counts.
    ///
    /// One task does the rest, on the current runtime; outside of a runtime the first
    /// [`shutdown`](Self::shutdown) does, and the grace period counts from now all the same.
    pub fn start(&self) {
        let begun = self.shared.begin(self.settings);
        self.drive(begun);
    }

    /// Begins, unless it has begun, and waits for its end. Every caller gets the same report. Dropping
    /// this future leaves the drain to its course.
    pub async fn shutdown(&self) -> DrainReport {
        self.start();
        loop {
            let news = self.shared.news.notified();
            if let Some(report) = self.shared.report.get() {
                return report.clone();
            }
            // Again, if the runtime of whoever did it is gone.
            self.start();
            news.await;
        }
    }

    /// Ends the grace period now; begins, if it has not begun.
    pub fn hurry(&self) {
        self.shared.hurry.cancel();
        self.start();
    }

    /// Waits until the drain begins: for accept loops, and for axum's `with_graceful_shutdown`. However
    /// late it is asked, it is not missed.
    pub fn started(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.started.clone().cancelled_owned()
    }

    /// Whether it has begun.
    pub fn is_draining(&self) -> bool {
        self.shared.gate.is_closed()
    }

    /// How many calls, bodies, scopes and tracked futures are under way.
    pub fn in_flight(&self) -> usize {
        self.shared.gate.inside()
    }

    fn drive(&self, begun: Begun) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.shared.report.get().is_some() || self.shared.driven.swap(true, AcqRel) {
            return;
        }
        let driver = Driver(self.shared.clone());
        runtime.spawn(async move {
            let report = course::run(&driver.0, begun).await;
            driver.0.finish(report);
        });
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("settings", &self.settings)
            .field("draining", &self.is_draining())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// Whoever takes a drain along its course. Gone without a report, another may.
struct Driver(Arc<Shared>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.driven.store(false, Release);
        self.0.news.notify_waiters();
    }
}
