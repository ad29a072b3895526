//! The future of a scope.

use super::{ScopeHandle, builder::Prepared, exit::Exit, tokens::Tokens};
use crate::{
    alarm::Alarm,
    cancel::Why,
    caught::{Caught, Payload, caught},
    error::{BoxError, Error, ErrorKind},
};
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{task::JoinHandle, time::Instant};

pin_project! {
    /// A scope that runs its block; made by [`Scope::run`](super::Scope::run).
    ///
    /// Dropping it drops the block, ends the tasks, and starts the cleanups in a task.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F, Fut, T> {
        // Dropped first: cleanups find nothing of the block alive.
        #[pin]
        block: Option<Caught<Fut>>,
        stage: Stage<F, T>,
    }

    impl<F, Fut, T> PinnedDrop for Run<F, Fut, T> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            match this.stage {
                Stage::Unpolled(prepared) => {
                    drop(prepared.take().map(|(prepared, _)| prepared.begin_unpolled()));
                }
                Stage::Block(running) => running.exit.is_dropped(),
                Stage::Leaving { .. } | Stage::Over => {}
            }
            this.block.set(None);
        }
    }
}

enum Stage<F, T> {
    Unpolled(Option<(Prepared, F)>),
    Block(Running),
    Leaving {
        exit: Exit,
        tasks_and_cleanups: Option<JoinHandle<()>>,
        outcome: Option<Outcome<T>>,
    },
    Over,
}

/// What surrounds the block.
struct Running {
    exit: Exit,
    tokens: Tokens,
    alarm: Alarm,
}

/// What the scope will be left with.
enum Outcome<T> {
    Value(T),
    Error(Error),
    Panic(Payload),
}

// === impl Run ===

impl<F, Fut, T> Run<F, Fut, T> {
    pub(super) fn new(prepared: Prepared, block: F) -> Self {
        Self {
            block: None,
            stage: Stage::Unpolled(Some((prepared, block))),
        }
    }
}

impl<F, Fut, T> Future for Run<F, Fut, T>
where
    F: FnOnce(ScopeHandle) -> Fut,
    Fut: Future<Output = Result<T, BoxError>>,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage {
                Stage::Unpolled(prepared) => {
                    let Some((prepared, block)) = prepared.take() else {
                        return Poll::Pending;
                    };
                    let (exit, tokens, refused) = prepared.begin();
                    let mut running = Running {
                        exit,
                        tokens,
                        alarm: Alarm::default(),
                    };
                    let entered = match refused {
                        Some(refused) => {
                            // What it has in it goes before the cleanups begin.
                            drop(block);
                            Err(running.failed(refused.into()))
                        }
                        None => running.enter(cx, block),
                    };
                    *this.stage = match entered {
                        Ok(block) => {
                            this.block.set(Some(block));
                            Stage::Block(running)
                        }
                        Err(outcome) => Stage::leaving(running.exit, outcome),
                    };
                }
                Stage::Block(running) => {
                    let Some(block) = this.block.as_mut().as_pin_mut() else {
                        return Poll::Pending;
                    };
                    let outcome = ready!(running.poll(cx, block));
                    let cleared = this.block.as_mut().as_pin_mut().map(Caught::clear);
                    this.block.set(None);
                    let outcome = match (outcome, cleared) {
                        (Outcome::Value(_) | Outcome::Error(_), Some(Err(payload))) => {
                            Outcome::Panic(payload)
                        }
                        (outcome, _) => outcome,
                    };
                    let Stage::Block(running) = std::mem::replace(this.stage, Stage::Over) else {
                        return Poll::Pending;
                    };
                    *this.stage = Stage::leaving(running.exit, outcome);
                }
                Stage::Leaving {
                    exit,
                    tasks_and_cleanups,
                    outcome,
                } => {
                    if let Some(task) = tasks_and_cleanups {
                        // It fails only with its runtime, and has said so.
                        let _ = ready!(Pin::new(task).poll(cx));
                    }
                    let panicked = exit.core().panic();
                    let Some(outcome) = outcome.take() else {
                        return Poll::Pending;
                    };
                    *this.stage = Stage::Over;
                    return Poll::Ready(match (outcome, panicked) {
                        (Outcome::Value(_), Some(panicked)) => Err(panicked),
                        (Outcome::Value(value), None) => Ok(value),
                        (Outcome::Error(error), _) => Err(error),
                        (Outcome::Panic(payload), _) => resume_unwind(payload),
                    });
                }
                // Polled again after its end, which no future must be.
                Stage::Over => return Poll::Pending,
            }
        }
    }
}

