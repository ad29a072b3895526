//! Answers with a response of the user's in place of a failure: the degraded answer.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, ServiceBuilderExt, degraded::Degraded};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tokio::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let hangs = service_fn(|_request: Request<Full<Bytes>>| async {
//!     std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>().await
//! });
//! let mut service = ServiceBuilder::new()
//!     .degraded(|_failure: &BoxError| Some(Response::new(Bytes::from("Please try again."))))
//!     .deadline(Duration::from_secs(20))?
//!     .service(hangs);
//!
//! let response = service.ready().await?.call(Request::new(Full::default())).await?;
//! assert!(response.extensions().get::<Degraded>().is_some());
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "Please try again.");
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers, and what not
//!
//! A failure before the response head. A response that has begun cannot be taken back: what fails in its
//! body stays a failure; hold it to its end ([`Commit::End`](crate::fallback::Commit)) where that matters.
//! An answer with an error status is a response and no failure, unless
//! [`status_error`](crate::status_error) makes one of it. A cancellation is never answered.
//!
//! The response has the [`Trail`](crate::Trail) of the failure and a [`Degraded`] mark in its extensions.
//!
//! # Cost and order
//!
//! Nothing but one branch per frame. Outside of what may fail; inside of [`cancel`](crate::cancel) the
//! call then counts as complete, outside as failed. On drop what is inside is dropped.

mod body;
mod future;
mod service;

pub use self::{
    body::DegradedBody,
    future::DegradedFuture,
    service::{Degraded, DegradedLayer, DegradedService, Substitute},
};
