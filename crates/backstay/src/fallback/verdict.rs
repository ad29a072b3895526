//! What follows a failed attempt.

use super::{
    backoff,
    cool_down::{Symptom, Trial},
    course::{Course, reserved},
    failing::Failing,
    policy::{Cause, Decision, Failed, Pause},
};
use crate::{
    call::Call,
    trail::{Next, Reason, Wait, WaitReason},
};
use tokio::time::{Duration, Instant};

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another attempt, after this wait, at the target that the course stands at now.
    Again(Duration),
    /// Nothing: the call ends with the first target's last word.
    Over,
}

// === impl Course ===

impl Course {
    fn reserved(&self) -> Duration {
        reserved(&self.plan, self.untried.count())
    }

    /// Writes the failure into the trail, asks the policy, and says what follows.
    pub(super) fn failed(&mut self, call: &Call, failing: &Failing<'_>, now: Instant) -> Verdict {
        let decision = self.decide(call, failing, now);
        self.follow(call, failing, decision, now)
    }

    /// What the policy says. Nothing is written down yet.
    pub(super) fn decide(&self, call: &Call, failing: &Failing<'_>, now: Instant) -> Decision {
        let route = self.route();
        self.plan.policy.decide(&Failed {
            attempt: call.attempt(),
            target: &route.name,
            cause: failing.cause,
            uncertain: failing.uncertain,
            retries_left: route.retries.saturating_sub(self.retries),
            targets_left: self.untried.count() as usize,
            time_left: self.deadline(call).time_left(now),
        })
    }

    pub(super) fn follow(
        &mut self,
        call: &Call,
        failing: &Failing<'_>,
        decision: Decision,
        now: Instant,
    ) -> Verdict {
        let symptom = if failing.unready {
            Symptom::None
        } else {
            Symptom::of(&failing.cause, self.circumstances())
        };
        let cooling = self.trial.failed(symptom, now);
        self.cooled_here |= !cooling;
        self.trial = Trial::default();
        let left = self.deadline(call).time_left(now);
        let (next, wait) = match decision {
            Decision::Stop => (Next::Stop(Reason::Policy), None),
            Decision::Skip => (self.skip(failing, Reason::Policy), None),
            Decision::LargerWindow => {
                self.untried.keep_larger(&self.plan, self.route().window);
                (self.skip(failing, Reason::ContextWindow), None)
            }
            Decision::Retry(_) if !self.cooled_here && self.untried.has_open(&self.plan, now) => {
                (self.skip(failing, Reason::CoolingDown), None)
            }
            Decision::Retry(pause) => self.retry(failing, pause, left),
        };
        self.write(call, failing, next, wait, now);
        match next {
            Next::Retry => {
                self.retries += 1;
                Verdict::Again(wait.map_or(Duration::ZERO, |wait| wait.duration))
            }
            Next::Skip(_) => {
                self.moving = true;
                Verdict::Again(Duration::ZERO)
            }
            Next::Stop(reason) => {
                self.untried.give_up(&self.plan, call, now, reason);
                Verdict::Over
            }
        }
    }

    /// A retry of this target, or what else there is when that is not possible.
    fn retry(&self, failing: &Failing<'_>, pause: Pause, left: Duration) -> (Next, Option<Wait>) {
        if let Some(reason) = self.no_further_attempt(failing) {
            return (Next::Stop(reason), None);
        }
        if self.retries >= self.route().retries {
            return (self.skip(failing, Reason::RetriesUsed), None);
        }
        let wait = self.wait(failing, pause);
        let needed = wait
            .duration
            .saturating_add(self.plan.min_attempt)
            .saturating_add(self.reserved());
        if wait.duration > self.plan.max_wait || needed >= left {
            return (self.skip(failing, Reason::WaitDoesNotFit), None);
        }
        if !self.plan.budget.withdraw() {
            return (self.skip(failing, Reason::BudgetEmpty), None);
        }
        (Next::Retry, Some(wait))
    }

    fn wait(&self, failing: &Failing<'_>, pause: Pause) -> Wait {
        let hinted = failing.cause.hint().after.map(|hint| Wait {
            duration: backoff::hinted(hint, self.plan.random()),
            reason: WaitReason::ServerHint,
        });
        match (pause, hinted) {
            (Pause::AtLeast(least), hinted) => match hinted {
                Some(wait) if wait.duration > least => wait,
                _ => Wait {
                    duration: least,
                    reason: WaitReason::Policy,
                },
            },
            (Pause::Auto, Some(wait)) => wait,
            (Pause::Auto, None) => {
                let random = self.plan.random();
                let backoff = self.plan.backoff.wait(self.retries, random);
                // On top of what is least, with jitter, so that clients do not come back together.
                let least = failing.cause.least_wait();
                Wait {
                    duration: backoff.max(backoff::hinted(least, random)),
                    reason: WaitReason::Backoff,
                }
            }
        }
    }

    /// The next target for this reason, or the reason that there is none.
    fn skip(&self, failing: &Failing<'_>, reason: Reason) -> Next {
        if let Some(reason) = self.no_further_attempt(failing) {
            return Next::Stop(reason);
        }
        if self.untried.count() > 0 {
            Next::Skip(reason)
        } else {
            Next::Stop(reason)
        }
    }

    /// Why nothing may be sent again, anywhere.
    fn no_further_attempt(&self, failing: &Failing<'_>) -> Option<Reason> {
        if failing.unready {
            return Some(Reason::Unready);
        }
        let original = self.original.as_ref()?;
        if !original.is_replayable() {
            return Some(Reason::NotReplayable);
        }
        let allowed = self.plan.retry_uncertain && original.is_idempotent();
        (failing.uncertain && !allowed).then_some(Reason::Uncertain)
    }

    fn write(
        &self,
        call: &Call,
        failing: &Failing<'_>,
        next: Next,
        wait: Option<Wait>,
        now: Instant,
    ) {
        let failure = match &failing.cause {
            Cause::Status { failure, .. } | Cause::InBand(failure) => Some(*failure),
            _ => None,
        };
        let at = call.since_start(now);
        call.with_attempt(|attempt| {
            attempt.end(failing.outcome, at);
            attempt.uncertain |= failing.uncertain;
            attempt.next = Some(next);
            attempt.wait = wait;
            if let Some(failure) = failure {
                attempt.class = Some(failure.class);
                attempt.code.clone_from(&failure.code);
            }
        });
        tracing::debug!(
            attempt.target = &*self.route().name,
            outcome = failing.outcome.as_str(),
            ?next,
            wait = ?wait.map(|wait| wait.duration),
            "attempt failed"
        );
    }
}
