//! Closes connections that lie idle too long, or that their servers have closed.

use super::{host::Host, pool::Pool};
use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::{self, Duration};

/// There is none any more when this is dropped: at its end, or with the runtime that it lived on.
struct Watching(Arc<AtomicBool>);

/// A connection that its server closed is noticed after this long at the latest.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// Short idle timeouts must not keep a core busy.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// One task for a client, as long as it has connections. Called for each new one.
pub(super) fn start<B: Send + 'static>(pool: &Arc<Pool<B>>) {
    let watch = pool.watched();
    if watch.swap(true, Ordering::AcqRel) {
        return;
    }
    let watching = Watching(Arc::clone(watch));
    let every = pool
        .limits()
        .idle_timeout
        .map_or(LOOK_AT_LEAST_EVERY, |limit| {
            limit.clamp(LOOK_AT_MOST_EVERY, LOOK_AT_LEAST_EVERY)
        });
    tokio::spawn(reap(Arc::downgrade(pool), every, watching));
}

async fn reap<B>(pool: Weak<Pool<B>>, every: Duration, watching: Watching) {
    loop {
        time::sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut hosts = pool.hosts();
        hosts.retain(|_, host| !host.reap() || is_in_use(host));
        if hosts.is_empty() {
            // Under the lock: a call that finds no host starts a new reaper after this.
            drop(watching);
            return;
        }
    }
}

/// Calls that have no connection yet share the host, and every connection remembers it. Neither can begin
/// while the map is locked.
fn is_in_use<B>(host: &Arc<Host<B>>) -> bool {
    Arc::strong_count(host) > 1 || Arc::weak_count(host) > 0
}

// === impl Watching ===

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
