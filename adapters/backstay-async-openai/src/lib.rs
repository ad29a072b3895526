//! A backstay stack as the HTTP service of async-openai.
//!
//! [`Transport`] takes the place of async-openai's own client, and of its retry layer with it:
//! `with_http_service` replaces both, so that nothing is retried twice. Unary calls, streams and multipart
//! forms go through the stack.
//!
//! ```no_run
//! use async_openai::{Client, config::OpenAIConfig};
//! use backstay::{BoxError, ServiceBuilderExt, Timeouts, fallback::Targets};
//! use backstay_async_openai::Transport;
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
//! let openai = Client::with_config(OpenAIConfig::new()).with_http_service(Transport::new(stack));
//! # let _ = openai;
//! # Ok(())
//! # }
//! ```
//!
//! # What comes out on the far side
//!
//! | what happened | what async-openai returns | where backstay's part is |
//! |---|---|---|
//! | the call failed: deadline, timeout, no connection | `OpenAIError::Boxed` | [`backstay::Error::find`] on the `OpenAIError` |
//! | the body of a unary answer failed | `OpenAIError::Reqwest` | the same |
//! | an answer other than 2xx, after all targets | `OpenAIError::ApiError`, as ever | the trail in a [`Report`]. With `status_error()` outermost it is `Boxed`, with trail and the upstream's answer |
//! | a stream failed after its first token | `OpenAIError::StreamError`, which keeps the text only | a [`Report`]: trail and error |
//! | an error event in a stream | `OpenAIError::JSONDeserialize`, then `StreamError` | a [`Report`], once the stream has ended |
//! | success | the value | the trail in a [`Report`] |
//!
//! # What it does not cover
//!
//! async-openai reads a stream in a task of its own, as fast as it comes and without a bound: no clock ever
//! sees the consumer's pace. It logs the text of 5xx answers and of documents that it cannot read; with
//! `status_error()` in the stack the former does not reach it. A multipart form is streamed: it is
//! replayed if it fits the replay limit, and only targets that keep the model can take it, for there is no
//! JSON in which a model could be replaced.
//!
//! async-openai sends nothing itself then: take it with `default-features = false`, and its TLS is not built.
//!
//! The cost over the stack's own: two boxed futures and two boxed bodies for each call; no body is copied.
//! Dropping the call or the stream cancels as any drop does.

mod report;
mod transport;

pub use self::{
    report::{Failure, Report},
    transport::Transport,
};
