//! How an attempt ended, and what follows.

use super::{
    answer::FailedAnswer,
    failing::Failing,
    hold::{Hold, HoldEnd},
    last_word::LastWord,
    policy::{Cause, Decision},
    stage::{Rest, Stage, Step},
    verdict::Verdict,
};
use crate::{
    alarm::Alarm,
    body::ReplayableBody,
    call::{Call, Claim, Phase},
    error::{BoxError, Error, ErrorKind, Upstream},
    trail::Outcome,
};
use backstay_dialect::{Answer, Failure, FailureClass};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use std::time::SystemTime;
use tokio::time::Instant;
use tower_service::Service;

// === impl Rest ===

impl<S, B, R> Rest<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: ReplayableBody,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// A hold has come to its end.
    pub(super) fn held(&mut self, call: &Call, mut hold: Box<Hold<R>>, end: HoldEnd) -> Step<R> {
        let kind = match &end {
            HoldEnd::Committed { ended } if hold.is_refusal(call) => {
                return self.refused(call, hold, *ended);
            }
            HoldEnd::Committed { ended } => return Step::Commit(hold, *ended),
            HoldEnd::Failed(_) => ErrorKind::Transport,
            HoldEnd::InBand => ErrorKind::InBand(in_band(call).class),
            HoldEnd::Truncated => ErrorKind::Truncated,
            HoldEnd::Empty => ErrorKind::Empty,
        };
        // Its bytes are counted, and its connection is let go, before what follows is decided.
        hold.settle(call);
        drop(hold);
        let failure;
        let failing = match end {
            HoldEnd::Failed(error) => return self.attempt_failed(call, error),
            HoldEnd::InBand => {
                failure = in_band(call);
                Failing::in_band(&failure)
            }
            HoldEnd::Truncated => Failing::truncated(),
            HoldEnd::Empty | HoldEnd::Committed { .. } => Failing::empty(),
        };
        let error = Error::of(call, kind);
        let now = Instant::now();
        let first = self.course.has_the_last_word();
        let verdict = self.course.failed(call, &failing, now);
        self.follow(call, verdict, first, LastWord::Error(error.into()), now)
    }

    /// The provider withheld the answer. That is final, unless the policy says otherwise and something follows.
    fn refused(&mut self, call: &Call, mut hold: Box<Hold<R>>, ended: bool) -> Step<R> {
        let now = Instant::now();
        let failing = Failing::refused();
        let decision = self.course.decide(call, &failing, now);
        if decision == Decision::Stop || !self.course.could_go_on() {
            return Step::Commit(hold, ended);
        }
        hold.settle(call);
        let first = self.course.has_the_last_word();
        // All of it may be here: then it is the answer when the others fail.
        let word = if ended {
            let Hold { parts, frames, .. } = *hold;
            LastWord::Answer(parts, frames, None)
        } else {
            drop(hold);
            LastWord::Error(Error::of(call, ErrorKind::Refused).into())
        };
        let verdict = self.course.follow(call, &failing, decision, now);
        self.follow(call, verdict, first, word, now)
    }

    /// An answer says that it failed, and has been read as far as it takes to know why.
    pub(super) fn answer_failed(&mut self, call: &Call, answer: FailedAnswer<R>) -> Step<R> {
        let status = answer.parts.status;
        if call.claim(Claim::Observer) {
            call.received(answer.len() as u64);
        }
        let failure = self.classify(status, &answer.parts.headers, answer.legible());
        let cause = Cause::Status {
            status,
            headers: &answer.parts.headers,
            body: answer.legible(),
            failure: &failure,
        };
        let idempotent = self.course.is_idempotent();
        let now = Instant::now();
        let first = self.course.has_the_last_word();
        let failing = Failing::status(cause, status, idempotent);
        match self.course.failed(call, &failing, now) {
            Verdict::Over if first => {
                let (parts, read, rest) = answer.into_parts();
                Step::Word(Box::new(LastWord::Answer(parts, read, rest)))
            }
            // Before any wait, so that the connection is not held while nothing is done with it.
            verdict => {
                let (parts, read) = answer.let_go();
                self.follow(
                    call,
                    verdict,
                    first,
                    LastWord::Answer(parts, read, None),
                    now,
                )
            }
        }
    }

    fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        self.course.dialect().classify(&Answer {
            status,
            headers,
            body,
            now: SystemTime::now(),
        })
    }

    pub(super) fn unready(&mut self, call: &Call, error: BoxError) -> Step<R> {
        let now = Instant::now();
        let first = self.course.has_the_last_word();
        let verdict = self.course.failed(call, &Failing::unready(&*error), now);
        let error = Error::met_by(call, error);
        self.follow(call, verdict, first, LastWord::Error(error), now)
    }

    /// The attempt's time was over before the service could take the request.
    pub(super) fn not_ready_in_time(&mut self, call: &Call, error: Error) -> Step<R> {
        let now = Instant::now();
        let failing = Failing::not_ready_in_time(self.resent);
        let first = self.course.has_the_last_word();
        let verdict = self.course.failed(call, &failing, now);
        self.follow(call, verdict, first, LastWord::Error(error.into()), now)
    }

    /// No byte of a response came. Once for each attempt, a request that met a dying connection is sent
    /// again at once.
    pub(super) fn send_failed(&mut self, call: &Call, error: BoxError) -> Step<R> {
        if !self.resent && self.course.resend(call, &*error, &mut self.request) {
            self.resent = true;
            return Step::Send;
        }
        self.attempt_failed(call, error)
    }

    pub(super) fn attempt_failed(&mut self, call: &Call, error: BoxError) -> Step<R> {
        let now = Instant::now();
        let known = Error::find(&*error);
        let failure;
        // A status layer further in may have made an error of an answer: it is classified as one.
        let failing = match known.and_then(Error::upstream) {
            Some(Upstream {
                status,
                headers,
                body,
                ..
            }) => {
                failure = self.classify(*status, headers, body);
                let cause = Cause::Status {
                    status: *status,
                    headers,
                    body,
                    failure: &failure,
                };
                Some(Failing::status(cause, *status, self.course.is_idempotent()))
            }
            None => Failing::error(&*error),
        };
        let Some(failing) = failing else {
            let at = call.since_start(now);
            call.with_attempt(|attempt| attempt.end(Outcome::Cancelled, at));
            return Step::Word(LastWord::error(error));
        };
        let first = self.course.has_the_last_word();
        let verdict = self.course.failed(call, &failing, now);
        let error = Error::met_by(call, error);
        self.follow(call, verdict, first, LastWord::Error(error), now)
    }

    fn follow(
        &mut self,
        call: &Call,
        verdict: Verdict,
        first: bool,
        word: LastWord<R>,
        now: Instant,
    ) -> Step<R> {
        // It may not have been sent.
        self.request = None;
        if first || self.first_word.is_none() {
            self.first_word = Some(Box::new(word));
        }
        match verdict {
            Verdict::Again(wait) if wait.is_zero() => Step::Go(Stage::Next),
            Verdict::Again(wait) => {
                call.set_phase(Phase::Backoff);
                // The timer may still stand at the limit of the attempt before.
                self.alarm = Alarm::default();
                // A wait fits the deadline, so that the sum does not overflow; if it did, nothing waits.
                Step::Go(Stage::Waiting(now.checked_add(wait).unwrap_or(now)))
            }
            Verdict::Over => self.last_word(call, now),
        }
    }

    pub(super) fn last_word(&mut self, call: &Call, now: Instant) -> Step<R> {
        let deadline = self.course.deadline(call);
        let too_late = || LastWord::error(Error::deadline(call, deadline, now));
        Step::Word(self.first_word.take().unwrap_or_else(too_late))
    }
}

/// The in-band error that the observer saw.
pub(super) fn in_band(call: &Call) -> Failure {
    call.with_state(|state| state.in_band.clone())
        .unwrap_or_else(|| Failure::new(FailureClass::Unknown))
}
