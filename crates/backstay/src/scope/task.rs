//! Tasks of a scope.

use super::core::Core;
use crate::{
    ambient::Ambient,
    cancel::Why,
    caught::{Caught, Payload},
    error::{BoxError, Error, ErrorKind},
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The result of a task of a scope; made by [`ScopeHandle::spawn`](super::ScopeHandle::spawn).
///
/// Dropping it lets the task go on. A failure that nobody waits for is logged with the task's name.
#[must_use = "a task whose result nobody waits for ends with its scope; its failure is only logged"]
pub struct Task<T> {
    name: Arc<str>,
    core: Arc<Core>,
    token: CancellationToken,
    result: oneshot::Receiver<Result<T, Error>>,
}

/// Starts a task in a scope that is not over yet.
pub(super) fn spawn<F, T>(core: &Arc<Core>, name: Arc<str>, run: F) -> Task<T>
where
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
    T: Send + 'static,
{
    let (sender, result) = oneshot::channel();
    let token = core.token().child_token();
    let task = Task {
        name: name.clone(),
        core: core.clone(),
        token: token.clone(),
        result,
    };
    let (Some(hold), Some(runtime)) = (core.admit(), core.runtime()) else {
        tracing::debug!(
            scope = &**core.name(),
            task = &*name,
            "not begun: its scope is over"
        );
        return task;
    };
    let inside = Inside::new(run, core.clone(), token, core.ambient_here());
    let core = core.clone();
    runtime.spawn(async move {
        let ended = inside.await;
        let result = settle(ended, &core, &name);
        if let Err(Err(error)) = sender.send(result) {
            unheard(&core, &name, &error);
        }
        drop(hold);
    });
    task
}

/// What a task's end means, and its line in the log.
fn settle<T>(
    ended: Result<Result<T, BoxError>, CutOff>,
    core: &Core,
    name: &Arc<str>,
) -> Result<T, Error> {
    let scope = &**core.name();
    match ended {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::leaving(error, name, core.labels(), core.elapsed())),
        Err(CutOff::Panicked(_)) => {
            tracing::error!(scope, task = &**name, "a task panicked");
            core.task_panicked(name);
            let why = Why::Failed(Some(ErrorKind::Panicked));
            Err(core.error(why, name))
        }
        Err(CutOff::Ended(why)) => {
            tracing::debug!(scope, task = &**name, ?why, "a task was cut off");
            Err(core.error(why, name))
        }
    }
}

fn unheard(core: &Core, name: &str, error: &Error) {
    if !error.is_cancelled() && !error.is_panic() {
        let scope = &**core.name();
        tracing::warn!(scope, task = name, %error, "a task failed, and nobody waits for it");
    }
}

// === impl Task ===

impl<T> Task<T> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cancels it; its result is then a cancellation, unless it was faster.
    pub fn cancel(&self) {
        self.token.cancel();
    }
}

/// # Errors
///
/// What the task failed with, with the task's name and the scope's labels; a cancellation when the scope
/// ended first; [`ErrorKind::Panicked`].
impl<T> Future for Task<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        Poll::Ready(match ready!(Pin::new(&mut this.result).poll(cx)) {
            Ok(result) => result,
            // It never began, or its runtime is gone.
            Err(_) => {
                let why = this.core.cut_off().unwrap_or(Why::Dropped);
                Err(this.core.error(why, &this.name))
            }
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Ok(Err(error)) = self.result.try_recv() {
            unheard(&self.core, &self.name, &error);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A future that has a scope around it, and ends when that ends.
    pub(crate) struct Inside<F> {
        #[pin]
        inner: Caught<F>,
        #[pin]
        wait: WaitForCancellationFutureOwned,
        core: Arc<Core>,
    }
}

/// How a future inside of a scope ended otherwise than by itself.
pub(crate) enum CutOff {
    Panicked(#[allow(dead_code)] Payload),
    Ended(Why),
}

// === impl Inside ===

impl<F> Inside<F> {
    pub(crate) fn new(
        inner: F,
        core: Arc<Core>,
        token: CancellationToken,
        ambient: Ambient,
    ) -> Self {
        Self {
            inner: Caught::inside(inner, ambient),
            wait: token.cancelled_owned(),
            core,
        }
    }
}

impl<F: Future> Future for Inside<F> {
    type Output = Result<F::Output, CutOff>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // First, so that the code inside does not go on with a cancelled call in its hands.
        if this.core.cut_off().is_none() {
            if let Poll::Ready(ended) = this.inner.as_mut().poll(cx) {
                return Poll::Ready(ended.map_err(CutOff::Panicked));
            }
            ready!(this.wait.poll(cx));
        }
        let why = this.core.cut_off().unwrap_or(Why::Token);
        Poll::Ready(Err(match this.inner.clear() {
            Ok(()) => CutOff::Ended(why),
            Err(payload) => CutOff::Panicked(payload),
        }))
    }
}
