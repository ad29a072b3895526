//! Many calls, a bounded number of them in flight, and their results as they come.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, batch::Batch};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tokio::time::Duration;
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! # let llm = service_fn(|request: Request<Full<Bytes>>| async move {
//! #     Ok::<_, BoxError>(Response::new(request.into_body()))
//! # });
//! let prompts = (0..100).map(|n| Request::new(Full::from(format!("prompt {n}"))));
//! let mut results = Batch::new(llm) // any service that is `Clone`
//!     .window(16)
//!     .item_budget(Duration::from_secs(20))
//!     .budget(Duration::from_secs(600))
//!     .run(prompts, |response| async {
//!         // An item is done when this is: read the body here.
//!         Ok::<_, BoxError>(response.into_body().collect().await?.to_bytes())
//!     })?;
//!
//! let progress = results.progress();
//! let mut failures = Vec::new();
//! while let Some((index, result)) = results.next().await {
//!     match result {
//!         Ok(answer) => assert_eq!(answer, format!("prompt {index}")),
//!         Err(error) => failures.push((index, error)),
//!     }
//!     // "37 of 100, 16 in flight"
//!     let _bar = (progress.done(), progress.expected(), progress.in_flight());
//! }
//! assert_eq!((progress.succeeded(), failures.len()), (100, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! An item is a whole call, from waiting until the service is ready to the end of what the caller's closure
//! makes of the response, the body included if it is read there. At most a [window](Batch::window) of items
//! is in flight. A request is taken from the input when there is place for it, and not before: memory is
//! bounded by the window, whatever the length of the input.
//!
//! Results come in order of completion, or [in order](Batch::in_order). A failed item harms no other,
//! unless it is to be [the last](Batch::fail_fast). One that panics, in the service or in the closure, fails
//! with [`ErrorKind::Panicked`](crate::ErrorKind::Panicked). The [item's budget](Batch::item_budget) and
//! [the batch's](Batch::budget) become a [`Deadline`](crate::Deadline) in the request's extensions and
//! around the closure's future, so that layers inside plan with it; an item is also ended by it without
//! any layer. When the batch's has passed, nothing more is taken from the input.
//!
//! [`Progress`] tells how many items are done, have failed, and are in flight.
//!
//! # What it does not cover
//!
//! Nothing moves while nobody polls the [`Results`]: read them in a task of their own, or without long
//! pauses. A panic in the input, or in the `Clone` of the service, goes through to whoever polls. Items are
//! not retried: that is the service's affair.
//!
//! In a spawned task a service may have to be boxed first: see [the crate's page](crate#in-spawned-tasks).
//!
//! # Cost
//!
//! No task. One allocation per item, one timer per item that has a deadline and waits, and one while nothing
//! is in flight and the input of a batch with a budget is waited for. The service is cloned for each item, and
//! each clone is made ready by itself, so that a readiness error fails one item.
//!
//! On drop what is in flight is dropped, which cancels it: hooks run, connections close.

mod item;
mod progress;
mod results;
mod settings;

pub use self::{
    progress::Progress,
    results::{Iterated, Next, Results},
    settings::Batch,
};
