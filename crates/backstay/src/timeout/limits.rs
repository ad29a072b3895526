//! The clocks of one attempt while they run.

use super::{Clock, Clocks};
use crate::observe::LINGER;
use tokio::time::{Duration, Instant};

/// Which clock runs out when, in nanoseconds after the attempt's start.
///
/// What has been reached is set to never, so that it can run out no more. A frame only moves ends away:
/// whoever waits for the next end need not ask for it again until something [was brought
/// forward](Self::take_sooner).
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    started: Instant,
    headers: u64,
    first_token: u64,
    first_content: u64,
    attempt: u64,
    /// What others leave the attempt: it ends no later, whatever its own clock says.
    end: u64,
    idle: Since,
    liveness: Since,
    /// When the head came, until the body is looked at for the first time.
    head: u64,
    /// The next end may be earlier than it was.
    sooner: bool,
}

/// A clock that something restarts.
#[derive(Clone, Copy, Debug)]
struct Since {
    limit: u64,
    /// As it was read: it is restarted far more often than asked for.
    from: Option<Instant>,
}

/// A clock that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expired {
    pub(super) clock: Clock,
    pub(super) limit: Duration,
    pub(super) elapsed: Duration,
}

/// 584 years.
const NEVER: u64 = u64::MAX;

// === impl Limits ===

impl Limits {
    pub(super) fn new(clocks: &Clocks, started: Instant, end: Option<Instant>) -> Self {
        let limit = |clock| clocks.limit(clock).map_or(NEVER, nanos);
        let since = |clock| Since {
            limit: limit(clock),
            from: None,
        };
        let end = end.map_or(NEVER, |end| nanos(end.saturating_duration_since(started)));
        Self {
            started,
            headers: limit(Clock::Headers),
            first_token: limit(Clock::FirstToken),
            first_content: limit(Clock::FirstContent),
            attempt: limit(Clock::Attempt),
            end,
            idle: since(Clock::Idle),
            liveness: since(Clock::Liveness),
            head: NEVER,
            sooner: true,
        }
    }

    pub(super) fn headers_came(&mut self, now: Instant) {
        self.headers = NEVER;
        self.head = self.since_start(now);
    }

    #[inline]
    pub(super) fn first_token_came(&mut self) {
        self.first_token = NEVER;
    }

    #[inline]
    pub(super) fn first_content_came(&mut self) {
        self.first_content = NEVER;
    }

    /// Nobody else needs the time any more.
    pub(super) fn lift_end(&mut self) {
        self.end = NEVER;
    }

    /// The answer has ended: what follows is the connection's business.
    pub(super) fn answer_ended(&mut self, now: Instant) {
        self.first_token = NEVER;
        self.first_content = NEVER;
        self.idle.limit = NEVER;
        self.liveness.limit = NEVER;
        self.attempt = self.since_start(now + LINGER);
        self.end = NEVER;
        self.sooner = true;
    }

    /// A frame has come before `now`; a semantic one perhaps.
    #[inline]
    pub(super) fn restart(&mut self, now: Instant, semantic: bool) {
        if self.head != NEVER {
            self.first_look(now);
        }
        self.sooner |= self.liveness.restart(now);
        if semantic {
            self.sooner |= self.idle.restart(now);
        }
    }

    /// The time in which nobody looked is not the server's.
    #[cold]
    fn first_look(&mut self, now: Instant) {
        let unseen = self.since_start(now).saturating_sub(self.head);
        self.first_token = self.first_token.saturating_add(unseen);
        self.first_content = self.first_content.saturating_add(unseen);
        self.head = NEVER;
    }

    /// Whether a frame restarts any clock at all.
    #[inline]
    pub(super) fn count_between_frames(&self) -> bool {
        // All ones only where both are never.
        self.idle.limit & self.liveness.limit != NEVER
            || (self.head != NEVER && self.first_token & self.first_content != NEVER)
    }

