//! The way back from an outage.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::outage::{Course, Outage};
use crate::shared::Shared;

/// An outage that was begun. Dropping this does not end it.
#[derive(Clone)]
pub struct OutageHandle {
    course: Arc<Course>,
    shared: Arc<Shared>,
}

// === impl OutageHandle ===

impl OutageHandle {
    pub(crate) fn begin(outage: Outage, shared: &Arc<Shared>) -> Self {
        let course = shared.outages.lock().begin(outage, Instant::now());
        shared.outages_changed();
        Self {
            course,
            shared: Arc::clone(shared),
        }
    }

    /// Ends it. When this returns, the port is open again.
    pub fn recover(&self) {
        self.course.recover();
        self.shared.outages_changed();
    }

    /// How many requests it has failed; for [`Outage::drop_connections`] how many connections. Refused
    /// ones are not seen.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.course.hits()
    }

    /// Whether it has ended, by being told or by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.course.is_over(Instant::now())
    }
}

impl fmt::Debug for OutageHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutageHandle")
            .field("outage", self.course.outage())
            .field("hits", &self.hits())
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}
