//! Workflows: a block of code with a deadline, labels, cleanups and tasks of its own.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, Error, Scope};
//! use tokio::time::{Duration, sleep};
//!
//! # async fn retrieve() -> Result<&'static str, BoxError> { Ok("documents") }
//! # async fn generate(_: &str) -> Result<String, BoxError> {
//! #     sleep(Duration::from_secs(60)).await;
//! #     Ok(String::new())
//! # }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let answer = Scope::new("answer")
//!     .label("session", "s-81")
//!     .budget(Duration::from_secs(20))
//!     .on_cancel(|left| async move { println!("{} was cut off: {:?}", left.scope, left.why) })
//!     .run(async |scope| {
//!         scope.defer(|_| async { println!("however it ends: the lock is given back") });
//!         let documents = scope.spawn("retrieve", retrieve());
//!         let documents = documents.await?;
//!         Ok(Scope::new("generate").run(|_| generate(documents)).await?)
//!     })
//!     .await;
//!
//! let error: Error = answer.unwrap_err();
//! assert!(error.is_deadline());
//! assert_eq!(error.scope(), Some("answer > generate"));
//! assert_eq!(error.labels().get("session"), Some("s-81"));
//! # }
//! ```
//!
//! # What it covers
//!
//! **What is around.** Every call made in the block has the scope's deadline and labels, whatever layers
//! it goes through; code in [tasks](ScopeHandle::spawn) of the scope too. Scopes nest: deadlines only
//! shrink, labels merge, and the end of a scope is the end of those in it.
//!
//! **Leaving.** A scope is left when its block comes to a value or an error, when the block or a task
//! panics, when a token fires, when the deadline passes, when a scope around ends, when the grace of the
//! [drain](crate::drain::Drain::scope) that admitted it is over, and when its future is dropped. Each time the same happens, in this order: what ended it is written down; the block is dropped;
//! its tasks are cut off, and waited for with the scopes inside of them; its cleanups run, the last one
//! first. Then `run` returns, and a panic of the block goes on.
//!
//! **Cleanups.** Each runs once: [`defer`](ScopeHandle::defer) always, [`on_cancel`](ScopeHandle::on_cancel)
//! only when the scope is cut off (dropped, cancelled, or past its deadline). That is narrower than the
//! [`cancel`](crate::cancel) layer's hooks, which run for failed calls too: a block that fails has had its
//! chance. They are async, one after the other, out of reach of what ended the scope, each under a
//! [limit](Scope::cleanup_timeout) of its own, 5 s unless set. One that panics or hangs does not keep the next
//! from running. [`Cleanups`] counts them, those too that could not run because their runtime was gone.
//!
//! **Errors.** What leaves a scope is an [`Error`](crate::Error) that says which: `answer > generate`, with
//! the labels. Backstay's own keeps its kind, trail and source; any other error becomes the source, and the
//! kind is that of what it has inside, else [`Failed`](crate::ErrorKind::Failed). A cancellation leaves as a
//! cancellation. `{}` prints one line, `{:#}` the sources and the trail too.
//!
//! **Tasks.** One that panics is logged with its name, and is the error of the scope, at once. One that
//! fails hands its error to whoever awaits the [`Task`]; if nobody does, it is logged. One that still runs
//! when the block comes to its end is cut off: await it, or [all](ScopeHandle::tasks_done), where its work
//! matters.
//!
//! **What is carried out.** A response body that is taken out of the scope ends with it: a
//! [`cancel`](crate::cancel) layer in its stack watches the scope, and the body yields a cancellation of
//! kind [`Scope`](crate::error::Cancellation::Scope), or what else ended the scope. Read a body in the scope
//! that asked for it.
//!
//! # What it does not cover
//!
//! Nothing is carried into a plain `tokio::spawn`. A task that does not come back to an await cannot be
//! cut off; leaving waits for it up to the limit, and says so in the log. Code that is cut off is dropped
//! where it waits: what must still be done belongs into a cleanup. A scope without a cancel layer in its
//! stacks does not reach a body that was carried out, other than by its deadline.
//!
//! # On drop
//!
//! The block is dropped with the scope's future, and the rest happens in a task on its runtime. The same
//! goes for a future that was never polled: its cleanups run. A scope that it is dropped in waits for them.
//!
//! # Cost
//!
//! A few allocations per scope and a task for leaving it, if it has cleanups or tasks. Calls outside of any
//! scope pay for one look at a task-local; those inside for a token's waiter, once something is waited for.

mod builder;
mod cleanup;
mod core;
mod deferred;
mod exit;
mod handle;
mod run;
mod task;
mod tokens;

pub use self::{
    builder::Scope,
    cleanup::{Cleanups, Left},
    handle::ScopeHandle,
    run::Run,
    task::Task,
};

pub(crate) use self::{
    cleanup::DEFAULT_LIMIT,
    core::{Begin, Core},
    task::{CutOff, Inside},
};
