//! Targets that are passed over for a while, because they said so or kept failing.
//!
//! A target cools down after a failure that says something about the target itself:
//!
//! | what happened | for how long |
//! |---|---|
//! | any failure of the server's with a hint (`Retry-After` and its family) | as long as the server asked for |
//! | a rate limit, an overloaded server | [`short`](CoolDowns::short): 5 s, doubled with each probe that fails, up to 60 s |
//! | a quota that is used up; a key of the target's own that is refused; a model that is gone | [`long`](CoolDowns::long): 5 min, doubled up to 1 h |
//! | [`failures`](CoolDowns::failures) in a row (5): server errors, lost connections, truncated or empty answers, clocks | `short` |
//! | [`slow_starts`](CoolDowns::slow_starts) in a row (3): `first_token` or `first_content` ran out | `short` |
//!
//! Nothing else does: not the caller's own faults, a context that is too long, a content policy, a
//! cancellation, the deadline, an `attempt` clock (which may be the deadline's share), a clock that the
//! request itself brought, or a key of the caller's that was passed through.
//!
//! # What it changes
//!
//! A target that cools down is passed over while another target of the call is untried and is not
//! cooling down; the trail says so. It is never in the way of the last target left: when only such targets
//! are left, the one whose time is over first is asked. The call that met the failure may still retry its
//! target, as the policy says; calls that find the target cooling down go on to the next at once.
//!
//! When the time is over one call at a time is let through, as a probe. An answer that is let through to its
//! caller ends the cool-down; a failure that speaks of the target prolongs it; a probe that is dropped, before
//! either, lets the next call try.
//!
//! # Sharing
//!
//! The clones of a service share their cool-downs, and so do the services that are given clones of one
//! [`CoolDowns`]; targets of the same name are then the same target. Where each caller brings its own key,
//! the rate limit of one is not that of another: give each tenant a `CoolDowns`, or turn them
//! [off](CoolDowns::off).
//!
//! ```
//! use backstay::fallback::{CoolDowns, Targets};
//!
//! let cool_downs = CoolDowns::new();
//! let targets = Targets::new("gpt-4o").then("gpt-4o-mini").cool_downs(cool_downs.clone());
//! // Later, in a status page:
//! for cooling in cool_downs.list() {
//!     println!("{} until {:?}: {}", cooling.target, cooling.until, cooling.why);
//! }
//! # drop(targets);
//! ```
//!
//! # Cost
//!
//! One relaxed read of an atomic for each attempt, as long as nothing has failed; a short lock otherwise.

mod store;
mod symptom;
mod trial;

pub use self::store::{CoolDownRecord, CoolDownStore, Health, Why};

pub(super) use self::{
    symptom::{Circumstances, Symptom},
    trial::{Admission, Trial},
};

use self::store::InMemory;
use crate::error::BuildError;
use std::{fmt, sync::Arc};
use tokio::time::{Duration, Instant};

/// The cool-downs of targets: a handle; clones share them. See the [module](self).
#[derive(Clone)]
#[must_use]
pub struct CoolDowns {
    store: Option<Arc<dyn CoolDownStore>>,
    pub(super) rules: Rules,
}

/// A target that is passed over for now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoolDown {
    /// The name of the target.
    pub target: Arc<str>,
    /// Why it is passed over.
    pub why: Why,
    /// Until then; from then on one call at a time is let through as a probe.
    pub until: Instant,
    /// Such a call is under way.
    pub probing: bool,
}

/// How long, and after how many failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) short: Duration,
    pub(super) long: Duration,
    pub(super) failures: u32,
    pub(super) slow_starts: u32,
}

/// The first cool-down of a target that is busy or kept failing.
const DEFAULT_SHORT: Duration = Duration::from_secs(5);
/// The longest of those, unless a longer one was set: a recovered target waits no longer for its probe.
const MAX_SHORT: Duration = Duration::from_secs(60);
/// The first cool-down of a target that somebody has to mend: pay, change a key, name another model.
const DEFAULT_LONG: Duration = Duration::from_secs(5 * 60);
/// The longest of those, unless a longer one was set.
const MAX_LONG: Duration = Duration::from_secs(60 * 60);
/// So many failures in a row; Envoy's outlier detection has the same number.
const DEFAULT_FAILURES: u32 = 5;
/// So many first tokens in a row that did not come in time: each has cost its call the whole clock.
const DEFAULT_SLOW_STARTS: u32 = 3;

// === impl CoolDowns ===

impl CoolDowns {
    /// In memory.
    pub fn new() -> Self {
        Self::in_store(InMemory::default())
    }

