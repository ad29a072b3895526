//! Retry, and retry elsewhere, while the caller has seen nothing yet.
//!
//! # Example
//!
//! ```
//! use backstay::{BoxError, Body, ServiceBuilderExt, Trail, fallback::Targets};
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! // An upstream whose larger model is overloaded.
//! let upstream = service_fn(|request: Request<Body>| async {
//!     let body = request.into_body().collect().await?.to_bytes();
//!     let overloaded = !body.starts_with(br#"{"model":"gpt-4o-mini""#);
//!     let mut response = Response::new(Full::from(r#"{"choices":[]}"#));
//!     if overloaded {
//!         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//!     }
//!     Ok::<_, BoxError>(response)
//! });
//! let mut service = ServiceBuilder::new()
//!     .fallback(Targets::new("gpt-4o").then("gpt-4o-mini").retries(1))?
//!     .service(upstream);
//!
//! let request = Request::post("https://api.openai.com/v1/chat/completions")
//!     .header("content-type", "application/json")
//!     .body(Body::from(r#"{"model":"gpt-4o","messages":[]}"#))?;
//! let response = service.ready().await?.call(request).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//!
//! let trail = response.extensions().get::<Trail>().expect("each response has one");
//! assert_eq!(trail.attempts().len(), 3);
//! # Ok(())
//! # }
//! ```
//!
//! # What happens to a failed attempt
//!
//! A [`Policy`] decides: **retry** the same target after a wait, **skip** to the next target, **stop**. It
//! is told the status, headers and a bounded prefix of the body, what the dialect makes of them, the
//! transport error, or the clock that ran out. The [default](DefaultPolicy) takes the dialect's word for
//! answers, goes elsewhere after a timeout, and repeats what did not arrive. [`recipes`] has ready policies for
//! other wishes.
//!
//! # Targets
//!
//! Each attempt is made from the *original* request plus its [target](Target)'s changes: hops never compound.
//!
//! | what | how |
//! |---|---|
//! | the model | where the call has it: in the body, spliced between two slices of the original; in the path, as one percent-encoded segment. In a path or query of the target's own `{model}` stands for it |
//! | other top-level fields | [`Target::patch`]: a value overrides, `null` removes, absence keeps |
//! | scheme, host and port | [`Target::origin`]. Only an allow-list of headers goes with it, of the query only `alt` (Gemini's format), and nothing of a user or password: a credential of one authority never reaches another. `https` never becomes `http` unless [allowed](Target::allow_plaintext) |
//! | credentials | [`Target::bearer`], [`Target::credential`]; a target that has some gets none of the caller's. [`Target::sign`] signs after everything else, for each attempt |
//! | headers, path, query | [`Target::header`], [`Target::path`], [`Target::query`] |
//! | dialect | [`Target::dialect`], else what its host and path tell. Targets of one call are of one [family](backstay_dialect::Dialect::family), for they are sent the same document: what is known at build is an error there, that names both; what only the call shows is an error at the first target, and passes over another |
//!
//! Whatever its model is called, the path keeps its shape: a name that is empty, or has a part that is `.` or
//! `..`, is refused; anything else is encoded.
//!
//! # Which target is tried
//!
//! In their order, with these exceptions; the trail names each target that was passed over, and why.
//!
//! - The target that served the call's [`Conversation`] last comes first, where there are [`Pins`].
//! - One whose [context window](Target::context_window) does not hold the request is never called, the first
//!   target included. Where no window holds it, the first is called all the same: its provider judges.
//! - One that [cools down](cool_down) after what happened in other calls is passed over while another is left.
//!   It is never in the way of the last one left.
//! - One that the request cannot be made into one for: an encoded body that needs a rewrite, say.
//!
//! # Commit
//!
//! An answer is held back until its [`Commit`] point: the first semantic event of a stream, the end of a
//! JSON document. What fails before it is a failed attempt that nobody saw. After it nothing is retried:
//! the body ends with a typed error. The end of a stream counts as success only with the end evidence of
//! its dialect. After the end marker the stream is over, even if the socket stays open.
//!
//! An answer after which nothing could be tried any more is let through at its head. The hold is bounded
//! in frames, bytes and time; at a bound it commits, and the trail says so.
//!
//! A refusal is an answer: it is let through, unless the policy [minds](Policy::minds_refusals) and something
//! can follow.
//!
//! # Waits
//!
//! The server's hint first, with jitter only upwards, else exponential back-off with full jitter. A wait
//! that does not fit the deadline, or is over the longest allowed, is not slept: the next target is tried
//! at once, or the upstream's own answer is returned at once. Waits leave the reserve of untried targets
//! untouched. A server that says that it is overloaded is given at least 5 s. A retry budget, shared by the
//! clones of a service, bounds retries of the same target, and its [cool-down](cool_down) the calls that still go
//! there: in an outage a probe now and then, one at a time, while another target answers.
//!
//! # When all is exhausted
//!
//! The first target's last answer is returned as a response, or its failure as the typed error; where the
//! first was passed over, that of the target that was asked first. What the others said is in the trail.
//!
//! # What it does not cover
//!
//! It sets no limit on the whole call: put the [deadline](crate::deadline) outside, and the
//! [clocks](crate::timeout) inside. Retries of its own that an SDK, or the client below, makes multiply
//! with these: turn them off. An answer's usage and id are read from streams, not from JSON documents.
//!
//! # On drop
//!
//! The attempt under way is dropped with the future or the body, and the trail says which target was not
//! tried and why. A probe of a target that cools down frees its slot for the next call. A body that is
//! dropped after its end marker is no cancellation: what is left of the connection's data is read for up to
//! 50 ms, so that the connection can be used again. Only then, and
//! only if the data had not arrived, a task is spawned.
//!
//! # Cost
//!
//! One saved copy of the request's head until commit, where the body can be sent again; the body's bytes
//! are shared. A patch crosses the top level of the body once for each attempt that it is made for. That
//! its target does not cool down costs an attempt one relaxed read of an atomic and a reference count; pins
//! take a short lock for calls that name a conversation.

mod answer;
mod backoff;
mod body;
mod budget;
mod choice;
mod commit;
pub mod cool_down;
mod course;
mod ended;
mod evidence;
mod failing;
mod frames;
mod future;
mod head;
mod hold;
mod last_word;
mod layer;
mod linger;
mod live;
mod lookup;
mod original;
mod pins;
mod plan;
mod policy;
mod reading;
pub mod recipes;
mod route;
mod service;
mod sign;

mod stage;
mod target;
mod targets;
mod verdict;
mod window;

pub use self::{
    backoff::Backoff,
    body::FallbackBody,
    budget::RetryBudget,
    commit::Commit,
    cool_down::{CoolDown, CoolDowns},
    future::FallbackFuture,
    layer::FallbackLayer,
    original::Idempotent,
    pins::{Conversation, Pins},
    policy::{Cause, Decision, DefaultPolicy, Failed, Pause, Policy},
    service::FallbackService,
    sign::{Outgoing, Sign},
    target::Target,
    targets::Targets,
    window::PromptTokens,
};
