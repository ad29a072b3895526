//! The guard of one request: it writes the log, and being dropped early means that the caller has gone.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use tokio::time::Instant;

use crate::connection::Link;
use crate::dialect::Dialect;
use crate::log::{Ending, Logged};
use crate::shared::Shared;

/// Lives in the handler's future until the response head is there, and in the response body from then on.
/// hyper drops either when the connection or the stream is over, and so its drop dates the caller's leaving.
pub(crate) struct Exchange {
    number: u64,
    shared: Arc<Shared>,
    link: Arc<Link>,
    model: Option<String>,
    ended: bool,
}

impl Exchange {
    pub(crate) fn begin(
        shared: Arc<Shared>,
        link: Arc<Link>,
        parts: &Parts,
        dialect: Option<Dialect>,
    ) -> Self {
        shared.in_flight.lock().began();
        let number = shared.log.lock().push(|number| Logged {
            number,
            at: Instant::now(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            dialect,
            method: parts.method.clone(),
            model: None,
            attempt: 0,
            in_outage: false,
            headers: parts.headers.clone(),
            body: Bytes::new(),
            connection: link.id,
            http_version: parts.version,
            status: None,
            headers_sent_at: None,
            first_token_at: None,
            ended_at: None,
            tokens_sent: 0,
            peer_closed_at: None,
            finished: false,
            ending: None,
        });
        shared.changed.notify_waiters();
        Self {
            number,
            shared,
            link,
            model: None,
            ended: false,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The request has been read, and it is known what it gets.
    pub(crate) fn read(
        &mut self,
        model: Option<&str>,
        attempt: usize,
        body: &Bytes,
        in_outage: bool,
    ) {
        if let Some(model) = model {
            self.shared.in_flight.lock().is_for(model);
            self.model = Some(model.to_owned());
        }
        {
            let mut log = self.shared.log.lock();
            log.keep_body(self.number, body);
            if let Some(entry) = log.get_mut(self.number) {
                entry.model = model.map(str::to_owned);
                entry.attempt = attempt;
                entry.in_outage = in_outage;
            }
        }
        self.shared.changed.notify_waiters();
    }

    pub(crate) fn headers_sent(&self, status: u16) {
        self.write(|entry| {
            entry.status = Some(status);
            entry.headers_sent_at = Some(Instant::now());
        });
    }

    pub(crate) fn tokens_sent(&self, tokens: usize) {
        if tokens > 0 {
            self.write(|entry| {
                entry.first_token_at.get_or_insert_with(Instant::now);
                entry.tokens_sent += tokens;
            });
        }
    }

    /// Everything went out, but the mock does not end it.
    pub(crate) fn whole(&self) {
        self.write(|entry| entry.finished = true);
    }

    pub(crate) fn complete(&mut self) {
        if !self.ended {
            self.whole();
            self.end(Ending::Complete);
        }
    }

    /// The caller is known to have gone.
    pub(crate) fn left(&mut self) {
        self.end(Ending::PeerClosed);
    }

    pub(crate) fn cut(&mut self) {
        self.end(Ending::Cut);
    }

    pub(crate) fn reset(&mut self) {
        self.end(Ending::Reset);
        self.link.reset();
    }

    fn end(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.shared.in_flight.lock().ended(self.model.as_deref());
        let ended = {
            let mut log = self.shared.log.lock();
            log.get_mut(self.number).and_then(|entry| {
                let now = Instant::now();
                entry.ending = Some(ending);
                entry.ended_at = Some(now);
                if ending == Ending::PeerClosed {
                    entry.peer_closed_at = Some(now);
                }
                self.shared.on_ended.is_some().then(|| entry.clone())
            })
        };
        self.shared.changed.notify_waiters();
        // Outside the lock: the observer may ask the mock.
        if let (Some(observe), Some(entry)) = (&self.shared.on_ended, ended) {
            observe(&entry);
        }
    }

    fn write(&self, change: impl FnOnce(&mut Logged)) {
        if let Some(entry) = self.shared.log.lock().get_mut(self.number) {
            change(entry);
        }
        self.shared.changed.notify_waiters();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let ending = if self.shared.is_stopping() {
            Ending::Shutdown
        } else if self.link.was_reset() {
            Ending::Reset
        } else {
            Ending::PeerClosed
        };
        self.end(ending);
    }
}