impl<F, Fut, T> fmt::Debug for Run<F, Fut, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Run");
        if let Stage::Block(Running { exit, .. }) | Stage::Leaving { exit, .. } = &self.stage {
            debug.field("scope", exit.core());
        }
        debug.finish_non_exhaustive()
    }
}

// === impl Stage ===

impl<F, T> Stage<F, T> {
    fn leaving(mut exit: Exit, outcome: Outcome<T>) -> Self {
        Self::Leaving {
            tasks_and_cleanups: exit.leave(),
            exit,
            outcome: Some(outcome),
        }
    }
}

// === impl Running ===

impl Running {
    /// Enters the block, unless the scope is over before it begins.
    fn enter<F, Fut, T>(
        &mut self,
        cx: &mut Context<'_>,
        block: F,
    ) -> Result<Caught<Fut>, Outcome<T>>
    where
        F: FnOnce(ScopeHandle) -> Fut,
    {
        let core = self.exit.core().clone();
        if let Some(outcome) = self.over() {
            return Err(outcome);
        }
        if let Poll::Ready(outcome) = self.poll_outside(cx) {
            return Err(outcome);
        }
        if core.deadline().has_passed(Instant::now()) {
            return Err(self.cut_off(Why::Deadline));
        }
        let ambient = core.ambient();
        match caught(Some(&ambient), || block(ScopeHandle::new(core.clone()))) {
            Ok(block) => Ok(Caught::inside(block, ambient)),
            Err(payload) => Err(self.panicked(payload)),
        }
    }

    fn poll<Fut, T>(
        &mut self,
        cx: &mut Context<'_>,
        block: Pin<&mut Caught<Fut>>,
    ) -> Poll<Outcome<T>>
    where
        Fut: Future<Output = Result<T, BoxError>>,
    {
        // First, so that the block does not go on with a cancelled call in its hands.
        if let Some(outcome) = self.over() {
            return Poll::Ready(outcome);
        }
        if let Poll::Ready(ended) = block.poll(cx) {
            return Poll::Ready(match ended {
                Ok(Ok(value)) => {
                    self.exit.core().end(Why::Complete);
                    Outcome::Value(value)
                }
                Ok(Err(error)) => self.failed(error),
                Err(payload) => self.panicked(payload),
            });
        }
        if let Poll::Ready(outcome) = self.poll_outside(cx) {
            return Poll::Ready(outcome);
        }
        let deadline = self.exit.core().deadline();
        ready!(self.alarm.poll(cx, deadline.instant()));
        Poll::Ready(self.cut_off(Why::Deadline))
    }

    /// Whether a scope around has ended, a drain's grace is over, or a task of this one panicked.
    fn over<T>(&self) -> Option<Outcome<T>> {
        let core = self.exit.core();
        let shut_down = || self.exit.is_shut_down().then_some(Why::Shutdown);
        let why = core.must_end().or_else(shut_down)?;
        Some(match core.panic() {
            Some(error) => Outcome::Error(error),
            None => self.cut_off(why),
        })
    }

    fn poll_outside<T>(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        if self.tokens.poll(cx).is_ready() {
            return Poll::Ready(self.cut_off(Why::Token));
        }
        ready!(self.exit.poll_shutdown(cx));
        Poll::Ready(self.cut_off(Why::Shutdown))
    }

    fn cut_off<T>(&self, why: Why) -> Outcome<T> {
        let core = self.exit.core();
        let why = core.end(why);
        Outcome::Error(core.error(why, core.name()))
    }

    fn failed<T>(&self, error: BoxError) -> Outcome<T> {
        let core = self.exit.core();
        let error = Error::leaving(error, core.name(), core.labels(), core.elapsed());
        core.end(match error.kind() {
            ErrorKind::Failed => Why::Failed(None),
            // One of a call's own: the scope had time.
            kind @ ErrorKind::Deadline if !core.deadline().has_passed(Instant::now()) => {
                Why::Failed(Some(kind))
            }
            kind => Why::of(Some(kind)),
        });
        Outcome::Error(error)
    }

    fn panicked<T>(&self, payload: Payload) -> Outcome<T> {
        let why = Why::Failed(Some(ErrorKind::Panicked));
        self.exit.core().end(why);
        Outcome::Panic(payload)
    }
}
