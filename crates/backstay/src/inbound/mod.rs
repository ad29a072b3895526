//! What a caller of a server says about its time: the deadline of the request, and of all that it makes.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, Deadline, ServiceBuilderExt, deadline::DeadlineHeader, inbound::Inbound};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tokio::time::Duration;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let handler = service_fn(|request: Request<Full<Bytes>>| async move {
//!     // For all that is called in here, and for whoever wants to see it.
//!     assert_eq!(Deadline::ambient().as_ref(), request.extensions().get::<Deadline>());
//!     std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
//! });
//! let server = ServiceBuilder::new()
//!     .inbound(
//!         Inbound::new(Duration::from_secs(30)) // of a caller who says nothing, and the most that is granted
//!             .believe(DeadlineHeader::REQUEST_TIMEOUT)
//!             .only_from(|request| request.headers.contains_key("x-of-our-own")),
//!     )?
//!     .service(handler);
//!
//! let request = Request::get("/")
//!     .header("request-timeout", "1.5")
//!     .header("x-of-our-own", "yes")
//!     .body(Full::default())?;
//! assert_eq!(server.oneshot(request).await?.status(), 504); // after 1.5 s
//! # Ok(())
//! # }
//! ```
//!
//! With axum it is `Router::layer(InboundLayer::new(..)?)`.
//!
//! # What it covers
//!
//! - The budget of a request, from its arrival to the last frame of its answer: what a header says that is
//!   [believed](Inbound::believe), within [bounds](Inbound::at_most), or else the default. Nothing is believed unless
//!   it is listed, and of those requests only that pass the [predicate](Inbound::only_from), if there is one. An
//!   earlier [`Deadline`](crate::Deadline) in the request's extensions, or around, stands.
//! - It becomes the [`Deadline`](crate::Deadline) in the request's extensions, and the
//!   [ambient](crate::Deadline::ambient) one of what is polled in the handler and in the body of its answer. So the
//!   client layers that are used in there hold to it by themselves.
//! - When it is over before the head, the handler is dropped, and the answer is 504 with a short text, or
//!   [what you make of it](Inbound::late_answer). A request that is late before it is begun is not begun.
//! - When it is over later, the body ends with the typed [`Error`](crate::Error): a server breaks the connection
//!   then (HTTP/2: resets the stream), so that the caller sees that the answer is not whole. Frames that are ready
//!   win over the clock, which is looked at after every 64 of them.
//! - The SDKs' [read limits](Inbound::believe_read_limit) become the `headers` and `idle` clocks of a
//!   [`Timeouts`](crate::Timeouts) in the request's extensions, never a deadline. A handler that wants
//!   them puts this extension into its own calls.
//!
//! # What it does not cover
//!
//! A task that the handler spawns has to take the deadline along ([`Deadline::scope`](crate::Deadline::scope)).
//! Code that never comes back to an `await` is not ended, nor is a body that nobody polls because its client does not
//! read: end such connections at the server. After an upgrade (101) nothing is covered. What the way to here took is
//! not in the header; whoever [wrote](crate::outbound) it has a margin for that.
//!
//! # Order
//!
//! Outside of everything that shall know the deadline; inside of [`Drain::server_layer`](crate::drain::Drain::server_layer),
//! which is outermost. (axum: the layer that is added last is outermost.) A drain then counts a 504 as an answer like
//! any other, and cuts off what has a longer budget than the grace period. With axum's `with_graceful_shutdown` the
//! order of the end is: the drain begins, and newcomers are told 503; what is under way ends, at its deadline, or with
//! the grace period; the drain is over, and only then axum stops accepting; a bound on the wait for its connections
//! makes the end sure. `examples/service/serve.rs` has it.
//!
//! # Cost
//!
//! One look for each header that is believed, the request's extensions, and one timer, made when something is waited
//! for first and kept to the end of the body. No timer work per frame; each poll enters a task-local. `poll_ready` is
//! the inner service's, and so is the error type.
//!
//! # On drop
//!
//! A server drops the future or the body when its caller leaves. What is inside is dropped with it, at once: handlers,
//! their calls, and so the connections of these.

mod body;
mod future;
mod late;
mod layer;
mod service;
mod settings;

pub use self::{
    body::InboundBody, future::InboundFuture, late::Late, layer::InboundLayer,
    service::InboundService, settings::Inbound,
};
