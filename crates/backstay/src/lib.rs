//! Tower layers for programs that call large language models and vector databases over HTTP.
//!
//! `backstay` holds every call to one deadline, from readiness to the last body frame; times each attempt
//! with the right clocks, first token included; retries, and falls back to another model or provider,
//! while the caller has seen nothing yet; and runs cancellation hooks exactly once, whatever way a call
//! ends.
//!
//! ```
//! use backstay::{BoxError, Body, ServiceBuilderExt, Timeouts, fallback::Targets};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tokio::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! # let client = service_fn(|_: Request<Body>| async {
//! #     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("{}")))
//! # });
//! let mut llm = ServiceBuilder::new()
//!     .on_cancel(|ended| async move { println!("{:?}\n{}", ended.why, ended.trail) })
//!     .deadline(Duration::from_secs(20))?
//!     .fallback(Targets::new("gpt-4o").then("gpt-4o-mini").retries(2))?
//!     .timeouts(
//!         Timeouts::new()
//!             .connect(Duration::from_secs(5))
//!             .for_streams(|clocks| clocks.first_token(Duration::from_secs(10))),
//!     )?
//!     .service(client); // `backstay_client::Client`, or any tower service of this shape
//!
//! let request = Request::post("https://api.openai.com/v1/chat/completions")
//!     .header("content-type", "application/json")
//!     .body(Body::from(r#"{"model":"gpt-4o","stream":true,"messages":[]}"#))?;
//! let response = llm.ready().await?.call(request).await?;
//! # let _ = response;
//! # Ok(())
//! # }
//! ```
//!
//! Every layer also works alone, in any order that makes sense, around any
//! `Service<http::Request<B>, Response = http::Response<R>>`:
//!
//! | layer | what it does | place, from the outside |
//! |---|---|---|
//! | [`drain`] | refuses, waits for, then cancels calls, for an orderly end | 1 |
//! | [`cancel`] | hooks exactly once, observers of every end, tokens | 2 |
//! | [`degraded`] | an answer of the user's in place of a failure | 3 |
//! | [`status_error`] | an error in place of a status outside of 2xx | 4 |
//! | [`deadline`] | one instant over readiness, attempts, waits and body | 5 |
//! | [`fallback`] | retry, other models, other providers, before commit | 6 |
//! | [`outbound`] | the time left, told to servers that you name | between 6 and 7 |
//! | [`timeout`] | the clocks of each attempt | 7, right around the client |
//!
//! On a server, around its handlers: [`inbound`], for the deadline that a request comes with.
//!
//! Many calls at once, a window of them in flight: [`batch`].
//!
//! And around the calls of a workflow:
//!
//! | | what it does |
//! |---|---|
//! | [`scope`] | a block with a deadline, labels, cleanups and tasks, that leaves nothing behind |
//! | [`group`] | named futures together; every failure is kept |
//!
//! Errors are [`BoxError`], as tower has it; what backstay itself reports is an [`Error`] that
//! [`Error::find`] finds at any depth. The [`Trail`] of a call, in each response's extensions and in each
//! error, tells of every attempt. A [`Call`] in the request's extensions lets inner layers and the client
//! read the deadline.
//!
//! # In spawned tasks
//!
//! Layers around a service whose error is *inferred* to be [`BoxError`], as that of a `service_fn` or of tower's
//! `Buffer` is, may not compile in an async block that has to be `Send`: "implementation of `From` is not
//! general enough". The compiler has lost the lifetime in `dyn Error + 'static` there
//! ([rust-lang/rust#64552](https://github.com/rust-lang/rust/issues/64552)); layers of others that ask for
//! `Into<BoxError>` have it too. Box the stack, which names its error; a leaf that is a struct, or has
//! an error type of its own, needs none of this.
//!
//! ```
//! # use backstay::{Body, BoxError, ServiceBuilderExt};
//! # use http::{Request, Response};
//! # use tokio::time::Duration;
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let leaf = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(Body::default())) });
//! let llm = ServiceBuilder::new()
//!     .deadline(Duration::from_secs(20))?
//!     .service(leaf)
//!     .boxed_clone(); // not without this
//! let call = tokio::spawn(async move {
//!     let response = llm.oneshot(Request::new(Body::default())).await?;
//!     Ok::<_, BoxError>(response.status())
//! });
//! assert_eq!(call.await??, 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it adds | default |
//! |---|---|---|
//! | `hyper` | reads errors of hyper and hyper-util: was the request sent? Turn it on with a hyper client | no |
//! | `signal` | `Drain::on_signals`: SIGTERM and SIGINT begin a drain | no |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[macro_use]
mod macros;

mod alarm;
mod ambient;
mod builder_ext;
mod caught;
mod observe;
mod ready_call;
mod spoken;

pub mod batch;
pub mod body;
pub mod call;
pub mod cancel;
pub mod deadline;
pub mod degraded;
pub mod drain;
pub mod error;
pub mod fallback;
pub mod group;
pub mod inbound;
pub mod outbound;
pub mod scope;
pub mod status_error;
pub mod timeout;
pub mod trail;
pub mod transport;

pub use self::{
    body::{Body, ReplayableBody},
    builder_ext::ServiceBuilderExt,
    call::{Call, Labels, Phase},
    deadline::Deadline,
    error::{BoxError, BuildError, Error, ErrorClass, ErrorKind},
    group::{Group, GroupError},
    scope::Scope,
    timeout::Timeouts,
    trail::Trail,
};
pub use backstay_dialect as dialect;

/// After this many frames that were ready the clocks are looked at, so that a flood cannot outrun them.
const FRAMES_BETWEEN_LOOKS: u8 = 64;
