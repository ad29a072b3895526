//! One attempt, as the cool-down of its target sees it.

use super::{Circumstances, CoolDownRecord, Health, Rules, Symptom, Why};
use crate::fallback::policy::Cause;
use std::sync::Arc;
use tokio::time::{Duration, Instant};

/// An attempt at a target, until it is known what it says about the target. Dropped before that, it says
/// nothing, and a probe lets the next one try.
#[derive(Debug, Default)]
pub(in super::super) struct Trial {
    record: Option<Arc<dyn CoolDownRecord>>,
    rules: Rules,
    /// Something was held against the target when the attempt began: its answer takes that back.
    noticed: bool,
    /// How often the target had cooled down by then: an answer says nothing about what came later.
    cool_downs: u32,
    probing: bool,
    seen_in: Circumstances,
}

/// Whether a target may be called.
#[derive(Debug)]
pub(in super::super) enum Admission {
    /// It may.
    Open(Trial),
    /// It cools down until then, or waits for the word of a probe.
    Closed(Instant),
}

// === impl Trial ===

impl Trial {
    /// Whether a call that has another target untried may call this one.
    pub(in super::super) fn admit(
        record: Option<&Arc<dyn CoolDownRecord>>,
        rules: Rules,
        now: Instant,
    ) -> Admission {
        Self::begin(record, rules, |health| match health.cooling {
            Some((until, _)) if until > now || health.probing => Err(until),
            Some(_) => Ok(true),
            None => Ok(false),
        })
    }

    /// For the call that met the failure itself: it may come back before the others, but not beside another
    /// probe.
    pub(in super::super) fn admit_again(
        record: Option<&Arc<dyn CoolDownRecord>>,
        rules: Rules,
    ) -> Admission {
        Self::begin(record, rules, |health| match health.cooling {
            Some((until, _)) if health.probing => Err(until),
            Some(_) => Ok(true),
            None => Ok(false),
        })
    }

    /// There is nowhere else to go.
    pub(in super::super) fn admit_at_last(
        record: Option<&Arc<dyn CoolDownRecord>>,
        rules: Rules,
    ) -> Self {
        let admitted = Self::begin(record, rules, |health| {
            Ok(health.cooling.is_some() && !health.probing)
        });
        match admitted {
            Admission::Open(trial) => trial,
            Admission::Closed(_) => Self::default(),
        }
    }

    fn begin(
        record: Option<&Arc<dyn CoolDownRecord>>,
        rules: Rules,
        may: impl Fn(&Health) -> Result<bool, Instant>,
    ) -> Admission {
        let Some(record) = record else {
            return Admission::Open(Self::default());
        };
        let mut trial = Self {
            record: Some(record.clone()),
            rules,
            noticed: false,
            cool_downs: 0,
            probing: false,
            seen_in: Circumstances::default(),
        };
        // Nearly always.
        if record.is_clear() {
            return Admission::Open(trial);
        }
        trial.noticed = true;
        let mut closed = None;
        record.update(&mut |health| match may(health) {
            Ok(probing) => {
                trial.probing = probing;
                trial.cool_downs = health.cool_downs;
                health.probing |= probing;
            }
            Err(until) => closed = Some(until),
        });
        match closed {
            Some(until) => Admission::Closed(until),
            None => Admission::Open(trial),
        }
    }

    /// What a failure after commit has to be seen in the light of.
    pub(in super::super) fn seen_in(&mut self, circumstances: Circumstances) {
        self.seen_in = circumstances;
    }

    /// The answer failed after it was let through.
    pub(in super::super) fn broke(&mut self, cause: &Cause<'_>, now: Instant) {
        self.failed(Symptom::of(cause, self.seen_in), now);
    }

    /// The target has answered: nothing is held against it any more.
    pub(in super::super) fn succeeded(&mut self) {
        let probing = std::mem::take(&mut self.probing);
        if std::mem::take(&mut self.noticed)
            && let Some(record) = &self.record
        {
            let seen = self.cool_downs;
            record.update(&mut |health| {
                if health.cool_downs == seen {
                    *health = Health::default();
                } else if probing {
                    health.probing = false;
                }
            });
        }
    }

    /// The attempt failed. True when the target was cooling down already, for what another call met.
    pub(in super::super) fn failed(&mut self, symptom: Symptom, now: Instant) -> bool {
        let probing = std::mem::take(&mut self.probing);
        let Some(record) = &self.record else {
            return false;
        };
        if symptom == Symptom::None && !probing {
            return false;
        }
        let rules = self.rules;
        let mut before = false;
        record.update(&mut |health| {
            if probing {
                health.probing = false;
            }
            before = health.cooling.is_some();
            health.suffer(symptom, rules, now);
        });
        before
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let (true, Some(record)) = (self.probing, &self.record) {
            record.update(&mut |health| health.probing = false);
        }
    }
}

// === impl Health ===

