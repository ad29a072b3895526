//! The clocks of one attempt while they run.

use super::{Clock, Clocks};
use tokio::time::{Duration, Instant};

/// Which clock runs out when. What has been reached is cleared, so that it can run out no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    started: Instant,
    headers: Option<Duration>,
    first_token: Option<Duration>,
    attempt: Option<Duration>,
    idle: Option<Since>,
    liveness: Option<Since>,
}

/// A clock that something restarts.
#[derive(Clone, Copy, Debug)]
struct Since {
    limit: Duration,
    /// Nothing to count from yet.
    from: Option<Instant>,
}

/// A clock that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) clock: Clock,
    pub(super) limit: Duration,
    pub(super) elapsed: Duration,
}

// === impl Limits ===

impl Limits {
    pub(super) fn new(clocks: &Clocks, started: Instant) -> Self {
        let since = |clock| clocks.limit(clock).map(|limit| Since { limit, from: None });
        Self {
            started,
            headers: clocks.limit(Clock::Headers),
            first_token: clocks.limit(Clock::FirstToken),
            attempt: clocks.limit(Clock::Attempt),
            idle: since(Clock::Idle),
            liveness: since(Clock::Liveness),
        }
    }

    /// The attempt ends no later than `end`, whatever its own clock says.
    pub(super) fn within(mut self, end: Option<Instant>) -> Self {
        if let Some(end) = end {
            let most = end.saturating_duration_since(self.started);
            self.attempt = Some(self.attempt.map_or(most, |limit| limit.min(most)));
        }
        self
    }

    pub(super) fn headers_came(&mut self) {
        self.headers = None;
    }

    pub(super) fn first_token_came(&mut self) {
        self.first_token = None;
    }

    /// The answer has ended: what follows is the connection's business.
    pub(super) fn answer_ended(&mut self) {
        self.first_token = None;
        self.idle = None;
        self.liveness = None;
        self.attempt = None;
    }

    pub(super) fn restart_idle(&mut self, now: Instant) {
        if let Some(idle) = &mut self.idle {
            idle.from = Some(now);
        }
    }

    pub(super) fn restart_liveness(&mut self, now: Instant) {
        if let Some(liveness) = &mut self.liveness {
            liveness.from = Some(now);
        }
    }

    /// Whether a frame restarts any clock at all.
    pub(super) fn counts_between_frames(&self) -> bool {
        self.idle.is_some() || self.liveness.is_some()
    }

    /// The next instant at which one runs out.
    pub(super) fn next(&self) -> Option<Instant> {
        self.running()
            .filter_map(|(_, limit, from)| from.checked_add(limit))
            .min()
    }

    /// The clock that has run out at `now`; the one that did so first, if there are two.
    pub(super) fn expired(&self, now: Instant) -> Option<Expired> {
        self.running()
            .filter_map(|(clock, limit, from)| Some((clock, limit, from, from.checked_add(limit)?)))
            .filter(|(_, _, _, end)| *end <= now)
            .min_by_key(|(_, _, _, end)| *end)
            .map(|(clock, limit, from, _)| Expired {
                clock,
                limit,
                elapsed: now.saturating_duration_since(from),
            })
    }

    fn running(&self) -> impl Iterator<Item = (Clock, Duration, Instant)> {
        let fixed = |clock, limit: Option<Duration>| Some((clock, limit?, self.started));
        let since = |clock, since: Option<Since>| {
            let since = since?;
            Some((clock, since.limit, since.from?))
        };
        [
            fixed(Clock::Headers, self.headers),
            fixed(Clock::FirstToken, self.first_token),
            fixed(Clock::Attempt, self.attempt),
            since(Clock::Idle, self.idle),
            since(Clock::Liveness, self.liveness),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_first_to_run_out_is_named() {
        let start = Instant::now();
        let clocks = Clocks::new().headers(3 * SECOND).attempt(2 * SECOND);
        let limits = Limits::new(&clocks, start);
        assert_eq!(limits.next(), Some(start + 2 * SECOND));
        assert_eq!(limits.expired(start + SECOND), None);
        let expired = limits.expired(start + 4 * SECOND).unwrap();
        assert_eq!(expired.clock, Clock::Attempt);
        assert_eq!(expired.elapsed, 4 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_runs_from_an_event_only() {
        let start = Instant::now();
        let mut limits = Limits::new(&Clocks::new().idle(SECOND), start);
        assert_eq!(limits.next(), None);
        limits.restart_idle(start + SECOND);
        assert_eq!(limits.next(), Some(start + 2 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outer_end_shortens_the_attempt() {
        let start = Instant::now();
        let clocks = Clocks::new().attempt(9 * SECOND);
        let limits = Limits::new(&clocks, start).within(Some(start + SECOND));
        assert_eq!(limits.next(), Some(start + SECOND));
        let endless = Limits::new(&Clocks::new().attempt(Duration::MAX), start);
        assert_eq!(endless.next(), None);
    }
}
