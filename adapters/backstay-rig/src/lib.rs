//! A backstay stack as the transport of rig.
//!
//! [`Transport`] implements rig's `HttpClientExt`, so that any provider of rig's sends through the stack:
//! unary, streamed and multipart.
//!
//! ```no_run
//! use backstay::{BoxError, ServiceBuilderExt, Timeouts, fallback::Targets};
//! use backstay_rig::Transport;
//! use rig_core::providers::openai::OpenAIConfig;
//! use tokio::time::Duration;
//! use tower::ServiceBuilder;
//!
//! # fn example<S, R>(client: S) -> Result<(), BoxError>
//! # where
//! #     S: tower::Service<http::Request<backstay::Body>, Response = http::Response<R>, Error = BoxError>
//! #         + Clone + Send + Sync + 'static,
//! #     S::Future: Send + 'static,
//! #     R: http_body::Body<Data = bytes::Bytes, Error = BoxError> + Unpin + Send + Sync + 'static,
//! # {
//! let stack = ServiceBuilder::new()
//!     .deadline(Duration::from_secs(20))?
//!     .fallback(Targets::new("gpt-4o").then("gpt-4o-mini").retries(2))?
//!     .timeouts(Timeouts::recommended())?
//!     .service(client); // `backstay_client::Client`, say
//! let openai = OpenAIConfig::new("key").connect(Transport::new(stack));
//! # let _ = openai;
//! # Ok(())
//! # }
//! ```
//!
//! # What comes out on the far side
//!
//! | what happened | what rig returns | where backstay's part is |
//! |---|---|---|
//! | the call failed: deadline, timeout, no connection | `ProviderError::Http` | [`backstay::Error::find`] on the error within; that of `ProviderError` has no `source()` here |
//! | a body failed, of a unary answer or of a stream | `ProviderError::Http` | the same |
//! | an answer other than 2xx, after all targets | `ProviderError::ProviderResponse`, with status, headers and body, as rig demands | none: an observer of the cancel layer sees the trail. With `status_error()` outermost it is `Http`, with trail and the upstream's answer |
//! | an error event in a stream | rig's own reading of it; it stops there | an observer of the cancel layer |
//!
//! ```
//! use rig_core::error::ProviderError;
//!
//! fn was_late(error: &ProviderError) -> bool {
//!     let ProviderError::Http(error) = error else {
//!         return false;
//!     };
//!     backstay::Error::find(&**error).is_some_and(backstay::Error::is_deadline)
//! }
//! # assert!(!was_late(&ProviderError::request("none")));
//! ```
//!
//! # What it does not cover
//!
//! rig does not retry on this path, so there is nothing to turn off. A stream is read as rig's consumer polls.
//! A multipart form goes in memory to targets that keep the model. Of an answer other than 2xx at most
//! [`MAX_ERROR_BODY`] bytes are read; what does not come within the stack's limits is an error of its own.
//!
//! The cost over the stack's own: a boxed future for each call and one for a unary body; a request body is
//! not copied where rig hands bytes over. Dropping the call or the stream cancels as any drop does.

mod transport;

pub use self::transport::{MAX_ERROR_BODY, Transport};
