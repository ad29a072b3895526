//! Where a call is in its plan.

use super::{
    choice::{Untried, pass_over},
    cool_down::{Admission, Circumstances, Trial},
    original::Original,
    plan::Plan,
    route::Route,
};
use crate::{
    body::{ReplayableBody, Segments},
    call::{Call, Over, Phase},
    deadline::Deadline,
    error::{Error, ErrorKind, RequestProblem},
    trail::{Note, Outcome, Reason},
    transport::{Delivery, FreshConnection},
};
use backstay_dialect::{Dialect, Plain};
use http::{HeaderMap, Request};
use std::{error::Error as StdError, sync::Arc};
use tokio::time::{Duration, Instant};

/// The place of a call in its plan.
pub(super) struct Course {
    pub(super) plan: Arc<Plan>,
    pub(super) original: Option<Original>,
    pub(super) untried: Untried,
    /// Where the course stands. Meaningless before the first attempt.
    pub(super) target: usize,
    /// The first target that an attempt was made at.
    pub(super) first: Option<usize>,
    /// The next attempt is at a target that is still to be chosen.
    pub(super) moving: bool,
    /// Retries of this target that were made.
    pub(super) retries: u32,
    /// The attempt under way, as the cool-down of its target sees it.
    pub(super) trial: Trial,
    /// If the target cools down, it is for what this call met there.
    pub(super) cooled_here: bool,
    /// All of this is one attempt of a fallback layer further out, which keeps time for its own targets: what it
    /// left this one.
    within: Option<Instant>,
}

// === impl Course ===

