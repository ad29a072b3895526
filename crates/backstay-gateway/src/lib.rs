//! The backstay stack as a loopback HTTP server, for every SDK in every language that only takes a base
//! URL: one deadline per call, first-token clocks, fallback to other models and providers before the
//! caller has seen anything, and a trail of what happened.
//!
//! The program is `backstay-gateway`; [`Gateway`] is the same as a value, and [`config`] the file that it
//! reads.
//!
//! # What passes
//!
//! | path | in the dialect | chosen by |
//! |---|---|---|
//! | `/v1/chat/completions`, `/v1/responses`, `/v1/completions`, `/v1/embeddings` | OpenAI | the body's `model` |
//! | `/v1/messages`, `/v1/messages/count_tokens` | Anthropic | the body's `model` |
//! | those of path routes | none | the path |
//!
//! Bodies pass byte for byte, but for the model's name where a target has another; event streams pass
//! event by event, as they come; events that come together go out together. `GET /v1/models` lists the models
//! that have routes.
//!
//! Of the caller's headers only those on a list go on: what is sent and what is accepted, `user-agent`, the
//! dialect's own (`openai-beta`, `anthropic-version`, `anthropic-beta`), and the route's `forward_headers`.
//!
//! # Keys
//!
//! A key of the gateway's (`[[callers]]`) lets a caller in, and never goes on, wherever it stands. A target's
//! own key (`key_env`, `key_file`) goes to that target. A target with `credential = "caller"` is given the key
//! that the caller brought, in the header that it came in, and so is no other target, whichever is tried
//! before or after it. Where the gateway asks for a key too, that one is sent in `x-backstay-key`, and the
//! provider's where the SDK puts it:
//!
//! ```python
//! OpenAI(base_url=GATEWAY, api_key=PROVIDER_KEY, default_headers={"x-backstay-key": GATEWAY_KEY})
//! ```
//!
//! On a route with such a target nothing cools down: the limits of one caller's key are no other's.
//!
//! Each answer of a call says who gave it: `x-backstay-target`, `x-backstay-attempts`, and
//! `x-backstay-trail`, the id under which `/trails/ID` tells the rest.
//!
//! # When it fails
//!
//! An upstream's own last word passes as it is, with its status and its hints. What the gateway says
//! itself is an error document of the caller's dialect: 504 for a deadline or a clock, 502 for an upstream
//! that broke, 503 with `retry-after` for a full house or a drain, 404 for an unknown model. Where all has
//! been tried, `x-should-retry: false` keeps the official SDKs from trying it all again.
//!
//! A failure in the middle of an event stream is told in the stream, as the dialect's error event, on which
//! the official SDKs raise; in the middle of anything else the transfer breaks off. Neither looks like an
//! end.
//!
//! A route with nothing left to try lets its answer through at once, so that a clock or an error before
//! the first token of a *last* target is told in the stream, and not as a status.
//!
//! # When the caller leaves
//!
//! Its call is dropped, and the upstream's connection closed or its stream reset, at once: also before the
//! head, also where more bytes came in behind the request. A caller that closes its writing half only has
//! left. One that does not read its answer loses its connection, or its HTTP/2 stream, a quarter of a
//! second after its call's deadline.
//!
//! # Who is let in
//!
//! A loopback address is open to this machine's programs, and not to its web pages: `Host` must be a name
//! of ours or an address, `Origin` must be listed, a body must be JSON. Any other address demands a key.
//! Whole URLs in the request line and paths with `..` in them are refused, redirects are not followed, and
//! all that a caller can make large, slow or many has a bound: see `[limits]` in [`config::EXAMPLE`].
//!
//! # What it does not do
//!
//! No TLS towards callers, no accounts, no rate limits per caller, no translation between dialects, no
//! cache. It stores nothing: trails are in memory, bounded, and hold no prompt, answer or credential.
//!
//! # On drop and at the end
//!
//! A [drain](Handle::drain) refuses new calls, gives those under way a grace period, then cancels them:
//! each is told so in its dialect. The layer is that of [`backstay::drain`], and so is the report; a request
//! whose body is still being read counts as under way, and is refused when it comes to be sent. Connections
//! are closed a second later at most, so that the server always ends. A [`Gateway`] that is dropped without
//! a drain closes its sockets.
//!
//! # Cost
//!
//! Two sockets and one task per connection, one entry in the ring per call. A body that names a model is
//! scanned for it twice where routes differ by model. No task per call over HTTP/1.1. With
//! [threads of its own](Gateway::bind_with_threads) a call stays on one.

mod call;
pub mod config;
mod front;
mod gateway;
mod leash;
mod leaving;
mod refusal;
mod routes;
mod server;
mod shared;
mod trails;

pub use backstay::drain::DrainReport;

pub use self::{
    config::{Config, ConfigError},
    gateway::{Gateway, Handle, StartError},
};
