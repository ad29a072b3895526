//! From the beginning of a drain to its report.

use super::{
    DrainReport,
    shared::{Begun, Shared},
};
use std::sync::atomic::Ordering::Release;
use tokio::time::{Duration, Instant, timeout};

/// How long those who wait have, once they are woken at the end of the grace period, to be polled and take
/// their error. It is part of the time for hooks, at most half of it. A consumer that is slower gets the same
/// error at its next poll; more time would make every process wait that has forgotten a body somewhere.
const LAST_POLL: Duration = Duration::from_millis(250);

/// Safe to run again from where another was dropped: each step looks at what has been done.
pub(super) async fn run(shared: &Shared, begun: Begun) -> DrainReport {
    let all = begun.in_flight;
    let settings = begun.settings;
    let grace = left(begun.at, settings.grace);
    let in_time = shared
        .hurry
        .run_until_cancelled(timeout(grace, shared.tally.reaches(all)))
        .await;
    let cut_at = Instant::now();
    if !matches!(in_time, Some(Ok(()))) {
        shared.cut.store(true, Release);
        shared.live.wake();
        let last_poll = LAST_POLL.min(settings.hooks / 2);
        let _ = timeout(last_poll, shared.tally.reaches(all)).await;
    }
    let outcomes = shared.tally.close(all);
    if outcomes.unpolled > 0 {
        for record in shared.live.records() {
            record.shut_down();
        }
    }
    let _ = timeout(left(cut_at, settings.hooks), shared.hooks.idle()).await;
    DrainReport {
        in_flight: all,
        refused: shared.refused(),
        completed: outcomes.completed,
        failed: outcomes.failed,
        cancelled: outcomes.cancelled,
        unpolled: outcomes.unpolled,
        hooks: shared.hooks.read().since(begun.hooks),
        hurried: shared.is_hurried(),
        took: Instant::now().saturating_duration_since(begun.at),
    }
}

/// What is left of a duration that began then.
fn left(since: Instant, duration: Duration) -> Duration {
    duration.saturating_sub(Instant::now().saturating_duration_since(since))
}
