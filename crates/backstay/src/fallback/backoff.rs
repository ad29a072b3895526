//! How long to wait when the server does not say.

use tokio::time::Duration;

/// Exponential back-off with full jitter: a wait between zero and `base` doubled for each retry, at most
/// `cap`.
///
/// Default: 500 ms and 8 s, as the official SDKs have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

/// A server's hint is lengthened by up to this part of it, so that clients do not come back together.
const HINT_JITTER: f64 = 0.1;
/// And by no more than this.
const HINT_JITTER_CAP: Duration = Duration::from_secs(2);

// === impl Backoff ===

impl Backoff {
    /// The longest first wait, and the longest wait of all.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The wait before retry `number`, from 0; `random` is from 0 to 1.
    pub(super) fn wait(&self, number: u32, random: f64) -> Duration {
        let doubled = self
            .base
            .saturating_mul(1_u32.checked_shl(number).unwrap_or(u32::MAX));
        doubled.min(self.cap).mul_f64(random.clamp(0.0, 1.0))
    }

    pub(super) const fn is_zero(&self) -> bool {
        self.base.is_zero()
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(8))
    }
}

/// The wait that a server asked for; never shorter.
pub(super) fn hinted(hint: Duration, random: f64) -> Duration {
    let jitter = hint.mul_f64(HINT_JITTER * random.clamp(0.0, 1.0));
    hint.saturating_add(jitter.min(HINT_JITTER_CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_never_overflows() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(0, 1.0), Duration::from_millis(500));
        assert_eq!(backoff.wait(2, 1.0), Duration::from_secs(2));
        assert_eq!(backoff.wait(31, 1.0), Duration::from_secs(8));
        assert_eq!(backoff.wait(u32::MAX, 1.0), Duration::from_secs(8));
        assert_eq!(backoff.wait(9, 0.0), Duration::ZERO);
    }

    #[test]
    fn a_hint_is_never_shortened() {
        let hint = Duration::from_secs(3);
        assert_eq!(hinted(hint, 0.0), hint);
        assert!(hinted(hint, 1.0) > hint);
        assert!(hinted(Duration::from_secs(86_400), 1.0) <= Duration::from_secs(86_402));
    }
}
