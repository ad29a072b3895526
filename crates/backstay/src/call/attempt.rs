//! What the record knows of the attempt under way.

use super::{Call, State, face::Moment, instant::nanos};
use crate::{
    observe::Signals,
    trail::{Attempt, Note, Outcome},
};
use backstay_dialect::Failure;
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::time::Instant;

/// What one layer does for an attempt so that the next layer out need not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim {
    /// The clocks of the attempt, its limit included.
    Clocks = 1,
    /// The observation of the attempt's body.
    Observer = 2,
    /// No job: the target has clocks of its own.
    TargetClocks = 4,
}

// === impl Call ===

impl Call {
    /// The number of the attempt under way, from 1; zero before the first.
    pub fn attempt(&self) -> u32 {
        self.0.attempts.load(Relaxed)
    }

    /// The instant at which the attempt under way must be over, where time is kept for untried targets.
    pub fn attempt_limit(&self) -> Option<Instant> {
        self.0.attempt_limit.get(self.0.started)
    }

    /// Notes something of the attempt under way in the trail, once.
    pub fn note_attempt(&self, note: Note) {
        self.with_attempt(|attempt| attempt.note(note));
    }

    /// Ends the attempt under way in the trail: for adapters to protocols that say how an answer ended where
    /// HTTP does not look, gRPC's trailers for one. The first end of an attempt stands.
    pub fn end_attempt(&self, outcome: Outcome, failure: Option<&Failure>) {
        let at = self.since_start(Instant::now());
        self.with_attempt(|attempt| {
            if let (Some(failure), Outcome::Running) = (failure, attempt.outcome) {
                attempt.class = Some(failure.class);
                attempt.code.clone_from(&failure.code);
            }
            attempt.end(outcome, at);
        });
    }

    /// Opens an attempt: its times, signals and claims are fresh, its number is the next.
    pub(crate) fn begin_attempt(
        &self,
        (target, model): (Arc<str>, Option<Arc<str>>),
        now: Instant,
        limit: Option<Instant>,
        state: impl FnOnce(&mut State),
    ) {
        let record = &*self.0;
        record.signals.clear();
        record.claims.store(0, Relaxed);
        record.attempt_limit.set(record.started, limit);
        let mut locked = record.state.lock();
        // Nobody else counts: not without the lock.
        let number = record.attempts.load(Relaxed) + 1;
        record.attempts.store(number, Relaxed);
        if let Some(last) = locked.trail.last_mut() {
            record.face.write_to(last, record.started);
            locked.in_band = None;
        }
        record.face.restart(record.started, now);
        locked.trail.begin(number, target, model);
        state(&mut locked);
        if locked.target_timeouts.is_some() {
            record.claims.store(Claim::TargetClocks as u8, Relaxed);
        }
    }

    /// Counts the attempt from now on: what was before was waiting for readiness.
    pub(crate) fn restart_attempt(&self, now: Instant) {
        self.0.face.started.set(self.0.started, Some(now));
    }

    /// Writes to the attempt under way, if there is one.
    pub(crate) fn with_attempt(&self, f: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.0.state.lock().trail.last_mut() {
            self.0.face.write_to(attempt, self.0.started);
            f(attempt);
        }
    }

    /// The attempts so far, with what is known of the one under way.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let mut attempts: Vec<_> = self.0.state.lock().trail.attempts().cloned().collect();
        if let Some(last) = attempts.last_mut() {
            self.0.face.write_to(last, self.0.started);
        }
        attempts
    }

    /// When the attempt under way began.
    pub(crate) fn attempt_started(&self) -> Option<Instant> {
        self.0.face.started.get(self.0.started)
    }

    pub(crate) fn set_attempt_limit(&self, limit: Option<Instant>) {
        self.0.attempt_limit.set(self.0.started, limit);
    }

    pub(crate) fn head_came(&self, at: Instant, status: http::StatusCode) {
        self.0.face.head_came(nanos(self.0.started, at), status);
    }

    /// When the response head of the attempt under way came.
    pub(crate) fn headers_at(&self) -> Option<Instant> {
        self.0.face.headers.get(self.0.started)
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.0.face.received(bytes);
    }

    pub(crate) fn mark(&self, moment: Moment, at: Instant) {
        self.0.face.mark(moment, nanos(self.0.started, at));
    }

    /// The answer was let through with its end: all three moments are one.
    pub(crate) fn mark_whole(&self, at: Instant) {
        let nanos = nanos(self.0.started, at);
        self.0.face.mark(Moment::Commit, nanos);
        self.0.face.mark(Moment::Complete, nanos);
        self.0.ended.lower_to(nanos);
    }

    /// The latest moment of the attempt under way before its commit.
    pub(crate) fn last_moment(&self) -> Option<Instant> {
        let face = &self.0.face;
        face.first_token
            .get(self.0.started)
            .or_else(|| self.headers_at())
    }

    pub(crate) fn signals(&self) -> Signals {
        self.0.signals.get()
    }

    pub(crate) fn signal(&self, signals: Signals) {
        self.0.signals.raise(signals);
    }

    /// Takes a job for the attempt under way; false when a layer further in has it already.
    pub(crate) fn claim(&self, claim: Claim) -> bool {
        self.0.claims.fetch_or(claim as u8, Relaxed) & claim as u8 == 0
    }

    pub(crate) fn is_claimed(&self, claim: Claim) -> bool {
        self.0.claims.load(Relaxed) & claim as u8 != 0
    }

    /// The attempt under way is sent once more: its jobs are to be taken again.
    pub(crate) fn release_claims(&self) {
        let kept = Claim::TargetClocks as u8;
        self.0.claims.fetch_and(kept, Relaxed);
    }
}
