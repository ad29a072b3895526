//! The times of the attempt under way, readable by all layers and written without a lock.

use super::instant::AtomicInstant;
use crate::trail::{Attempt, Outcome};
use http::StatusCode;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use tokio::time::{Duration, Instant};

/// What the happy path writes of an attempt. It goes into the trail when the trail is read, and when the
/// next attempt begins.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) started: AtomicInstant,
    pub(super) headers: AtomicInstant,
    pub(super) first_token: AtomicInstant,
    pub(super) committed: AtomicInstant,
    pub(super) completed: AtomicInstant,
    bytes: AtomicU64,
    status: AtomicU16,
}

/// A moment of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// The first semantic event came.
    FirstToken,
    /// The answer was let through.
    Commit,
    /// The answer came to its end.
    Complete,
}

// === impl Face ===

impl Face {
    pub(super) fn new() -> Self {
        Self {
            started: AtomicInstant::never(),
            headers: AtomicInstant::never(),
            first_token: AtomicInstant::never(),
            committed: AtomicInstant::never(),
            completed: AtomicInstant::never(),
            bytes: AtomicU64::new(0),
            status: AtomicU16::new(0),
        }
    }

    pub(super) fn restart(&self, base: Instant, started: Instant) {
        self.started.set(base, Some(started));
        for moment in [
            &self.headers,
            &self.first_token,
            &self.committed,
            &self.completed,
        ] {
            moment.set(base, None);
        }
        self.bytes.store(0, Relaxed);
        self.status.store(0, Relaxed);
    }

    /// At so many nanoseconds after the call's start; the earliest stands.
    pub(super) fn mark(&self, moment: Moment, nanos: u64) {
        match moment {
            Moment::FirstToken => self.first_token.lower_alone_to(nanos),
            Moment::Commit => self.committed.lower_alone_to(nanos),
            Moment::Complete => self.completed.lower_alone_to(nanos),
        }
    }

    pub(super) fn head_came(&self, nanos: u64, status: StatusCode) {
        self.headers.lower_alone_to(nanos);
        self.status.store(status.as_u16(), Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Writes what is known into the attempt that these are the times of.
    pub(super) fn write_to(&self, attempt: &mut Attempt, base: Instant) {
        let since = |moment: &AtomicInstant| -> Option<Duration> {
            Some(moment.get(base)?.saturating_duration_since(base))
        };
        attempt.started = since(&self.started).unwrap_or(attempt.started);
        attempt.headers = since(&self.headers);
        attempt.first_token = since(&self.first_token);
        attempt.committed = since(&self.committed);
        attempt.bytes = self.bytes.load(Relaxed);
        attempt.status = StatusCode::from_u16(self.status.load(Relaxed)).ok();
        if let Some(at) = since(&self.completed) {
            attempt.end(Outcome::Complete, at);
        }
    }
}
