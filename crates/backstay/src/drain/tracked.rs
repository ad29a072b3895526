//! A future of the user's under a drain.

use super::{Admission, Watchers, around};
use crate::error::Error;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// A future that a drain waits for, and ends; made by [`Drain::track`](super::Drain::track).
    #[must_use = "futures do nothing unless polled"]
    pub struct Tracked<F> {
        // Dropped first: the drain is told once it is gone.
        #[pin]
        inner: Option<F>,
        admission: Option<Result<Admission, Error>>,
        // Those around at the first poll, and this one.
        watchers: Option<Watchers>,
    }
}

// === impl Tracked ===

impl<F> Tracked<F> {
    pub(super) fn new(inner: F, admission: Result<Admission, Error>) -> Self {
        Self {
            inner: Some(inner),
            admission: Some(admission),
            watchers: None,
        }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = Result<F::Output, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let admission = match this.admission.take() {
            Some(Ok(admission)) => this.admission.insert(Ok(admission)).as_mut(),
            Some(Err(refused)) => {
                this.inner.set(None);
                return Poll::Ready(Err(refused));
            }
            None => return Poll::Pending,
        };
        let (Ok(admission), Some(inner)) = (admission, this.inner.as_mut().as_pin_mut()) else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        let hooks = admission.hooks();
        let watchers = this.watchers.get_or_insert_with(|| around::inside(hooks));
        if !admission.is_shut_down() {
            if let Poll::Ready(output) = around::poll(watchers.clone(), || inner.poll(cx)) {
                this.inner.set(None);
                if let Some(Ok(admission)) = this.admission.take() {
                    admission.complete();
                }
                return Poll::Ready(Ok(output));
            }
            ready!(admission.poll_shutdown(cx));
        }
        let error = admission.error();
        around::shut_down(watchers.clone(), || this.inner.set(None));
        *this.admission = None;
        Poll::Ready(Err(error))
    }
}

impl<F> fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
