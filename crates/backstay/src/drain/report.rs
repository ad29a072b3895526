//! What became of everything.

use crate::cancel::HookCounts;
use std::fmt;
use tokio::time::Duration;

/// What became of everything that was under way when a drain began:
/// `in_flight = completed + failed + cancelled + unpolled`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Calls (futures and bodies), requests, scopes and tracked futures under way when it began.
    pub in_flight: usize,
    /// How many came afterwards, and were refused.
    pub refused: usize,
    /// They came to their end.
    pub completed: usize,
    /// They ended in an error that is no cancellation, or in a panic.
    pub failed: usize,
    /// They were cancelled: by the end of the grace period, by their token, or dropped by their caller.
    pub cancelled: usize,
    /// Nobody polled them when the grace period was over. The hooks of calls were run from their records; what
    /// is inside lives until they are dropped.
    ///
    /// A stream behind a client that does not read is one of these, or one of the cancelled: a server that is
    /// woken polls its body if it has room to write, and hyper's has some after most writes.
    pub unpolled: usize,
    /// The hooks of all calls under it and the cleanups of its scopes, those that were running when it began
    /// included. A scope whose tasks do not end is one more that is running.
    pub hooks: HookCounts,
    /// The grace period was cut short.
    pub hurried: bool,
    /// From its beginning to this report.
    pub took: Duration,
}

// === impl DrainReport ===

impl DrainReport {
    /// Whether everything came to its end by itself, and every hook did too.
    pub const fn is_clean(&self) -> bool {
        let hooks = &self.hooks;
        self.cancelled + self.unpolled == 0
            && hooks.timed_out + hooks.panicked + hooks.lost + hooks.running == 0
    }
}

/// One line.
impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hooks = &self.hooks;
        write!(
            f,
            "{} in flight: {} completed, {} failed, {} cancelled, {} unpolled; {} refused; \
             hooks: {} finished, {} timed out, {} panicked, {} lost, {} still running; took {:?}",
            self.in_flight,
            self.completed,
            self.failed,
            self.cancelled,
            self.unpolled,
            self.refused,
            hooks.finished,
            hooks.timed_out,
            hooks.panicked,
            hooks.lost,
            hooks.running,
            self.took,
        )?;
        if self.hurried {
            f.write_str(", hurried")?;
        }
        Ok(())
    }
}
