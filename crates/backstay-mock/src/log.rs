//! What the mock saw: one bounded entry per request.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use tokio::time::Instant;

use crate::connection::ConnectionId;
use crate::dialect::Dialect;

/// How many requests the log holds; older ones are forgotten first.
pub const MAX_LOGGED: usize = 100_000;
/// How many bytes of one request body the log holds: 1 MiB.
pub const MAX_LOGGED_BODY: usize = 1024 * 1024;
/// How many bytes of all request bodies together the log holds: 64 MiB. The oldest bodies are emptied
/// first; their entries stay.
pub const MAX_LOGGED_BYTES: usize = 64 * 1024 * 1024;

/// One request, as far as it has come. [`Mock::log`](crate::Mock::log) gives copies.
///
/// Its `Debug` form shows neither body nor header values.
#[derive(Clone)]
#[non_exhaustive]
pub struct Logged {
    /// Counts all requests of the mock, from 1.
    pub number: u64,
    /// When the request head had arrived.
    pub at: Instant,
    /// The path, without the query.
    pub path: String,
    /// The query, if there was one. It may hold a credential (`?key=`).
    pub query: Option<String>,
    /// What the path says is spoken; `None` for paths that speak to no provider.
    pub dialect: Option<Dialect>,
    /// The method.
    pub method: Method,
    /// The model in the path, decoded, or in the request's body, once that was read.
    pub model: Option<String>,
    /// The nth request for this model, or for this path if there is no model; 0 until the body was read.
    pub attempt: usize,
    /// An [outage](crate::Outage) answered it.
    pub in_outage: bool,
    /// The request's headers. They hold credentials.
    pub headers: HeaderMap,
    /// The request's body, at most [`MAX_LOGGED_BODY`] of it. It holds the prompt.
    pub body: Bytes,
    /// The connection it came on.
    pub connection: ConnectionId,
    /// HTTP/1.1 or HTTP/2.
    pub http_version: Version,
    /// The status that was answered.
    pub status: Option<u16>,
    /// When the response head was handed to the connection.
    pub headers_sent_at: Option<Instant>,
    /// When the first token (reasoning counts) was handed to the connection.
    pub first_token_at: Option<Instant>,
    /// When the request was over for the mock, whatever way.
    pub ended_at: Option<Instant>,
    /// How many tokens were handed to the connection.
    pub tokens_sent: usize,
    /// When the caller was seen to have gone: it closed its connection or reset its stream before the
    /// mock was done.
    pub peer_closed_at: Option<Instant>,
    /// The whole answer, its end included, was handed to the connection. False for a cut, a reset, a
    /// truncation, a stall, and where the caller left first.
    pub finished: bool,
    /// How it ended; `None` while it is in flight.
    pub ending: Option<Ending>,
}

/// How a request ended for the mock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// Everything that was scripted went out.
    Complete,
    /// The mock ended it early, by script.
    Cut,
    /// The mock reset the connection, by script: this request's own or another's on the same connection.
    Reset,
    /// The caller went away first.
    PeerClosed,
    /// The mock was shut down first.
    Shutdown,
}

/// Told of each request that is over.
pub(crate) type OnEnded = Box<dyn Fn(&Logged) + Send + Sync>;

/// The ring of entries. Numbers run without gaps, so an entry is found by subtraction.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Logged>,
    last_number: u64,
    body_bytes: usize,
    // Entries before this one have had their bodies emptied.
    bodies_from: u64,
}

// === impl Logged ===

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logged")
            .field("number", &self.number)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("dialect", &self.dialect)
            .field("model", &self.model)
            .field("attempt", &self.attempt)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .field("connection", &self.connection)
            .field("http_version", &self.http_version)
            .field("status", &self.status)
            .field("in_outage", &self.in_outage)
            .field("tokens_sent", &self.tokens_sent)
            .field("finished", &self.finished)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

// === impl Ending ===

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::PeerClosed => "peer closed",
            Self::Shutdown => "shutdown",
        })
    }
}

// === impl Log ===

impl Log {
    /// Adds an entry; `make` is told its number.
    pub(crate) fn push(&mut self, make: impl FnOnce(u64) -> Logged) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        if self.entries.len() >= MAX_LOGGED
            && let Some(oldest) = self.entries.pop_front()
        {
            self.body_bytes = self.body_bytes.saturating_sub(oldest.body.len());
        }
        self.entries.push_back(make(number));
        number
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Logged> {
        let index = self.index(number)?;
        self.entries.get_mut(index)
    }

    /// Keeps a request's body with its entry, within the bounds.
    pub(crate) fn keep_body(&mut self, number: u64, body: &Bytes) {
        let Some(index) = self.index(number) else {
            return;
        };
        // Copied, since a slice would keep the whole buffer that it was read into alive.
        let kept = Bytes::copy_from_slice(body.get(..MAX_LOGGED_BODY).unwrap_or(body));
        self.body_bytes += kept.len();
        self.entries[index].body = kept;
        while self.body_bytes > MAX_LOGGED_BYTES && self.bodies_from < number {
            if let Some(oldest) = self.index(self.bodies_from) {
                let emptied = std::mem::take(&mut self.entries[oldest].body);
                self.body_bytes = self.body_bytes.saturating_sub(emptied.len());
            }
            self.bodies_from += 1;
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<Logged> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn of_model(&self, model: &str) -> Vec<Logged> {
        self.entries
            .iter()
            .filter(|entry| entry.model.as_deref() == Some(model))
            .cloned()
            .collect()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.body_bytes = 0;
        self.bodies_from = self.last_number + 1;
    }

    fn index(&self, number: u64) -> Option<usize> {
        let first = self.entries.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        (index < self.entries.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Logged {
        Logged {
            number,
            at: Instant::now(),
            path: "/".into(),
            query: None,
            dialect: None,
            method: Method::GET,
            model: None,
            attempt: 0,
            in_outage: false,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            connection: ConnectionId(1),
            http_version: Version::HTTP_11,
            status: None,
            headers_sent_at: None,
            first_token_at: None,
            ended_at: None,
            tokens_sent: 0,
            peer_closed_at: None,
            finished: false,
            ending: None,
        }
    }

    #[test]
    fn bodies_are_bounded_one_by_one_and_together() {
        let mut log = Log::default();
        let body = Bytes::from(vec![0; MAX_LOGGED_BODY + 1]);
        let fit = MAX_LOGGED_BYTES / MAX_LOGGED_BODY;
        for _ in 0..fit + 2 {
            let number = log.push(entry);
            log.keep_body(number, &body);
        }
        let sizes: Vec<usize> = log
            .snapshot()
            .iter()
            .map(|entry| entry.body.len())
            .collect();
        assert_eq!(sizes[..2], [0, 0]);
        assert!(sizes[2..].iter().all(|&size| size == MAX_LOGGED_BODY));
        assert_eq!(sizes[2..].iter().sum::<usize>(), MAX_LOGGED_BYTES);
    }

    #[test]
    fn entries_are_bounded_and_found_by_number() {
        let mut log = Log::default();
        for _ in 0..MAX_LOGGED + 5 {
            log.push(entry);
        }
        assert_eq!(log.snapshot().len(), MAX_LOGGED);
        assert!(log.get_mut(5).is_none());
        assert_eq!(log.get_mut(6).map(|entry| entry.number), Some(6));
        log.clear();
        assert!(log.get_mut(MAX_LOGGED as u64).is_none());
        assert_eq!(log.push(entry), MAX_LOGGED as u64 + 6);
    }
}
