//! The drains whose work the task is doing.

use crate::cancel::Counts;
use std::{future::Future, sync::Arc};

tokio::task_local! {
    static AROUND: Around;
}

/// The hook counts of the drains around, so that hooks of calls made in there are waited for.
pub(crate) type Watchers = Arc<[Arc<Counts>]>;

struct Around {
    watchers: Watchers,
    /// What is inside is being dropped, because the grace period is over.
    shuts_down: bool,
}

/// Those around; none where no drain is.
pub(crate) fn around() -> Option<Watchers> {
    AROUND.try_with(|around| around.watchers.clone()).ok()
}

/// Whether what is dropped now is dropped by a drain.
pub(crate) fn shuts_down() -> bool {
    AROUND.try_with(|around| around.shuts_down).unwrap_or(false)
}

/// One drain more, inside of those that are around.
pub(super) fn inside(hooks: &Arc<Counts>) -> Watchers {
    let outer = around();
    let outer = outer.iter().flat_map(|outer| outer.iter());
    outer.chain([hooks]).cloned().collect()
}

/// Runs one poll inside.
pub(super) fn poll<T>(watchers: Watchers, poll: impl FnOnce() -> T) -> T {
    let shuts_down = false;
    AROUND.sync_scope(
        Around {
            watchers,
            shuts_down,
        },
        poll,
    )
}

/// All of a future inside, its drop too.
pub(crate) fn run<F: Future>(watchers: Watchers, future: F) -> impl Future<Output = F::Output> {
    let shuts_down = false;
    AROUND.scope(
        Around {
            watchers,
            shuts_down,
        },
        future,
    )
}

/// Drops something, so that the calls in there know why.
pub(super) fn shut_down(watchers: Watchers, drop: impl FnOnce()) {
    let shuts_down = true;
    AROUND.sync_scope(
        Around {
            watchers,
            shuts_down,
        },
        drop,
    );
}
