//! The user's code, out of reach of the rest when it panics.

use crate::ambient::Ambient;
use pin_project_lite::pin_project;
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

pin_project! {
    /// A future that ends at its first panic, and whose drop does not panic.
    pub(crate) struct Caught<F> {
        #[pin]
        inner: Option<F>,
        // What is around it, if that is not what is around whoever polls.
        ambient: Option<Ambient>,
    }

    impl<F> PinnedDrop for Caught<F> {
        fn drop(this: Pin<&mut Self>) {
            if this.clear().is_err() {
                tracing::error!("a future panicked while it was dropped");
            }
        }
    }
}

/// Runs code, and catches its panic.
pub(crate) fn caught<T>(ambient: Option<&Ambient>, run: impl FnOnce() -> T) -> Result<T, Payload> {
    catch_unwind(AssertUnwindSafe(|| match ambient {
        Some(ambient) => ambient.clone().enter(run),
        None => run(),
    }))
}

// === impl Caught ===

impl<F> Caught<F> {
    pub(crate) fn new(inner: F) -> Self {
        Self {
            inner: Some(inner),
            ambient: None,
        }
    }

    pub(crate) fn inside(inner: F, ambient: Ambient) -> Self {
        Self {
            inner: Some(inner),
            ambient: Some(ambient),
        }
    }

    /// Drops what is inside.
    pub(crate) fn clear(self: Pin<&mut Self>) -> Result<(), Payload> {
        let mut this = self.project();
        match *this.inner {
            Some(_) => caught(this.ambient.as_ref(), || this.inner.set(None)),
            None => Ok(()),
        }
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Payload>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let Some(inner) = this.inner.as_pin_mut() else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        match caught(this.ambient.as_ref(), || inner.poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(self.clear().map(|()| output)),
            Err(payload) => {
                // What panicked once may panic again in its drop: the first one is told.
                let _ = self.clear();
                Poll::Ready(Err(payload))
            }
        }
    }
}
