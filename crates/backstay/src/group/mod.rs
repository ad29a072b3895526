//! Many futures together, each with a name, and every failure kept.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, ErrorClass, Scope};
//! use tokio::time::Duration;
//!
//! # async fn search(_: &str) -> Result<Vec<u32>, BoxError> { Err("index is gone".into()) }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let found = Scope::new("retrieve")
//!     .budget(Duration::from_secs(5))
//!     .run(async |scope| {
//!         let mut group = scope.group();
//!         group.spawn("web", async { Ok(vec![1, 2]) });
//!         group.spawn("files", search("files"));
//!         let settled = group.wait_for_all().await;
//!         if let Some(failed) = settled.failed {
//!             eprintln!("{failed:#}");
//!             let (_of_the_sources, rest) = failed.split(ErrorClass::Other);
//!             if let Some(rest) = rest {
//!                 return Err(rest.into());
//!             }
//!         }
//!         Ok(settled.succeeded)
//!     })
//!     .await?;
//! assert_eq!(found[0].value, [1, 2]);
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! Members run as tasks from [`spawn`](Group::spawn) on, with the deadline, token and labels of the code
//! around. How the group ends is chosen at its end:
//!
//! | policy | ends | gives |
//! |---|---|---|
//! | [`wait_for_all`](Group::wait_for_all) | when all have | values and failures |
//! | [`cancel_on_failure`](Group::cancel_on_failure) | at the first failure the others are cancelled | all values, or the failures |
//! | [`first_success`](Group::first_success) | at the first value the others are cancelled | that value, or the failures |
//!
//! Those that are cancelled are waited for, with the scopes inside of them. What a group cancels itself is
//! no failure: [`GroupError::cut_off`] names it. Calls inside learn that their
//! [scope ended](crate::cancel::Why::Scope).
//!
//! Every failure is kept, in order, with the member's name. [`GroupError`] splits them by
//! [class](crate::ErrorClass), and prints as a tree. A member that panics is logged, and is a failure like
//! another. A group in which everything that failed was cancelled is a cancellation.
//!
//! A response body that a member returns belongs to the scope around the group.
//!
//! # What it does not cover
//!
//! How many run at once: a group is for a handful of named things. Members are `Send` and `'static`, as
//! every task is.
//!
//! # On drop
//!
//! Members that still run are cancelled. A scope around the group waits for them when it is left.
//!
//! # Cost
//!
//! A task and a few allocations per member.

mod error;
mod members;
mod settled;
mod tree;

pub use self::{
    error::{Failure, GroupError},
    members::Group,
    settled::{First, Settled, Success},
};
