//! The orderly end of a service: refuse new work, wait a grace period, cancel the rest, wait for hooks.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, Error, ErrorKind, ServiceBuilderExt, drain::Drain};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tokio::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let drain = Drain::new().grace(Duration::from_secs(10));
//! let hangs = service_fn(|_request: Request<Full<Bytes>>| async {
//!     std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>().await
//! });
//! let service = ServiceBuilder::new()
//!     .drain(&drain)
//!     .on_cancel(|ended| async move { println!("{:?}", ended.why) })
//!     .service(hangs);
//!
//! let call = tokio::spawn(service.clone().oneshot(Request::new(Full::default())));
//! tokio::task::yield_now().await;
//!
//! // At the end of `main`, or wherever the signal is heard:
//! let report = drain.shutdown().await;
//! assert_eq!((report.in_flight, report.cancelled, report.hooks.finished), (1, 1, 1));
//!
//! // The caller was told, and nobody is let in any more.
//! let error = call.await?.unwrap_err();
//! assert!(Error::find(&*error).is_some_and(Error::is_cancelled));
//! let error = service.oneshot(Request::new(Full::default())).await.unwrap_err();
//! assert_eq!(Error::find(&*error).map(Error::kind), Some(ErrorKind::Draining));
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! Whatever a [`Drain`] is given: calls of services ([`Drain::layer`]) with their response bodies, requests
//! to a server ([`Drain::server_layer`], which answers 503 with `Retry-After`), [scopes](crate::Scope) with
//! their tasks and cleanups ([`Drain::scope`]), futures of any kind ([`Drain::track`]), and what holds an
//! [`Admission`]. One drain serves any number of them, and they
//! may come and go before it begins.
//!
//! It begins with [`start`](Drain::start) or [`shutdown`](Drain::shutdown), from as many tasks as like to,
//! or with a signal (`Drain::on_signals`, feature `signal`). From then on
//!
//! 1. new work is refused, with [`ErrorKind::Draining`](crate::ErrorKind::Draining);
//! 2. what is under way has the grace period to come to its end;
//! 3. what is not at its end then is woken, and ends with an error for which
//!    [`is_cancelled`](crate::Error::is_cancelled) is true, of kind
//!    [`Cancellation::Shutdown`](crate::error::Cancellation::Shutdown); its hooks are told
//!    [`Why::Shutdown`](crate::cancel::Why::Shutdown);
//! 4. what nobody has polled within 250 ms after that (or half the time for hooks, if that is less)
//!    counts as `unpolled`. The hooks of a call are run then from its record, and do not run again when it
//!    is polled or dropped later; of a scope the tasks are ended;
//! 5. hooks and cleanups are waited for, within a [bound](Drain::hook_wait) that includes step 4;
//! 6. the [`DrainReport`] says what became of everything.
//!
//! So it is over within grace period and hook bound. It is over at once when nothing is left to wait for.
//!
//! # What it does not cover
//!
//! A body that nobody polls keeps its upstream until it is dropped: a drain can run its hooks, and not
//! drop it. The attempt under way is still `Running` in the trail that such a hook gets. A scope, a
//! tracked future or a request that nobody polls keeps what is in it: cleanups, and hooks of calls in there,
//! run when it is polled or dropped, because its code may still use what they take away. A drain cannot
//! be undone.
//!
//! Hooks of a cancel layer are known to a drain if its layer is outside of theirs, or if the call was made
//! inside of a scope, a tracked future or a request of the server layer. Tasks of scopes and members of
//! groups that were begun in there belong to it; a plain `tokio::spawn` does not. Of drains inside of each
//! other each waits for all that is inside of it.
//!
//! # Cost and order
//!
//! Outermost: it makes the call's record then, and the cancel layers inside put their hooks where it finds
//! them. No task for a call, and one for the whole drain once it has begun. A call costs two additions to
//! one atomic word that all calls of the drain share, and four allocations with one cancel layer inside
//! (`backstay-bench allocations`): the list of drains and the list of hooks in its record, the word that
//! makes a hook exactly once, and a place in the drain's list; the list is in 16 parts, each behind a lock that is held
//! for one insertion or removal. A frame costs one atomic load.
//!
//! `poll_ready` is the inner service's; once the drain has begun it is ready, so that a caller who
//! comes then is refused at once. On drop what is inside is dropped, and the call counts as cancelled.

mod admission;
mod around;
mod body;
mod course;
mod future;
mod gate;
mod handle;
mod layer;
mod live;
mod report;
mod server;
mod service;
mod shared;
#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
mod signals;
mod tally;
mod tracked;

pub use self::{
    admission::Admission,
    body::DrainBody,
    future::DrainFuture,
    handle::Drain,
    layer::DrainLayer,
    report::DrainReport,
    server::{ServerFuture, ServerLayer, ServerService},
    service::DrainService,
    tracked::Tracked,
};

pub(crate) use self::{
    around::{Watchers, around, run as run_inside, shuts_down},
    live::Record,
};
