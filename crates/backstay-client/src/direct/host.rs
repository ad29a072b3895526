//! One host and the connections to it that nobody uses now.

use super::link::Link;
use http::{
    HeaderValue, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Duration, Instant};

/// An authority of plain http, with its idle connections.
pub(crate) struct Host<B> {
    uri: Uri,
    header: Option<HeaderValue>,
    limits: Limits,
    /// The one that was used last is at the end, and goes first: so a burst's surplus grows old.
    idle: Mutex<Vec<Idle<B>>>,
}

struct Idle<B> {
    link: Box<Link<B>>,
    since: Instant,
}

/// The bounds of what lies idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many connections to one host.
    pub(crate) most_idle: usize,
    /// For how long; `None` is for ever.
    pub(crate) idle_timeout: Option<Duration>,
}

/// The port that a `host` header leaves out (RFC 9110, section 4.2.1).
const DEFAULT_PORT: u16 = 80;

// === impl Host ===

impl<B> Host<B> {
    pub(super) fn new(authority: &Authority, limits: Limits) -> Self {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        let header = match authority.port_u16() {
            Some(DEFAULT_PORT) | None => authority.host(),
            Some(_) => authority.as_str(),
        };
        Self {
            uri: Uri::from_parts(parts).unwrap_or_default(),
            header: HeaderValue::from_str(header).ok(),
            limits,
            idle: Mutex::default(),
        }
    }

    /// Where connections go.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What a request's `host` header says.
    pub(crate) fn header(&self) -> Option<&HeaderValue> {
        self.header.as_ref()
    }

    /// The connection that was used last, unless all have lain here too long.
    pub(super) fn take(&self) -> Option<Box<Link<B>>> {
        let now = self.limits.idle_timeout.map(|_| Instant::now());
        let mut idle = self.idle();
        let last = idle.pop()?;
        if now.is_some_and(|now| self.is_over(&last, now)) {
            // All others are older.
            idle.clear();
            return None;
        }
        Some(last.link)
    }

    pub(super) fn put_back(&self, link: Box<Link<B>>) {
        let since = Instant::now();
        let mut idle = self.idle();
        if idle.len() < self.limits.most_idle {
            idle.push(Idle { link, since });
        }
    }

    /// Closes what is too old, and what its server has closed. True when nothing is left.
    pub(super) fn reap(&self) -> bool {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.retain_mut(|idle| !self.is_over(idle, now) && idle.link.is_open());
        idle.is_empty()
    }

    fn is_over(&self, idle: &Idle<B>, now: Instant) -> bool {
        self.limits
            .idle_timeout
            .is_some_and(|limit| now.saturating_duration_since(idle.since) >= limit)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle<B>>> {
        self.idle.lock()
    }
}
