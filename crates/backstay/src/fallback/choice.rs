//! Which target is tried next.

use super::{
    cool_down::{Admission, Trial},
    plan::{MAX_TARGETS, Plan},
    route::Route,
};
use crate::{
    call::Call,
    trail::{PassedOver, Reason},
};
use tokio::time::Instant;

/// The targets of a call that have not been tried, as bits by their place in the plan.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Untried {
    /// May be tried.
    left: u64,
    /// Will not be: the request cannot be made into one for them.
    unfit: u64,
    /// Will not be: their window does not hold the request.
    narrow: u64,
    /// The trail says already that they were passed over for cooling down.
    told: u64,
    /// Tried before the others.
    pinned: Option<usize>,
}

// === impl Untried ===

impl Untried {
    /// All targets of a plan. Where no window holds the request, the first target is asked all the same: its
    /// provider judges.
    pub(super) fn new(
        plan: &Plan,
        suits: impl Fn(&Route) -> bool,
        holds: impl Fn(&Route) -> bool,
        pinned: Option<usize>,
    ) -> Self {
        let mut untried = Self {
            pinned,
            ..Self::default()
        };
        for (at, route) in plan.routes.iter().enumerate() {
            // What is wrong with the first, the caller's own choice, is an error.
            if at > 0 && !suits(route) {
                untried.unfit |= bit(at);
            } else if plan.has_windows && !holds(route) {
                untried.narrow |= bit(at);
            } else {
                untried.left |= bit(at);
            }
        }
        if untried.left == 0 {
            untried.left = bit(0);
            untried.narrow &= !bit(0);
        }
        untried
    }

    pub(super) fn count(self) -> u32 {
        self.left.count_ones()
    }

    /// Takes the next target out, and opens the attempt at it as its cool-down sees it.
    ///
    /// One that cools down is passed over while another is left; among those the one whose time is over first
    /// is next.
    pub(super) fn next(
        &mut self,
        plan: &Plan,
        call: &Call,
        now: Instant,
    ) -> Option<(usize, Trial)> {
        let mut soonest: Option<(Instant, usize)> = None;
        let mut cooling = 0;
        let pinned = self.pinned.take();
        let order = pinned.into_iter().chain(0..plan.routes.len());
        for at in order.filter(|at| self.left & bit(*at) != 0) {
            let record = plan.routes[at].record.as_ref();
            match Trial::admit(record, plan.cool_down_rules, now) {
                Admission::Open(trial) => {
                    self.take(at, cooling, plan, call, now);
                    return Some((at, trial));
                }
                Admission::Closed(until) => {
                    cooling |= bit(at);
                    if soonest.is_none_or(|(earliest, _)| until < earliest) {
                        soonest = Some((until, at));
                    }
                }
            }
        }
        let (_, at) = soonest?;
        self.take(at, cooling, plan, call, now);
        let record = plan.routes[at].record.as_ref();
        Some((at, Trial::admit_at_last(record, plan.cool_down_rules)))
    }

    /// Whether a target is left that does not cool down.
    pub(super) fn has_open(self, plan: &Plan, now: Instant) -> bool {
        plan.routes.iter().enumerate().any(|(at, route)| {
            self.left & bit(at) != 0
                && route.record.as_ref().is_none_or(|record| {
                    let mut open = record.is_clear();
                    if !open {
                        record.update(&mut |health| {
                            open = health
                                .cooling
                                .is_none_or(|(until, _)| until <= now && !health.probing);
                        });
                    }
                    open
                })
        })
    }

    /// Leaves only targets that declare a window larger than this one.
    pub(super) fn keep_larger(&mut self, plan: &Plan, than: Option<u64>) {
        for (at, route) in plan.routes.iter().enumerate() {
            if self.left & bit(at) != 0 && route.window <= than {
                self.left &= !bit(at);
                self.narrow |= bit(at);
            }
        }
    }

    /// Nothing more is tried, for this reason.
    pub(super) fn give_up(&mut self, plan: &Plan, call: &Call, now: Instant, reason: Reason) {
        for (at, route) in plan.routes.iter().enumerate() {
            if self.narrow & bit(at) != 0 {
                pass_over(call, route, now, Reason::ContextWindow);
            } else if (self.left | self.unfit) & bit(at) != 0 {
                pass_over(call, route, now, reason);
            }
        }
        *self = Self::default();
    }

    /// The trail learns of the targets that this one is preferred to.
    fn take(&mut self, chosen: usize, cooling: u64, plan: &Plan, call: &Call, now: Instant) {
        self.left &= !bit(chosen);
        let cooling = cooling & !bit(chosen) & !self.told;
        self.told |= cooling;
        // Nearly always there is none.
        if cooling | self.unfit | self.narrow == 0 {
            return;
        }
        for (at, route) in plan.routes.iter().enumerate() {
            if cooling & bit(at) != 0 {
                pass_over(call, route, now, Reason::CoolingDown);
            } else if at < chosen
                && let Some(reason) = self.settle(at)
            {
                pass_over(call, route, now, reason);
            }
        }
    }

    /// Why this target will never be tried; said once.
    fn settle(&mut self, at: usize) -> Option<Reason> {
        for (set, reason) in [
            (&mut self.unfit, Reason::Unsuitable),
            (&mut self.narrow, Reason::ContextWindow),
        ] {
            if *set & bit(at) != 0 {
                *set &= !bit(at);
                return Some(reason);
            }
        }
        None
    }
}

fn bit(at: usize) -> u64 {
    1 << (at % MAX_TARGETS)
}

pub(super) fn pass_over(call: &Call, route: &Route, now: Instant, reason: Reason) {
    let passed = PassedOver {
        target: route.name.clone(),
        at: call.since_start(now),
        reason,
    };
    call.with_state(|state| state.trail.pass_over(passed));
}
