//! reqwest at the bottom of a backstay stack, and reqwest's response on top of one.
//!
//! [`Client`] is the leaf: a tower service from `http::Request` to `http::Response` that sends through
//! `reqwest`, for programs that have their proxies, certificates or resolvers configured there already. Who
//! has not takes `backstay-client`, which knows more of its connections.
//!
//! [`response`] and [`request`] are for the other end: code that wants a `reqwest::Response`, or makes a
//! `reqwest::Request`.
//!
//! ```no_run
//! use backstay::{Body, BoxError, ServiceBuilderExt, Timeouts, fallback::Targets};
//! use backstay_reqwest::Client;
//! use tokio::time::Duration;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # async fn example() -> Result<(), BoxError> {
//! let client = Client::build(|reqwest| reqwest.https_only(true))?;
//! let llm = ServiceBuilder::new()
//!     .deadline(Duration::from_secs(20))?
//!     .fallback(Targets::new("gpt-4o").then("gpt-4o-mini").retries(2))?
//!     .timeouts(Timeouts::recommended())?
//!     .service(client);
//!
//! let url = "https://api.openai.com/v1/chat/completions";
//! let request = http::Request::post(url)
//!     .header("content-type", "application/json")
//!     .body(Body::from(r#"{"model":"gpt-4o","messages":[]}"#))?;
//! let answer = llm.oneshot(request).await?;
//! let answer: reqwest::Response = backstay_reqwest::response(url.parse()?, answer);
//! # let _ = answer;
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! | | [`Client::build`] | a `reqwest::Client` [as it is](Client#impl-From<Client>-for-Client) |
//! |---|---|---|
//! | reqwest's own retries | off | off: it cannot replay the bodies that it is given here |
//! | redirects | not followed, unless asked for | as configured; reqwest follows ten |
//! | the `connect` clock | kept, over DNS, TCP, proxy and TLS; 10 s where no layer sets one | only with [`ConnectClock`] as a `connector_layer` |
//! | was it sent, was it refused | told | told |
//! | was the connection used before | told | told only with [`ConnectClock`] |
//! | [`FreshConnection`](backstay::transport::FreshConnection) | obeyed | not known |
//! | request and response bodies | never copied | never copied |
//!
//! The limits of an attempt are the layers' business: they drop the future or the body, and reqwest then
//! closes the connection or resets the stream. Leave reqwest's own `timeout` and `read_timeout` unset: they
//! know neither tokens nor targets.
//!
//! # What it does not cover
//!
//! HTTP/3 is not spoken. A connection counts as used when the request found it in the pool; whether another
//! response had come over it, reqwest does not say. Credentials before the host of a URI are passed on as
//! they are. TLS is whatever features of reqwest the program turns on: this crate asks for none.

mod client;
mod connect;
mod convert;

pub use self::{
    client::{Client, ResponseFuture},
    connect::{ConnectClock, ConnectClockService, DEFAULT_CONNECT_LIMIT},
    convert::{request, response},
};
