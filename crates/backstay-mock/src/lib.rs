//! A scripted LLM provider and vector store on loopback, for tests, demos and drills.
//!
//! [`Mock`] is a real server on a real socket: HTTP/1.1 and HTTP/2 (prior knowledge) on one port. It
//! speaks the [`Dialect`] that a request's path says, unary and streamed, and Chroma's v2 REST interface.
//! What it answers is a [`Script`]: per model or per path, one [`Reply`] per attempt; an [`Outage`] goes
//! before it. What it saw is its log, with the instant at which each caller went away.
//!
//! ```
//! use backstay_mock::{Mock, Reply, Script};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mock = Mock::start().await?;
//! mock.script(
//!     "gpt-4o",
//!     Script::new()
//!         .attempt(Reply::status(429).header("retry-after", "1"))
//!         .then(Reply::tokens(["Hello", ", ", "world"])),
//! );
//! // Point a client at mock.url(), then look at what arrived:
//! assert_eq!(mock.attempts("gpt-4o"), 0);
//! mock.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Without a script every model answers with a few plain words, and some [model names](names) stand for
//! a fault, so that `curl` is enough to try one.

// Layers; each knows only those before it: what the others speak of (`dialect`, `fault`, `answer`, `act`, `doors`,
// `embedding`); what is scripted (`reply`, `provider_error`, `names`, `script`, `outage`); what was asked, and the
// answer in a dialect (`route`, `call`, `words`, `chroma`, `dialects`); when it is sent (`framing`, `plan`); and the
// server (from `connection`, `log` and `shared` to `handler`, `server`, `mock` and `file`).
mod act;
mod answer;
mod body;
mod call;
mod chroma;
mod connection;
mod dialect;
mod dialects;
mod doors;
mod embedding;
mod exchange;
mod fault;
mod file;
mod framing;
mod handler;
mod in_flight;
mod log;
mod mock;
pub mod names;
mod outage;
mod outage_handle;
mod plan;
mod provider_error;
mod reply;
mod route;
mod script;
mod server;
mod shared;
mod wire;
mod words;

pub use self::chroma::{MAX_COLLECTIONS, MAX_RECORDS};
pub use self::connection::ConnectionId;
pub use self::dialect::{Dialect, UnknownDialect};
pub use self::embedding::{DIMENSIONS, embed};
pub use self::file::{ScriptFile, ScriptFileError};
pub use self::handler::MAX_REQUEST_BODY;
pub use self::log::{Ending, Logged, MAX_LOGGED, MAX_LOGGED_BODY, MAX_LOGGED_BYTES};
pub use self::mock::{Mock, MockBuilder};
pub use self::outage::Outage;
pub use self::outage_handle::OutageHandle;
pub use self::provider_error::ProviderError;
pub use self::reply::Reply;
pub use self::script::{MAX_KEYS, Script};
