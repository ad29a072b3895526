//! What cancels a scope from the outside.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The tokens that a scope's future waits for.
pub(super) struct Tokens {
    given: Vec<Waiter>,
    /// The scope's own token: it fires with the scope around, and when a task panicked.
    own: Waiter,
}

type Waiter = Pin<Box<WaitForCancellationFutureOwned>>;

// === impl Tokens ===

impl Tokens {
    pub(super) fn new(own: &CancellationToken, given: Vec<CancellationToken>) -> Self {
        let wait = |token: CancellationToken| Box::pin(token.cancelled_owned());
        Self {
            given: given.into_iter().map(wait).collect(),
            own: wait(own.clone()),
        }
    }

    /// Whether one of the given has fired. Of the scope's own token it only sees to the wake-up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for wait in &mut self.given {
            if wait.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        // Whoever fires it has said why before.
        let _ = self.own.as_mut().poll(cx);
        Poll::Pending
    }
}
