//! One thing that a drain waits for.

use super::{
    live::{Place, Record},
    shared::Shared,
    tally::Outcome,
};
use crate::{
    call::Labels,
    cancel::{Counts, Why},
    error::{Cancellation, Error, ErrorKind},
};
use std::{
    error::Error as StdError,
    fmt,
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Acquire},
    task::{Context, Poll, Waker},
};

/// Leave to do something that a [`Drain`](super::Drain) waits for; from
/// [`Drain::admit`](super::Drain::admit).
///
/// Say how it ended with [`complete`](Self::complete) or [`failed`](Self::failed). Dropped, it counts as
/// cancelled, and during a panic as failed.
///
/// It costs nothing but a count until it has to wait for the shutdown for the first time: then a place in
/// the drain's list, on the heap.
#[must_use = "what was admitted counts until this is dropped"]
pub struct Admission {
    shared: Arc<Shared>,
    place: Option<Place>,
    /// Whom the place wakes.
    waker: Option<Waker>,
    if_dropped: Outcome,
    ended: bool,
}

// === impl Admission ===

impl Admission {
    pub(super) fn new(shared: &Arc<Shared>) -> Option<Self> {
        shared.gate.enter().then(|| Self {
            shared: shared.clone(),
            place: None,
            waker: None,
            if_dropped: Outcome::Cancelled,
            ended: false,
        })
    }

    pub(super) fn refused(labels: Labels) -> Error {
        Error::draining(labels)
    }

    /// Whether the grace period is over: what is done has to end.
    pub fn is_shut_down(&self) -> bool {
        self.shared.cut.load(Acquire)
    }

    /// Ready once the grace period is over. The task is woken then.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_shutdown_of(|| None, cx)
    }

    /// Waits until the grace period is over. Nothing is missed, however late it is asked.
    pub async fn shutdown(&mut self) {
        poll_fn(|cx| self.poll_shutdown(cx)).await;
    }

    /// The error to end with when the grace period is over.
    pub fn error(&self) -> Error {
        Error::new(ErrorKind::Cancelled(Cancellation::Shutdown))
    }

    /// It came to its end.
    pub fn complete(mut self) {
        self.end(Outcome::Completed);
    }

    /// It ended in an error: as cancelled, if this is a cancellation of backstay's, else as failed.
    pub fn failed(mut self, error: &(dyn StdError + 'static)) {
        self.end(match Error::find(error) {
            Some(error) if error.is_cancelled() => Outcome::Cancelled,
            _ => Outcome::Failed,
        });
    }

    /// It ended for this reason.
    pub(crate) fn ended(mut self, why: Why) {
        self.end(match why {
            Why::Complete => Outcome::Completed,
            why if why.is_cancelled() => Outcome::Cancelled,
            _ => Outcome::Failed,
        });
    }

    /// What is left of it need not be waited for by whoever has it.
    pub(super) fn is_complete_if_dropped(&mut self) {
        self.if_dropped = Outcome::Completed;
    }

    /// It failed, with an error of a kind that nobody knows.
    pub(super) fn has_failed(mut self) {
        self.end(Outcome::Failed);
    }

    #[inline]
    pub(crate) fn poll_shutdown_of(
        &mut self,
        record: impl FnOnce() -> Option<Record>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.is_shut_down() {
            return Poll::Ready(());
        }
        let known = self.waker.as_ref();
        if known.is_some_and(|known| known.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.place(record).entry.wakes(cx.waker());
        self.waker = Some(cx.waker().clone());
        // Listed first, looked second: whoever is not woken sees it here.
        if self.is_shut_down() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Takes a place in the list, so that the drain can reach what is under way should nobody poll it.
    pub(super) fn place(&mut self, record: impl FnOnce() -> Option<Record>) -> &Place {
        self.place
            .get_or_insert_with(|| self.shared.live.insert(record()))
    }

    pub(crate) fn hooks(&self) -> &Arc<Counts> {
        &self.shared.hooks
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(place) = self.place.take() {
            self.shared.live.remove(&place);
        }
        if self.shared.gate.leave() {
            self.shared.tally.count(outcome);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() {
            Outcome::Failed
        } else {
            self.if_dropped
        });
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("shut_down", &self.is_shut_down())
            .finish_non_exhaustive()
    }
}
