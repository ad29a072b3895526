//! What bounds the retries of an outage.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// A bucket of retries, shared by the clones of a service and by whoever is given a clone.
///
/// It starts full. A retry of the same target takes one; an answer that is let through puts a part of one
/// back. In an outage the bucket empties and every call goes to the next target after its first attempt.
///
/// Default: 50 retries, and one more for each ten answers.
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<Bucket>);

#[derive(Debug)]
struct Bucket {
    /// In thousandths of a retry.
    level: AtomicU32,
    capacity: u32,
    deposit: u32,
}

const RETRY: u32 = 1000;
const DEFAULT_RETRIES: u32 = 50;
const DEFAULT_PER_ANSWER: f32 = 0.1;

// === impl RetryBudget ===

impl RetryBudget {
    /// A bucket of so many retries, into which each answer puts back `per_answer` of one, from 0 to 1.
    pub fn new(retries: u32, per_answer: f32) -> Self {
        let capacity = retries.saturating_mul(RETRY);
        // In range by the clamp; not-a-number becomes zero.
        let deposit = (per_answer.clamp(0.0, 1.0) * RETRY as f32) as u32;
        Self(Arc::new(Bucket {
            level: AtomicU32::new(capacity),
            capacity,
            deposit,
        }))
    }

    /// No bound.
    pub fn unlimited() -> Self {
        Self::new(u32::MAX / RETRY, 1.0)
    }

    /// How many retries are left.
    pub fn left(&self) -> u32 {
        self.0.level.load(Relaxed) / RETRY
    }

    pub(super) fn deposit(&self) {
        let bucket = &*self.0;
        // Nearly always full: look before writing to a word that all calls share.
        if bucket.level.load(Relaxed) < bucket.capacity {
            let _ = bucket.level.fetch_update(Relaxed, Relaxed, |level| {
                Some(level.saturating_add(bucket.deposit).min(bucket.capacity))
            });
        }
    }

    pub(super) fn withdraw(&self) -> bool {
        self.0
            .level
            .fetch_update(Relaxed, Relaxed, |level| level.checked_sub(RETRY))
            .is_ok()
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(DEFAULT_RETRIES, DEFAULT_PER_ANSWER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empties_and_refills() {
        let budget = RetryBudget::new(2, 0.5);
        let clone = budget.clone();
        assert!(budget.withdraw() && clone.withdraw());
        assert!(!budget.withdraw());
        budget.deposit();
        assert!(!budget.withdraw());
        clone.deposit();
        assert!(budget.withdraw());
    }

    #[test]
    fn never_overflows() {
        let budget = RetryBudget::new(1, f32::NAN);
        budget.deposit();
        assert_eq!(budget.left(), 1);
        RetryBudget::unlimited().deposit();
    }
}
