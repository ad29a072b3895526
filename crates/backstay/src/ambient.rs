//! What the code around says to every layer used inside: deadline, labels, and the scope that it runs in.

use crate::{call::Labels, deadline::Deadline, scope::Core};
use std::sync::Arc;

tokio::task_local! {
    static AMBIENT: Ambient;
}

/// The context of a piece of workflow code. It is read once for each call, and never for a frame.
#[derive(Clone)]
pub(crate) struct Ambient {
    pub(crate) deadline: Deadline,
    pub(crate) labels: Labels,
    pub(crate) scope: Option<Arc<Core>>,
}

// === impl Ambient ===

impl Ambient {
    /// Looks at what is around, if there is anything.
    pub(crate) fn with<T>(look: impl FnOnce(&Self) -> T) -> Option<T> {
        AMBIENT.try_with(look).ok()
    }

    /// Runs code under it.
    pub(crate) fn enter<T>(self, run: impl FnOnce() -> T) -> T {
        AMBIENT.sync_scope(self, run)
    }
}

impl Default for Ambient {
    fn default() -> Self {
        Self {
            deadline: Deadline::NEVER,
            labels: Labels::new(),
            scope: None,
        }
    }
}
