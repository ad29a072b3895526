//! One TOML file, and what it means.
//!
//! ```toml
//! [[listeners]]
//! address = "127.0.0.1:4141"
//!
//! [[targets]]
//! name = "openai"
//! dialect = "openai"                        # or "anthropic", "plain"
//! base_url = "https://api.openai.com/v1"    # as the provider's own SDK takes it
//! key_env = "OPENAI_API_KEY"
//!
//! [[routes]]
//! model = "gpt-4o"
//! targets = ["openai"]
//! budget = "2m"
//! ```
//!
//! `backstay-gateway --example` prints one with every setting and its default. What cannot be used is a
//! [`ConfigError`] that names file, line and remedy; an unknown setting is one, so that a misspelt limit
//! is not silently no limit.

mod check;
mod credential;
mod demo;
mod error;
mod file;
mod listener;
mod rules;
mod target;
mod units;

pub use self::error::ConfigError;

pub(crate) use self::{
    credential::{Hidden, Secret},
    error::Source,
    listener::{Caller, Listener},
};

use backstay::{Timeouts, fallback::Commit};
use std::{fmt, path::Path, sync::Arc};
use tokio::time::Duration;

/// A configuration that was read and checked.
///
/// Keys have been read from their files and environment variables; `Debug` shows none.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) targets: Vec<Target>,
    pub(crate) routes: Vec<Route>,
    pub(crate) limits: Limits,
    pub(crate) drain: DrainTimes,
    pub(crate) upstream: Upstream,
    pub(crate) trails: usize,
    pub(crate) written: Written,
}

/// The text that the configuration was read from, for errors that are found later.
#[derive(Clone)]
pub(crate) struct Written {
    file: Arc<str>,
    text: Arc<str>,
}

/// Where an attempt goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: Arc<str>,
    pub(crate) family: Family,
    /// Scheme, host and port.
    pub(crate) origin: String,
    /// What stands before the API's own path, without a slash at its end.
    pub(crate) base_path: String,
    pub(crate) query: Option<Hidden<String>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) key: Option<Secret>,
    /// The key is the caller's own.
    pub(crate) callers_key: bool,
    pub(crate) key_header: Option<String>,
    pub(crate) headers: Hidden<Vec<(String, String)>>,
    pub(crate) retries: Option<u32>,
    pub(crate) commit: Option<Commit>,
    pub(crate) timeouts: Option<Timeouts>,
    /// The same as they were written.
    clocks: file::ClocksTable,
}

/// What a target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// OpenAI's API and the many that copy it.
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// No model: a vector database, a service of your own.
    Plain,
}

/// Which calls go to which targets, under which rules.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    pub(crate) matches: Match,
    /// Positions in [`Config::targets`].
    pub(crate) targets: Vec<usize>,
    pub(crate) forward_headers: Vec<String>,
    pub(crate) budget: Duration,
    pub(crate) reserve: Duration,
    pub(crate) min_attempt: Duration,
    pub(crate) max_wait: Duration,
    pub(crate) retries: u32,
    pub(crate) retry_uncertain: bool,
    pub(crate) commit: Option<Commit>,
    pub(crate) clocks: Clocks,
    /// Where it is written.
    pub(crate) at: std::ops::Range<usize>,
}

/// What a route is chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// Any of these names in the body's `model`.
    Models(Vec<String>),
    /// Any model.
    AnyModel,
    /// A path.
    Path(String),
    /// A path, and all below it.
    PathPrefix(String),
}

/// The clocks of a route. Beside them two in the open, each the shortest that one of its targets has: a caller's
/// own read timeout, which goes before those of targets, may only shorten them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) timeouts: Timeouts,
    pub(crate) stream_headers: Duration,
    pub(crate) stream_idle: Duration,
    pub(crate) unary_headers: Duration,
    pub(crate) unary_idle: Duration,
}

/// The bounds of the front door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) calls: usize,
    pub(crate) request_body: usize,
    pub(crate) buffered: usize,
    pub(crate) request_head: usize,
    pub(crate) head_time: Duration,
    pub(crate) body_time: Duration,
    pub(crate) idle_time: Duration,
    pub(crate) streams_per_connection: u32,
}

/// How an orderly end goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainTimes {
    pub(crate) delay: Duration,
    pub(crate) grace: Duration,
}

/// How targets are reached.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) proxy: backstay_client::Proxy,
    pub(crate) idle_connections: usize,
}

/// A configuration with every setting: what `backstay-gateway --example` prints.
pub const EXAMPLE: &str = include_str!("../../gateway.example.toml");

// === impl Config ===

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a file that cannot be read, for what is no TOML, for settings that do not
    /// exist or contradict each other, for keys that are not there.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let text =
            std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
        Self::parse(&text, &file.display().to_string())
    }

    /// Reads a text; `file` is the name that errors give it.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        check::check(Source { file, text })
    }

    /// What is used without a file: every model goes to the server at this URL, which speaks both
    /// dialects, and a few names show what the stack does about faults.
    ///
    /// # Errors
    ///
    /// When the URL is none.
    pub fn demo(url: &str) -> Result<Self, ConfigError> {
        Self::parse(&demo::text(url), "the built-in configuration")
    }
}

// === impl Written ===

impl Written {
    pub(crate) fn new(source: Source<'_>) -> Self {
        Self {
            file: source.file.into(),
            text: source.text.into(),
        }
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            file: &self.file,
            text: &self.text,
        }
    }
}

/// The text may hold a key.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Written").field(&self.file).finish()
    }
}

// === impl Family ===

impl Family {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Plain => "plain",
        }
    }
}
