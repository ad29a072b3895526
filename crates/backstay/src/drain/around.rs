//! The drain whose work the task is doing.

use crate::cancel::Counts;
use std::sync::Arc;

tokio::task_local! {
    static AROUND: Around;
}

struct Around {
    hooks: Arc<Counts>,
    /// What is inside is being dropped, because the grace period is over.
    shuts_down: bool,
}

/// The hook counts of the innermost drain around, so that hooks of calls made in there are waited for.
pub(crate) fn around() -> Option<Arc<Counts>> {
    AROUND.try_with(|around| around.hooks.clone()).ok()
}

/// Whether what is dropped now is dropped by a drain.
pub(crate) fn shuts_down() -> bool {
    AROUND.try_with(|around| around.shuts_down).unwrap_or(false)
}

/// Runs one poll inside.
pub(super) fn poll<T>(hooks: Arc<Counts>, poll: impl FnOnce() -> T) -> T {
    let shuts_down = false;
    AROUND.sync_scope(Around { hooks, shuts_down }, poll)
}

/// Drops something, so that the calls in there know why.
pub(super) fn shut_down(hooks: Arc<Counts>, drop: impl FnOnce()) {
    let shuts_down = true;
    AROUND.sync_scope(Around { hooks, shuts_down }, drop);
}
