//! Hooks that run exactly once when a call ends otherwise than by completion, and observers of every end.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, ServiceBuilderExt, cancel::Why};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
//! use tokio::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let cancelled = Arc::new(AtomicUsize::new(0));
//! let seen = cancelled.clone();
//! let hangs = service_fn(|_request: Request<Full<Bytes>>| async {
//!     std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>().await
//! });
//! let mut service = ServiceBuilder::new()
//!     .on_cancel(move |ended| {
//!         let seen = seen.clone();
//!         async move {
//!             // Tell a cancel endpoint here: `ended.trail.response_id()` has the provider's id.
//!             assert_eq!(ended.why, Why::Dropped);
//!             seen.fetch_add(1, Ordering::Relaxed);
//!         }
//!     })
//!     .service(hangs);
//!
//! let call = service.ready().await?.call(Request::new(Full::default()));
//! let _ = tokio::time::timeout(Duration::from_secs(1), call).await;
//! tokio::task::yield_now().await;
//! assert_eq!(cancelled.load(Ordering::Relaxed), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! A hook runs when the response future or the response body is dropped before its end, when a
//! cancellation token fires, when the deadline passes, and when the call ends in an error. It learns
//! [why](Why), in which phase, and is given labels and trail.
//!
//! A call is complete when its body yielded its end, says `is_end_stream`, or showed the end marker of its
//! dialect, whatever is dropped afterwards: SDKs drop a body at `[DONE]`. No hook runs then;
//! [observers](CancelLayer::observe) see that end too.
//!
//! A token is the request's own `tokio_util::sync::CancellationToken` in its extensions, or the layer's,
//! [`CancelLayer::token`]. When it fires, what is inside is dropped, and the caller gets an error for
//! which [`is_cancelled`](crate::Error::is_cancelled) is true.
//!
//! # What it does not cover
//!
//! A future that is forgotten (`mem::forget`) or kept without being polled: nothing ends, and nothing runs.
//! A token takes effect when the future or the body is polled next, which it wakes.
//!
//! # How hooks run
//!
//! Each once per call, in a task of its own on the runtime on which the call was made, under a time
//! limit of its own, out of reach of what cancelled the call. At most 64 of a layer run at the same time
//! ([`CancelLayer::hooks_at_once`]); the others wait for their turn, each a task that holds what its hook
//! is told, so that memory is bounded by the number of calls that were cancelled. The time limit counts from
//! when a hook starts to run. A hook that hangs keeps its place until then; one that panics gives it up at
//! once. One that can no longer run, because its runtime is gone, is counted as lost and logged.
//! [`Hooks`] counts them and waits for them, and so does a [`drain`](crate::drain). Observers are synchronous, run where the call ends, and see every outcome; they
//! must not block, and a panic of theirs is caught.
//!
//! # Cost and order
//!
//! No task on a call that completes, and no lock that calls share; under a [`drain`](crate::drain) a word
//! and an entry in the call's record for each layer with hooks. As the outermost layer it makes the
//! call's record; a token costs a waiter on the heap, once something is waited for. Put it outermost, with
//! only a drain around it, so that it sees the whole call.

mod body;
mod counts;
mod ended;
mod future;
mod guard;
mod hooks;
mod layer;
mod run;
mod service;
mod token;
mod turn;

pub use self::{
    body::CancelBody,
    counts::HookCounts,
    ended::{Ended, Why},
    future::CancelFuture,
    hooks::Hooks,
    layer::CancelLayer,
    service::CancelService,
};

pub(crate) use self::{
    counts::{Counts, Running, Settled},
    guard::Standby,
};
