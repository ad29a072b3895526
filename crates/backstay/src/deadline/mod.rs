//! One instant at which a call is over, whatever it is doing.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, Error, ServiceBuilderExt};
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use bytes::Bytes;
//! use tokio::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let hangs = service_fn(|_request: Request<Full<Bytes>>| async {
//!     std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>().await
//! });
//! let mut service = ServiceBuilder::new()
//!     .deadline(Duration::from_secs(20))?
//!     .service(hangs);
//!
//! let request = Request::new(Full::default());
//! let error = service.ready().await?.call(request).await.unwrap_err();
//! assert!(Error::find(&*error).is_some_and(Error::is_deadline));
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! Waiting until the inner service is ready, the call, and the response body to its last frame: one
//! absolute instant, the start of the call plus the budget, that nothing restarts. Over a fallback layer that includes
//! every attempt and every wait between attempts. The instant is the earliest of the layer's budget, a
//! [`Deadline`] in the request's extensions, and the [ambient](Deadline::ambient) one, which is read when
//! the response future is polled first (a `Buffer` moves `call` into another task).
//!
//! Readiness is awaited inside the response future. `poll_ready` is therefore always ready, and a
//! readiness error fails the call and not the service (tower's contract makes an error out of
//! `poll_ready` final). The price is that a caller sees no back-pressure from it: put a concurrency limit
//! or a load shed outside where that matters.
//!
//! # What it does not cover
//!
//! Expiry takes effect when the future or the body is polled next. A body that nobody polls keeps its
//! upstream until it is dropped. The clock is the runtime's: it stands still in tests that pause it, and
//! on systems where it stands still while the machine sleeps.
//!
//! # On expiry
//!
//! The inner future or body is dropped at once, which closes an HTTP/1 connection and resets an HTTP/2
//! stream; the caller gets an [`Error`](crate::Error) of kind [`Deadline`](crate::ErrorKind::Deadline)
//! with the trail. A reply that is ready wins over the timer. A body that always has a frame ready is
//! looked at after every 64 frames, so that a flood cannot outrun the deadline.
//!
//! # Cost and order
//!
//! One timer per call, made when something is waited for first, kept from the head to the end of the
//! body; no timer work per frame. Put it outside of everything that it shall bound, and inside of
//! [`cancel`](crate::cancel).
//!
//! # Between services
//!
//! It travels in headers: [`inbound`](crate::inbound) reads them on a server, [`outbound`](crate::outbound)
//! writes them for each attempt, and [`DeadlineHeader`] is what both know of them.

mod ambient;
mod body;
mod form;
mod future;
mod header;
mod layer;
mod service;

pub use self::{
    ambient::{Deadline, WithDeadline},
    body::DeadlineBody,
    form::TimeForm,
    future::DeadlineFuture,
    header::{DeadlineHeader, ReadLimitHeader},
    layer::DeadlineLayer,
    service::DeadlineService,
};
