//! What cancels a scope from the outside.

use crate::error::Cancellation;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A token, and what it means when it fires.
pub(crate) struct CancelSource {
    pub(crate) token: CancellationToken,
    pub(crate) reason: Cancellation,
}

/// All that a scope's future waits for, its block and its deadline aside.
pub(super) struct Sources {
    given: Vec<(Cancellation, Waiter)>,
    /// The scope's own token: it fires with the scope around, and when a task panicked.
    own: Waiter,
}

type Waiter = Pin<Box<WaitForCancellationFutureOwned>>;

// === impl Sources ===

impl Sources {
    pub(super) fn new(own: &CancellationToken, given: Vec<CancelSource>) -> Self {
        let wait = |token: CancellationToken| Box::pin(token.cancelled_owned());
        Self {
            given: given
                .into_iter()
                .map(|source| (source.reason, wait(source.token)))
                .collect(),
            own: wait(own.clone()),
        }
    }

    /// Which of the given ones has fired. Of the scope's own token it only sees to the wake-up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cancellation> {
        for (reason, wait) in &mut self.given {
            if wait.as_mut().poll(cx).is_ready() {
                return Poll::Ready(*reason);
            }
        }
        // Whoever fires it has said why before.
        let _ = self.own.as_mut().poll(cx);
        Poll::Pending
    }
}
