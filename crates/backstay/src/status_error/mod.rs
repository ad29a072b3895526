//! Makes an error of an answer whose status is not 2xx.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, Error, ErrorKind, ServiceBuilderExt};
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let refuses = service_fn(|_request: Request<Full<Bytes>>| async {
//!     let mut response = Response::new(Full::<Bytes>::from("no such model"));
//!     *response.status_mut() = StatusCode::NOT_FOUND;
//!     Ok::<_, BoxError>(response)
//! });
//! let mut service = ServiceBuilder::new().status_error().service(refuses);
//!
//! let error = service.ready().await?.call(Request::new(Full::default())).await.unwrap_err();
//! let error = Error::find(&*error).expect("backstay's own error");
//! assert_eq!(error.kind(), ErrorKind::Status(StatusCode::NOT_FOUND));
//! // Bytes of the upstream are never printed; they are reached here only.
//! assert_eq!(error.upstream().map(|upstream| &upstream.body[..]), Some(&b"no such model"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers, and what not
//!
//! Every status outside of 200 to 299 becomes an [`Error`](crate::Error) with the status, the headers and
//! the body, up to 64 KiB and for up to one second. It classifies nothing, and retries nothing.
//!
//! # Cost and order
//!
//! Nothing on a 2xx answer. Outside of the fallback layer, which wants to see the answers, and of the
//! deadline, which bounds the reading; inside of [`cancel`](crate::cancel). On drop what is inside is
//! dropped.

mod future;
mod service;

pub use self::{
    future::StatusErrorFuture,
    service::{StatusErrorLayer, StatusErrorService},
};
