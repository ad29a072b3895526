//! An optional instant in one atomic word, so that layers read it without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::{Duration, Instant};

/// Nanoseconds after a base instant that the owner keeps; the largest value is "never".
#[derive(Debug)]
pub(crate) struct AtomicInstant(AtomicU64);

const NEVER: u64 = u64::MAX;

// === impl AtomicInstant ===

impl AtomicInstant {
    pub(crate) fn never() -> Self {
        Self(AtomicU64::new(NEVER))
    }

    pub(crate) fn get(&self, base: Instant) -> Option<Instant> {
        match self.0.load(Relaxed) {
            NEVER => None,
            nanos => base.checked_add(Duration::from_nanos(nanos)),
        }
    }

    pub(crate) fn is_never(&self) -> bool {
        self.0.load(Relaxed) == NEVER
    }

    pub(crate) fn set(&self, base: Instant, at: Option<Instant>) {
        self.0
            .store(at.map_or(NEVER, |at| nanos(base, at)), Relaxed);
    }

    /// Keeps the earlier of what is there and `at`.
    pub(crate) fn lower(&self, base: Instant, at: Instant) {
        self.lower_to(nanos(base, at));
    }

    pub(super) fn lower_to(&self, nanos: u64) {
        self.0.fetch_min(nanos, Relaxed);
    }

    /// The same where one task at a time writes: an operation that locks the word costs twenty of these.
    pub(super) fn lower_alone_to(&self, nanos: u64) {
        if nanos < self.0.load(Relaxed) {
            self.0.store(nanos, Relaxed);
        }
    }
}

/// Half a millennium fits; what does not fit is never.
pub(super) fn nanos(base: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(base).as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keeps_the_earliest() {
        let base = Instant::now();
        let at = AtomicInstant::never();
        assert_eq!(at.get(base), None);
        at.lower(base, base + Duration::from_secs(5));
        at.lower(base, base + Duration::from_secs(9));
        assert_eq!(at.get(base), Some(base + Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_instant_before_the_base_is_the_base() {
        let early = Instant::now();
        let base = early + Duration::from_secs(1);
        let at = AtomicInstant::never();
        at.lower(base, early);
        assert_eq!(at.get(base), Some(base));
    }
}
