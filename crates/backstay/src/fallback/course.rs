//! Where a call is in its plan, and what follows a failed attempt.

use super::{
    backoff,
    failing::Failing,
    original::Original,
    plan::{Plan, Route},
    policy::{Cause, Decision, Failed, Pause},
};
use crate::{
    body::ReplayableBody,
    call::{Call, Over, Phase},
    error::Error,
    trail::{Attempt, Next, Note, Outcome, PassedOver, Reason, Wait, WaitReason},
    transport::{Delivery, FreshConnection},
};
use backstay_dialect::{Dialect, Plain};
use http::{Request, request::Parts};
use std::{error::Error as StdError, sync::Arc};
use tokio::time::{Duration, Instant};

/// The place of a call in its plan.
pub(super) struct Course<B> {
    pub(super) plan: Arc<Plan>,
    pub(super) original: Option<Original<B>>,
    target: usize,
    /// Retries of this target that were made.
    retries: u32,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another attempt, after this wait, at the target that the course stands at now.
    Again(Duration),
    /// Nothing: the call ends with the first target's last word.
    Over,
}

// === impl Course ===

impl<B: ReplayableBody> Course<B> {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            original: None,
            target: 0,
            retries: 0,
        }
    }

    pub(super) fn route(&self) -> &Route {
        // The index only moves to where a route is.
        &self.plan.routes[self.target.min(self.plan.routes.len() - 1)]
    }

    pub(super) fn dialect(&self) -> &dyn Dialect {
        match &self.original {
            Some(original) => &**original.dialect(),
            None => &Plain,
        }
    }

    /// Whether the method is one whose answers have no body.
    pub(super) fn asks_for_head_only(&self) -> bool {
        self.original.as_ref().is_some_and(Original::is_head)
    }

    /// Whether anything could follow an answer that breaks off, or carries an error.
    pub(super) fn could_follow_an_answer(&self) -> bool {
        let repeatable = self.plan.retry_uncertain && self.is_idempotent();
        self.could_go_on() && (repeatable || self.dialect().carries_model())
    }

    /// Whether what may have been processed may be sent again.
    pub(super) fn is_idempotent(&self) -> bool {
        self.original.as_ref().is_none_or(Original::is_idempotent)
    }

    pub(super) fn is_at_first_target(&self) -> bool {
        self.target == 0
    }

    /// Whether anything could follow the attempt under way.
    pub(super) fn could_go_on(&self) -> bool {
        let replayable = self.original.as_ref().is_some_and(Original::is_replayable);
        replayable && (self.retries < self.route().retries || self.next_target().is_some())
    }

    /// Opens the next attempt and makes the request for it. The first one is given the caller's own head.
    ///
    /// `None` when too little time is left for any attempt, or no target is left that the request can be
    /// made into one for.
    pub(super) fn begin(
        &mut self,
        call: &Call,
        mut head: Option<Parts>,
        now: Instant,
    ) -> Option<Result<Request<B>, Error>> {
        let left = call.deadline().time_left(now);
        if left.is_zero() || left < self.plan.min_attempt {
            for route in &self.plan.routes[self.target..] {
                pass_over(call, route, now, Reason::TooLittleTime);
            }
            return None;
        }
        loop {
            let route = &self.plan.routes[self.target];
            let original = self.original.as_mut()?;
            match original.attempt(&self.plan, route, call, head.take()) {
                Ok(request) => {
                    self.open(call, now);
                    return Some(Ok(request));
                }
                Err(error) if self.target == 0 => return Some(Err(error)),
                // The caller's own choice was asked; what is wrong with a fallback ends nothing.
                Err(_) => {
                    pass_over(call, route, now, Reason::Unsuitable);
                    self.target = self.next_target()?;
                }
            }
        }
    }

    fn open(&self, call: &Call, now: Instant) {
        let (plan, route) = (&self.plan, self.route());
        let Some(original) = &self.original else {
            return;
        };
        let model = route.model.as_ref().map(|model| model.name.clone());
        let attempt = Attempt::new(route.name.clone(), model);
        let limit = limit(plan, self.target, call, now);
        if let Some(stream) = original.stream() {
            call.set_stream(stream);
        }
        call.begin_attempt(attempt, now, limit, |state| {
            state.target_timeouts.clone_from(&route.timeouts);
            if state.dialect.is_none() {
                state.dialect = Some(original.dialect().clone());
            }
        });
        call.set_phase(Phase::Readiness);
    }

    /// The attempt under way once more, over a new connection, when the one that it had been given was lost
    /// before any byte of a response. `None` when it must not be sent again.
    pub(super) fn resend(
        &mut self,
        call: &Call,
        error: &(dyn StdError + 'static),
    ) -> Option<Result<Request<B>, Error>> {
        if Delivery::of(error) != Delivery::maybe_sent(true) {
            return None;
        }
        let plan = self.plan.clone();
        let original = self.original.as_mut()?;
        if !(original.is_replayable() && plan.retry_uncertain && original.is_idempotent()) {
            return None;
        }
        call.with_attempt(|attempt| {
            attempt.note(Note::Resent);
            attempt.uncertain = true;
        });
        call.release_claims();
        call.set_phase(Phase::Readiness);
        let request = original.attempt(&plan, &plan.routes[self.target], call, None);
        Some(request.map(|mut request| {
            request.extensions_mut().insert(FreshConnection);
            request
        }))
    }

    fn untried(&self) -> usize {
        self.plan.routes.len().saturating_sub(self.target + 1)
    }

    fn reserved(&self) -> Duration {
        reserved(&self.plan, self.target)
    }

    /// Writes the failure into the trail, asks the policy, and moves to where the next attempt goes.
    pub(super) fn failed(&mut self, call: &Call, failing: &Failing<'_>, now: Instant) -> Verdict {
        let left = call.deadline().time_left(now);
        let route = self.route();
        let decision = self.plan.policy.decide(&Failed {
            attempt: call.attempt(),
            target: &route.name,
            cause: failing.cause,
            uncertain: failing.uncertain,
            retries_left: route.retries.saturating_sub(self.retries),
            targets_left: self.untried(),
            time_left: left,
        });
        let (next, wait) = match decision {
            Decision::Stop => (Next::Stop(Reason::Policy), None),
            Decision::Skip => (self.skip(failing, Reason::Policy), None),
            Decision::Retry(pause) => self.retry(failing, pause, left),
        };
        self.write(call, failing, next, wait, now);
        match next {
            Next::Retry => {
                self.retries += 1;
                Verdict::Again(wait.map_or(Duration::ZERO, |wait| wait.duration))
            }
            Next::Skip(_) => {
                let Some(target) = self.next_target() else {
                    return Verdict::Over;
                };
                for route in &self.plan.routes[self.target + 1..target] {
                    pass_over(call, route, now, Reason::NotReplayable);
                }
                self.target = target;
                self.retries = 0;
                Verdict::Again(Duration::ZERO)
            }
            Next::Stop(reason) => {
                for route in &self.plan.routes[self.target + 1..] {
                    pass_over(call, route, now, reason);
                }
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
            (Pause::Auto, None) => Wait {
                duration: self.plan.backoff.wait(self.retries, self.plan.random()),
                reason: WaitReason::Backoff,
            },
        }
    }

    /// The next target for this reason, or the reason that there is none.
    fn skip(&self, failing: &Failing<'_>, reason: Reason) -> Next {
        if let Some(reason) = self.no_further_attempt(failing) {
            return Next::Stop(reason);
        }
        if self.next_target().is_some() {
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

    fn next_target(&self) -> Option<usize> {
        let original = self.original.as_ref()?;
        (self.target + 1..self.plan.routes.len()).find(|at| original.suits(&self.plan.routes[*at]))
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

    /// The call was dropped: the trail says what was under way and what was not tried.
    pub(super) fn abandoned(&self, call: &Call, now: Instant) {
        let (outcome, reason) = match call.over() {
            Some(Over::Deadline) => (Outcome::Deadline, Reason::Deadline),
            _ => (Outcome::Cancelled, Reason::Cancelled),
        };
        let at = call.since_start(now);
        let sent = call.phase() != Phase::Readiness;
        call.with_attempt(|attempt| {
            if attempt.outcome == Outcome::Running {
                attempt.end(outcome, at);
                attempt.uncertain = sent;
            }
        });
        if self.original.is_some() {
            for route in self.plan.routes.iter().skip(self.target + 1) {
                pass_over(call, route, now, reason);
            }
        }
    }
}

/// The instant at which an attempt must be over, so that the reserve of the untried targets stays.
fn limit(plan: &Plan, target: usize, call: &Call, now: Instant) -> Option<Instant> {
    let reserve = reserved(plan, target);
    if reserve.is_zero() {
        return None;
    }
    let deadline = call.deadline().instant()?;
    match deadline.checked_sub(reserve) {
        Some(limit) if limit > now && limit.saturating_duration_since(now) >= plan.min_attempt => {
            Some(limit)
        }
        // Less is left than the reserve asks for: what there is is shared evenly.
        _ => {
            let left = deadline.saturating_duration_since(now);
            now.checked_add(left / untried(plan, target).saturating_add(1))
        }
    }
}

fn reserved(plan: &Plan, target: usize) -> Duration {
    plan.reserve.saturating_mul(untried(plan, target))
}

fn untried(plan: &Plan, target: usize) -> u32 {
    u32::try_from(plan.routes.len().saturating_sub(target + 1)).unwrap_or(u32::MAX)
}

fn pass_over(call: &Call, route: &Route, now: Instant, reason: Reason) {
    let passed = PassedOver {
        target: route.name.clone(),
        at: call.since_start(now),
        reason,
    };
    call.with_state(|state| state.trail.pass_over(passed));
}
