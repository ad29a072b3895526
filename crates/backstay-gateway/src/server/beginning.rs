//! Waiting for the drain to begin.

use backstay::drain::Drain;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

pin_project! {
    /// Ready when the drain has begun.
    ///
    /// The task of a connection is polled for each piece of an answer. To ask the drain each time would take
    /// two locks that the connections of all threads share, so it is asked once, and a word read after that.
    pub(super) struct Beginning<F> {
        #[pin]
        started: F,
        drain: Drain,
        // Whom it wakes.
        told: Option<Waker>,
    }
}

// === impl Beginning ===

impl Beginning<()> {
    pub(super) fn of(drain: &Drain) -> Beginning<impl Future<Output = ()> + Send + use<>> {
        Beginning {
            started: drain.started(),
            drain: drain.clone(),
            told: None,
        }
    }
}

impl<F: Future<Output = ()>> Future for Beginning<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let told = this.told.as_ref();
        if told.is_some_and(|waker| waker.will_wake(cx.waker())) && !this.drain.is_draining() {
            return Poll::Pending;
        }
        *this.told = Some(cx.waker().clone());
        this.started.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, sync::Arc, task::Wake};
    use tokio::{
        sync::Notify,
        time::{Duration, timeout},
    };

    struct Other(Notify);

    impl Wake for Other {
        fn wake(self: Arc<Self>) {
            self.0.notify_one();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_whoever_asked_last() {
        let drain = Drain::new();
        let mut beginning = pin!(Beginning::of(&drain));
        let second = Duration::from_secs(1);
        assert!(timeout(second, beginning.as_mut()).await.is_err());
        let other = Arc::new(Other(Notify::new()));
        let waker = Waker::from(other.clone());
        for _ in 0..2 {
            let polled = beginning.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        let course = tokio::spawn({
            let drain = drain.clone();
            async move { drain.shutdown().await }
        });
        assert!(timeout(second, other.0.notified()).await.is_ok());
        beginning.await;
        course.await.unwrap();
    }
}