    /// In a store of the user's: one that a fleet of processes shares, say.
    pub fn in_store(store: impl CoolDownStore) -> Self {
        Self {
            store: Some(Arc::new(store)),
            rules: Rules::default(),
        }
    }

    /// None: no target is ever passed over for what happened in another call.
    pub fn off() -> Self {
        Self {
            store: None,
            rules: Rules::default(),
        }
    }

    /// The first cool-down of a target that is busy or kept failing.
    pub fn short(mut self, first: Duration) -> Self {
        self.rules.short = first;
        self
    }

    /// The first cool-down of a target whose quota, key or model is gone.
    pub fn long(mut self, first: Duration) -> Self {
        self.rules.long = first;
        self
    }

    /// After how many failures in a row a target cools down although none of them said so.
    pub fn failures(mut self, in_a_row: u32) -> Self {
        self.rules.failures = in_a_row;
        self
    }

    /// After how many first tokens in a row that did not come in time a target cools down.
    pub fn slow_starts(mut self, in_a_row: u32) -> Self {
        self.rules.slow_starts = in_a_row;
        self
    }

    /// The targets that are passed over for now, or wait for their probe, by name.
    pub fn list(&self) -> Vec<CoolDown> {
        let Some(store) = &self.store else {
            return Vec::new();
        };
        let mut cooling: Vec<_> = store
            .records()
            .into_iter()
            .filter_map(|(target, record)| cool_down(target, &*record))
            .collect();
        cooling.sort_by(|one, other| one.target.cmp(&other.target));
        cooling
    }

    /// The cool-down of one target.
    pub fn of(&self, target: &str) -> Option<CoolDown> {
        self.list()
            .into_iter()
            .find(|cooling| &*cooling.target == target)
    }

    /// Forgets what is known of a target: somebody has mended it.
    pub fn forget(&self, target: &str) {
        if let Some(store) = &self.store {
            let records = store.records();
            if let Some((_, record)) = records.iter().find(|(name, _)| &**name == target) {
                record.update(&mut |health| *health = Health::default());
            }
        }
    }

    pub(super) fn record(&self, target: &str) -> Option<Arc<dyn CoolDownRecord>> {
        Some(self.store.as_ref()?.record(target))
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        for (setting, zero) in [
            ("cool_downs short", self.rules.short.is_zero()),
            ("cool_downs long", self.rules.long.is_zero()),
        ] {
            if zero {
                return Err(BuildError::ZeroDuration { setting });
            }
        }
        for (setting, number) in [
            ("cool_downs failures", self.rules.failures),
            ("cool_downs slow_starts", self.rules.slow_starts),
        ] {
            if number == 0 {
                return Err(BuildError::Zero { setting });
            }
        }
        Ok(())
    }
}

fn cool_down(target: Arc<str>, record: &dyn CoolDownRecord) -> Option<CoolDown> {
    let mut found = None;
    record.update(&mut |health| found = health.cooling.map(|cooling| (cooling, health.probing)));
    let ((until, why), probing) = found?;
    Some(CoolDown {
        target,
        why,
        until,
        probing,
    })
}

impl Default for CoolDowns {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CoolDowns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoolDowns")
            .field("cooling", &self.list())
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

// === impl Rules ===

impl Rules {
    /// The length of a cool-down that nobody gave a length, after so many in a row.
    fn length(&self, long: bool, before: u32) -> Duration {
        let (first, most) = if long {
            (self.long, MAX_LONG)
        } else {
            (self.short, MAX_SHORT)
        };
        let doubled = first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
        doubled.min(most.max(first))
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            short: DEFAULT_SHORT,
            long: DEFAULT_LONG,
            failures: DEFAULT_FAILURES,
            slow_starts: DEFAULT_SLOW_STARTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_doubles_up_to_its_most_and_never_overflows() {
        let rules = Rules::default();
        assert_eq!(rules.length(false, 0), DEFAULT_SHORT);
        assert_eq!(rules.length(false, 2), 4 * DEFAULT_SHORT);
        assert_eq!(rules.length(false, u32::MAX), MAX_SHORT);
        assert_eq!(rules.length(true, 1), 2 * DEFAULT_LONG);
        assert_eq!(rules.length(true, 31), MAX_LONG);
        let day = Duration::from_secs(86_400);
        let slow = Rules {
            short: day,
            long: Duration::MAX,
            ..rules
        };
        assert_eq!(slow.length(false, 3), day);
        assert_eq!(slow.length(true, 3), Duration::MAX);
    }
}