impl Health {
    fn suffer(&mut self, symptom: Symptom, rules: Rules, now: Instant) {
        let (why, long, hint) = match symptom {
            Symptom::None => return,
            Symptom::Cooling { class, long, hint } => (Why::Failure(class), long, hint),
            Symptom::Failure => {
                self.failures = self.failures.saturating_add(1);
                if self.failures < rules.failures && self.cooling.is_none() {
                    return;
                }
                (Why::Failures, false, None)
            }
            Symptom::SlowStart => {
                self.slow_starts = self.slow_starts.saturating_add(1);
                if self.slow_starts < rules.slow_starts && self.cooling.is_none() {
                    return;
                }
                (Why::SlowStarts, false, None)
            }
        };
        let running = self.cooling.filter(|(until, _)| *until > now);
        // Calls that fail together are one reason to cool down, and not many.
        if running.is_none() {
            self.cool_downs = self.cool_downs.saturating_add(1);
        }
        let length = hint.unwrap_or_else(|| rules.length(long, self.cool_downs - 1));
        // A century, where there is no such instant.
        let until = now.checked_add(length).unwrap_or_else(|| {
            let far = Duration::from_secs(u64::from(u32::MAX));
            now.checked_add(far).unwrap_or(now)
        });
        if running.is_none_or(|(running, _)| running < until) {
            self.cooling = Some((until, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{CoolDowns, DEFAULT_SHORT},
        *,
    };
    use backstay_dialect::FailureClass;

    const BUSY: Symptom = Symptom::Cooling {
        class: FailureClass::Overloaded,
        long: false,
        hint: None,
    };

    fn target(cool_downs: &CoolDowns) -> Arc<dyn CoolDownRecord> {
        cool_downs.record("a").unwrap()
    }

    fn admit(record: &Arc<dyn CoolDownRecord>, now: Instant) -> Option<Trial> {
        match Trial::admit(Some(record), Rules::default(), now) {
            Admission::Open(trial) => Some(trial),
            Admission::Closed(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_and_a_dropped_one_frees_the_slot() {
        let cool_downs = CoolDowns::new();
        let record = target(&cool_downs);
        let start = Instant::now();
        assert!(!admit(&record, start).unwrap().failed(BUSY, start));
        let later = start + DEFAULT_SHORT;
        assert!(admit(&record, later - Duration::from_nanos(1)).is_none());
        let probe = admit(&record, later).unwrap();
        assert!(admit(&record, later).is_none());
        assert!(cool_downs.of("a").unwrap().probing);
        drop(probe);
        let mut probe = admit(&record, later).unwrap();
        assert!(probe.failed(BUSY, later));
        assert_eq!(cool_downs.of("a").unwrap().until, later + 2 * DEFAULT_SHORT);
        let recovered = later + 2 * DEFAULT_SHORT;
        admit(&record, recovered).unwrap().succeeded();
        assert!(record.is_clear());
        assert_eq!(cool_downs.list(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_count_and_an_answer_between_takes_them_back() {
        let cool_downs = CoolDowns::new().failures(3);
        let rules = cool_downs.rules;
        let record = target(&cool_downs);
        let now = Instant::now();
        let fail = || Trial::admit_at_last(Some(&record), rules).failed(Symptom::Failure, now);
        fail();
        fail();
        Trial::admit_at_last(Some(&record), rules).succeeded();
        fail();
        fail();
        assert_eq!(cool_downs.of("a"), None);
        fail();
        assert_eq!(cool_downs.of("a").unwrap().why, Why::Failures);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_says_nothing_of_what_came_after_it_was_asked_for() {
        let cool_downs = CoolDowns::new();
        let record = target(&cool_downs);
        let now = Instant::now();
        admit(&record, now).unwrap().failed(Symptom::Failure, now);
        let mut earlier = admit(&record, now).unwrap();
        admit(&record, now).unwrap().failed(BUSY, now);
        earlier.succeeded();
        assert!(cool_downs.of("a").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_says_nothing_of_the_target_leaves_it_as_it_is() {
        let cool_downs = CoolDowns::new();
        let record = target(&cool_downs);
        let now = Instant::now();
        for _ in 0..100 {
            admit(&record, now).unwrap().failed(Symptom::None, now);
        }
        assert!(record.is_clear());
        admit(&record, now).unwrap().failed(BUSY, now);
        let until = cool_downs.of("a").unwrap().until;
        // A probe that says nothing lets the next one try.
        admit(&record, until).unwrap().failed(Symptom::None, until);
        assert_eq!(cool_downs.of("a").unwrap().until, until);
        assert!(admit(&record, until).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_come_together_do_not_lengthen_each_other() {
        let cool_downs = CoolDowns::new();
        let record = target(&cool_downs);
        let now = Instant::now();
        let mut trials: Vec<_> = (0..9).filter_map(|_| admit(&record, now)).collect();
        let before: Vec<_> = trials
            .iter_mut()
            .map(|trial| trial.failed(BUSY, now))
            .collect();
        assert_eq!(before.iter().filter(|before| !**before).count(), 1);
        assert_eq!(cool_downs.of("a").unwrap().until, now + DEFAULT_SHORT);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_hint_overflows_nothing() {
        let cool_downs = CoolDowns::new();
        let record = target(&cool_downs);
        let now = Instant::now();
        let endless = Symptom::Cooling {
            class: FailureClass::RateLimit,
            long: false,
            hint: Some(Duration::MAX),
        };
        admit(&record, now).unwrap().failed(endless, now);
        assert!(cool_downs.of("a").unwrap().until > now);
    }
}
