//! One accepted connection: its number, and the switch that resets it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Numbers the connections of one mock in the order they were accepted, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// What a request knows of the connection it came on.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    reset: AtomicBool,
    killed: Notify,
}

// === impl ConnectionId ===

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Link ===

impl Link {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id: ConnectionId(id),
            reset: AtomicBool::new(false),
            killed: Notify::new(),
        }
    }

    /// Has the connection dropped, and its socket closed with a RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.killed.notify_one();
    }

    pub(crate) fn was_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }
}
