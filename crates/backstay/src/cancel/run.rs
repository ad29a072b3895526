//! One hook, from its start to its settlement.

use super::{
    Ended,
    counts::{Running, Settled},
};
use crate::drain::{self, Watchers};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    sync::Semaphore,
    time::{Duration, timeout},
};

/// One hook that was started. Dropped before it is settled, it is lost.
pub(super) struct Run {
    hook: Option<(Hook, Ended)>,
    limit: Duration,
    at_once: Arc<Semaphore>,
    running: Running,
    watchers: Watchers,
    settled: bool,
}

/// A hook of the user's.
pub(super) type Hook = Arc<dyn Fn(Ended) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

// === impl Run ===

impl Run {
    pub(super) fn new(
        hook: Hook,
        ended: Ended,
        limit: Duration,
        at_once: Arc<Semaphore>,
        running: Running,
        watchers: Watchers,
    ) -> Self {
        Self {
            hook: Some((hook, ended)),
            limit,
            at_once,
            running,
            watchers,
            settled: false,
        }
    }

    pub(super) async fn run(mut self) {
        let at_once = self.at_once.clone();
        // Never closed.
        let _permit = at_once.acquire().await;
        // The user's code is entered here, in the task, also where it makes the future.
        let run = CatchPanic {
            hook: self.hook.take(),
            future: None,
        };
        // The drains that wait for it wait for the hooks of calls made in there too.
        let run = drain::run_inside(self.watchers.clone(), run);
        let how = match timeout(self.limit, run).await {
            Ok(Ok(())) => Settled::Finished,
            Ok(Err(Panicked)) => {
                tracing::error!("a cancellation hook panicked");
                Settled::Panicked
            }
            Err(_) => {
                tracing::warn!(limit = ?self.limit, "a cancellation hook was ended by its time limit");
                Settled::TimedOut
            }
        };
        self.settled = true;
        self.running.settle(how);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.settled {
            self.running.settle(Settled::Lost);
            tracing::error!("a cancellation hook is lost: its runtime is gone");
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

impl Drop for CatchPanic {
    fn drop(&mut self) {
        // Of a hook that was ended by its time limit, or is lost: what it holds may panic when it goes.
        let (hook, future) = (self.hook.take(), self.future.take());
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        drop(hook);
    }
}