impl Course {
    pub(super) fn new(plan: Arc<Plan>, call: &Call) -> Self {
        Self {
            within: call.attempt_limit(),
            plan,
            original: None,
            untried: Untried::default(),
            target: 0,
            first: None,
            moving: true,
            retries: 0,
            trial: Trial::default(),
            cooled_here: false,
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

    /// Whether the call ends with what this target says, if all fail: the first in the plan, or the first
    /// that was asked, while the other was passed over.
    pub(super) fn has_the_last_word(&self) -> bool {
        self.target == 0 || Some(self.target) == self.first
    }

    /// Whether anything could follow the attempt under way.
    pub(super) fn could_go_on(&self) -> bool {
        let replayable = self.original.as_ref().is_some_and(Original::is_replayable);
        replayable && (self.retries < self.route().retries || self.untried.count() > 0)
    }

    /// When all attempts must be over.
    pub(super) fn deadline(&self, call: &Call) -> Deadline {
        call.deadline().earlier(Deadline::from_option(self.within))
    }

    /// All of it is over: no target of this layer needs the time any more that was kept for it.
    pub(super) fn lift_attempt_limit(&self, call: &Call) {
        call.set_attempt_limit(self.within);
    }

    /// Reads the request, and finds out which targets there are for it. `whole` is its body, where that is in
    /// memory.
    pub(super) fn start<B>(
        &mut self,
        call: &Call,
        request: &Request<B>,
        whole: Option<Segments>,
    ) -> Result<(), Error> {
        let plan = &self.plan;
        let original = Original::new(plan, request, whole);
        let original = self.original.insert(original);
        original.read(plan, call, request.uri())?;
        let pinned = match (&plan.pins, original.conversation) {
            (Some(pins), Some(conversation)) => pins.target(conversation).and_then(|target| {
                let mut routes = plan.routes.iter();
                routes.position(|route| route.name == target)
            }),
            _ => None,
        };
        self.untried = Untried::new(
            plan,
            |route| original.suits(route),
            |route| original.fits(route),
            pinned,
        );
        Ok(())
    }

    /// Opens the next attempt and makes the request for it, in its place. The first one is given the caller's
    /// own, which stands there.
    ///
    /// `None` when too little time is left for any attempt, or no target is left that the request can be
    /// made into one for. An error when nothing has been sent and nothing can be.
    pub(super) fn begin<B: ReplayableBody>(
        &mut self,
        call: &Call,
        place: &mut Option<Request<B>>,
        now: Instant,
    ) -> Option<Result<(), Error>> {
        let left = self.deadline(call).time_left(now);
        if left.is_zero() || left < self.plan.min_attempt {
            if !self.moving {
                pass_over(call, self.route(), now, Reason::TooLittleTime);
            }
            self.untried
                .give_up(&self.plan, call, now, Reason::TooLittleTime);
            return None;
        }
        let mut fault = None;
        loop {
            if !self.stay(call, now) {
                let Some((target, trial)) = self.untried.next(&self.plan, call, now) else {
                    self.untried
                        .give_up(&self.plan, call, now, Reason::Unsuitable);
                    return fault.map(Err);
                };
                self.target = target;
                self.trial = trial;
                self.retries = 0;
                self.cooled_here = false;
            }
            self.moving = true;
            let route = &self.plan.routes[self.target];
            let original = self.original.as_mut()?;
            match original.attempt(&self.plan, route, call, place) {
                Ok(()) => {
                    self.moving = false;
                    self.open(call, now);
                    return Some(Ok(()));
                }
                // The caller's own choice was asked; what is wrong with a fallback ends nothing. Nor does a
                // signature that cannot be made just now, as long as there is another target.
                Err(error) => {
                    self.trial = Trial::default();
                    let unsigned = ErrorKind::Request(RequestProblem::Unsigned);
                    if self.first.is_none() && self.target == 0 && error.kind() != unsigned {
                        return Some(Err(error));
                    }
                    pass_over(call, route, now, Reason::Unsuitable);
                    if self.first.is_none() {
                        fault = fault.or(Some(error));
                    }
                }
            }
        }
    }

    /// Whether the next attempt is at the target where the course stands: a retry. Of one that cools down
    /// there is one attempt at a time, as long as there is another target.
    fn stay(&mut self, call: &Call, now: Instant) -> bool {
        if self.moving {
            return false;
        }
        let plan = &*self.plan;
        let route = &plan.routes[self.target];
        match Trial::admit_again(route.record.as_ref(), plan.cool_down_rules) {
            Admission::Open(trial) => self.trial = trial,
            Admission::Closed(_) if self.untried.has_open(plan, now) => {
                pass_over(call, route, now, Reason::CoolingDown);
                return false;
            }
            Admission::Closed(_) => {
                self.trial = Trial::admit_at_last(route.record.as_ref(), plan.cool_down_rules);
            }
        }
        true
    }

    fn open(&mut self, call: &Call, now: Instant) {
        self.first = self.first.or(Some(self.target));
        let (plan, route) = (&self.plan, self.route());
        let Some(original) = &self.original else {
            return;
        };
        let model = route.model.as_ref().map(|model| model.name.clone());
        let limit = limit(plan, self.untried.count(), self.deadline(call), now).or(self.within);
        let patched = route.patch.as_ref().and_then(|patch| patch.stream());
        if let Some(stream) = patched.or(original.stream()) {
            call.set_stream(stream);
        }
        call.begin_attempt((route.name.clone(), model), now, limit, |state| {
            state.target_timeouts.clone_from(&route.timeouts);
            state.dialect = Some(original.dialect().clone());
        });
        call.set_phase(Phase::Readiness);
    }

    /// Writes down the provider's id for the request. Ids are short and plain; anything else is none.
    pub(super) fn note_request_id(&self, call: &Call, headers: &HeaderMap) {
        let names = self.dialect().request_id_headers();
        let id = names
            .iter()
            .filter_map(|name| headers.get(name))
            .find_map(|id| backstay_dialect::response_id(id.as_bytes()));
        if let Some(id) = id {
            call.with_attempt(|attempt| attempt.request_id = Some(id.into()));
        }
    }

    /// The answer is let through. `proven`: the target has shown that it answers, and not only that it has
    /// begun to.
    pub(super) fn served(&mut self, proven: bool) -> Trial {
        if proven {
            self.trial.succeeded();
        }
        if let (Some(pins), Some(original)) = (&self.plan.pins, &self.original)
            && let Some(conversation) = original.conversation
        {
            pins.pin(conversation, &self.route().name);
        }
        self.trial.seen_in(self.circumstances());
        std::mem::take(&mut self.trial)
    }

    pub(super) fn circumstances(&self) -> Circumstances {
        let route = self.route();
        Circumstances {
            own_credentials: route.own_credentials,
            names_model: route.model.is_some(),
            own_clocks: self
                .original
                .as_ref()
                .is_some_and(|original| original.own_clocks),
        }
    }

    /// The attempt under way once more, over a new connection, when the one that it had been given was lost
    /// before any byte of a response. False when it must not be sent again, or cannot be made again.
    pub(super) fn resend<B: ReplayableBody>(
        &mut self,
        call: &Call,
        error: &(dyn StdError + 'static),
        place: &mut Option<Request<B>>,
    ) -> bool {
        if Delivery::of(error) != Delivery::maybe_sent(true) {
            return false;
        }
        let plan = &*self.plan;
        let Some(original) = self.original.as_mut() else {
            return false;
        };
        if !(original.is_replayable() && plan.retry_uncertain && original.is_idempotent()) {
            return false;
        }
        let made = original.attempt(plan, &plan.routes[self.target], call, place);
        let (Ok(()), Some(request)) = (made, place) else {
            return false;
        };
        request.extensions_mut().insert(FreshConnection);
        call.with_attempt(|attempt| {
            attempt.note(Note::Resent);
            attempt.uncertain = true;
        });
        call.release_claims();
        call.set_phase(Phase::Readiness);
        true
    }

    /// The call was dropped: the trail says what was under way and what was not tried.
    pub(super) fn abandoned(&mut self, call: &Call, now: Instant) {
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
        self.untried.give_up(&self.plan, call, now, reason);
    }
}

/// The instant at which an attempt must be over, so that the reserve of the untried targets stays.
fn limit(plan: &Plan, untried: u32, deadline: Deadline, now: Instant) -> Option<Instant> {
    let reserve = reserved(plan, untried);
    if reserve.is_zero() {
        return None;
    }
    let deadline = deadline.instant()?;
    match deadline.checked_sub(reserve) {
        Some(limit) if limit > now && limit.saturating_duration_since(now) >= plan.min_attempt => {
            Some(limit)
        }
        // Less is left than the reserve asks for: what there is is shared evenly.
        _ => {
            let left = deadline.saturating_duration_since(now);
            now.checked_add(left / untried.saturating_add(1))
        }
    }
}

pub(super) fn reserved(plan: &Plan, untried: u32) -> Duration {
    plan.reserve.saturating_mul(untried)
}