    /// Whether the next end may be earlier than when this was asked last.
    #[inline]
    pub(super) fn take_sooner(&mut self) -> bool {
        std::mem::take(&mut self.sooner)
    }

    /// The next instant at which one runs out.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = self.ends().into_iter().map(|(_, _, end)| end).min()?;
        if next == NEVER {
            return None;
        }
        self.started.checked_add(Duration::from_nanos(next))
    }

    /// The clock that has run out at `now`; the one that did so first, if there are two.
    pub(super) fn expired(&self, now: Instant) -> Option<Expired> {
        let now = self.since_start(now);
        let (clock, limit, end) = self.ends().into_iter().min_by_key(|(_, _, end)| *end)?;
        (end <= now).then(|| Expired {
            clock,
            limit: Duration::from_nanos(limit),
            elapsed: Duration::from_nanos(now.saturating_sub(end.saturating_sub(limit))),
        })
    }

    /// Each clock with its limit and its end.
    fn ends(&self) -> [(Clock, u64, u64); 6] {
        let since = |clock, since: Since| {
            let from = since.from.map_or(NEVER, |from| self.since_start(from));
            (clock, since.limit, from.saturating_add(since.limit))
        };
        let attempt = self.attempt.min(self.end);
        [
            (Clock::Headers, self.headers, self.headers),
            (Clock::FirstToken, self.first_token, self.first_token),
            (Clock::FirstContent, self.first_content, self.first_content),
            (Clock::Attempt, attempt, attempt),
            since(Clock::Idle, self.idle),
            since(Clock::Liveness, self.liveness),
        ]
    }

    fn since_start(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.started))
    }
}

// === impl Since ===

impl Since {
    /// Whether it runs for the first time.
    #[inline]
    fn restart(&mut self, now: Instant) -> bool {
        self.from.replace(now).is_none()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_first_to_run_out_is_named() {
        let start = Instant::now();
        let clocks = Clocks::new().headers(3 * SECOND).attempt(2 * SECOND);
        let limits = Limits::new(&clocks, start, None);
        assert_eq!(limits.next(), Some(start + 2 * SECOND));
        assert_eq!(limits.expired(start + SECOND), None);
        let expired = limits.expired(start + 4 * SECOND).unwrap();
        assert_eq!(expired.clock, Clock::Attempt);
        assert_eq!(expired.elapsed, 4 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_runs_from_an_event_only() {
        let start = Instant::now();
        let mut limits = Limits::new(&Clocks::new().idle(SECOND), start, None);
        assert_eq!(limits.next(), None);
        limits.restart(start, false);
        assert_eq!(limits.next(), None);
        limits.restart(start + SECOND, true);
        assert_eq!(limits.next(), Some(start + 2 * SECOND));
        let expired = limits.expired(start + 5 * SECOND).unwrap();
        assert_eq!((expired.clock, expired.elapsed), (Clock::Idle, 4 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outer_end_shortens_the_attempt() {
        let start = Instant::now();
        let clocks = Clocks::new().attempt(9 * SECOND);
        let limits = Limits::new(&clocks, start, Some(start + SECOND));
        assert_eq!(limits.next(), Some(start + SECOND));
        let endless = Limits::new(&Clocks::new().attempt(Duration::MAX), start, None);
        assert_eq!(endless.next(), None);
        assert_eq!(endless.expired(start + 9 * SECOND), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_comes_nearer_is_told() {
        let start = Instant::now();
        let clocks = Clocks::new().idle(SECOND).liveness(9 * SECOND);
        let mut limits = Limits::new(&clocks, start, None);
        assert!(limits.take_sooner());
        assert!(!limits.take_sooner());
        limits.restart(start, false);
        assert!(limits.take_sooner());
        limits.restart(start, true);
        assert!(limits.take_sooner());
        limits.restart(start + SECOND, true);
        limits.first_token_came();
        assert!(!limits.take_sooner());
        limits.answer_ended(start + SECOND);
        assert!(limits.take_sooner());
        assert_eq!(limits.next(), Some(start + SECOND + LINGER));
    }
}
