//! The clocks of one attempt.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, Error, ErrorKind, ServiceBuilderExt, Timeouts, timeout::Clock};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tokio::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let hangs = service_fn(|_request: Request<Full<Bytes>>| async {
//!     std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>().await
//! });
//! let timeouts = Timeouts::new()
//!     .connect(Duration::from_secs(5))
//!     .headers(Duration::from_secs(30))
//!     .for_streams(|clocks| clocks.first_token(Duration::from_secs(60)).idle(Duration::from_secs(30)))
//!     .for_unary(|clocks| clocks.headers(Duration::from_secs(600)));
//! let mut service = ServiceBuilder::new().timeouts(timeouts)?.service(hangs);
//!
//! let error = service.ready().await?.call(Request::new(Full::default())).await.unwrap_err();
//! let error = Error::find(&*error).expect("backstay's own error");
//! assert_eq!(error.kind(), ErrorKind::Timeout(Clock::Headers));
//! assert_eq!(error.limit(), Some(Duration::from_secs(600)));
//! # Ok(())
//! # }
//! ```
//!
//! # What each clock covers
//!
//! | clock | from | to |
//! |---|---|---|
//! | `connect` | a new connection is wanted | it can be used: names, TCP, proxy, TLS. Kept by the client, see [`ConnectLimit`] |
//! | `headers` | the attempt's start | the response head. For a unary call that is the whole generation |
//! | `first_token` | the attempt's start | the first *semantic* event: no ping, comment, role-only delta or `message_start` stops it. Without an event stream, the first byte of the body |
//! | `first_content` | the attempt's start | the first content that is not reasoning: text, a tool call, a refusal |
//! | `idle` | a semantic event | the next one; reasoning counts. Without an event stream, between bytes, from the head on |
//! | `liveness` | any byte of the body, or the head | the next one; pings and comments count |
//! | `attempt` | the attempt's start | the end of its body |
//!
//! Each is off unless set. Streams and unary calls have clocks of their own. Which of the two a call is
//! must be known before it is sent: the fallback layer reads it from the request, else the caller says it
//! with a [`Streaming`] extension or `accept: text/event-stream`; else it is unary. A target of the
//! fallback layer can override each clock, and a [`Timeouts`] in the request's extensions overrides both.
//!
//! # What they do not cover
//!
//! Waiting for readiness, and waits between attempts: the [deadline](crate::deadline) covers those. An
//! answer that comes encoded cannot be observed: its bytes stop every clock. `idle` is beaten by a stream
//! that gives one token in each window; only `attempt` and the deadline end that.
//!
//! Time in which the consumer did not poll is never held against the server: the body is polled first, the
//! clock is looked at only when it is pending, and the time between the head and the first poll of the body
//! is added to `first_token` and `first_content`. `headers` and `attempt` are absolute.
//!
//! # On expiry
//!
//! What is inside is dropped, which closes the connection or resets the stream. The error names the
//! clock, its limit, the elapsed time and the phase. Under the fallback layer it is a failed attempt as
//! long as nothing was committed. A stream that has said why it stopped, and then is silent for `idle` or
//! `liveness`, has ended without an error: Gemini's has no end marker.
//!
//! # Cost and order
//!
//! One timer per attempt for all its clocks, made at the first wait. No timer work per frame; the clock is
//! read when a body is pending for the first time after a frame. Put this layer innermost, right around
//! the client: it is per attempt, and it observes the attempt's body for the layers outside. Outside of the
//! fallback layer it would count a call of several attempts as one.

mod alone;
mod body;
mod clock;
mod connect;
mod future;
mod layer;
mod limits;
mod service;
mod settings;

pub use self::{
    body::TimeoutsBody,
    clock::Clock,
    connect::ConnectLimit,
    future::TimeoutsFuture,
    layer::TimeoutsLayer,
    service::TimeoutsService,
    settings::{Clocks, Streaming, Timeouts},
};
