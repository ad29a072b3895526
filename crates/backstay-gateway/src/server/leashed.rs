//! A task that ends when its leash does.

use super::wire::Reader;
use crate::leash::{Expired, Leash};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

pin_project! {
    /// A future that ends when its leash does, or when the other side has gone.
    pub(crate) struct Leashed<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Option<Sleep>,
        // Whom it wakes, once it has been polled since it was set.
        armed: Option<Waker>,
        leash: Arc<Leash>,
        reader: Option<Arc<Reader>>,
    }
}

// === impl Leashed ===

impl<F> Leashed<F> {
    pub(crate) fn new(inner: F, leash: Arc<Leash>, reader: Option<Arc<Reader>>) -> Self {
        Self {
            inner,
            sleep: None,
            armed: None,
            leash,
            reader,
        }
    }
}

impl<F: Future<Output = ()>> Future for Leashed<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        this.leash.next_turn();
        if this.inner.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(reader) = this.reader
            && this.leash.is_watched()
            && reader.poll_peer_left(cx).is_ready()
        {
            return Poll::Ready(());
        }
        loop {
            let Some(limit) = this.leash.limit() else {
                return Poll::Pending;
            };
            match this.sleep.as_mut().as_pin_mut() {
                // One that fires too early is armed again then: a limit moves with every call.
                Some(sleep) if sleep.deadline() <= limit => {
                    let armed = this.armed.as_ref();
                    if armed.is_some_and(|waker| waker.will_wake(cx.waker())) && !sleep.is_elapsed()
                    {
                        return Poll::Pending;
                    }
                }
                Some(sleep) => sleep.reset(limit),
                None => this.sleep.set(Some(sleep_until(limit))),
            }
            let Some(mut sleep) = this.sleep.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            // Whose turn is used up is told `Pending` by tokio before its waker is stored, and would be believed
            // to be armed.
            if pin!(unconstrained(sleep.as_mut())).poll(cx).is_pending() {
                *this.armed = Some(cx.waker().clone());
                return Poll::Pending;
            }
            *this.armed = None;
            match this.leash.expired(Instant::now()) {
                Expired::NotYet => {
                    let Some(limit) = this.leash.limit() else {
                        // Nothing to wait for now; the next limit makes a timer of its own.
                        this.sleep.set(None);
                        return Poll::Pending;
                    };
                    sleep.reset(limit);
                }
                Expired::SlowHead => {
                    if let Some(reader) = this.reader {
                        reader.say_too_slow();
                    }
                    return Poll::Ready(());
                }
                Expired::Cut => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Limits,
        leash::{CUT_AFTER_DEADLINE, Held},
    };
    use std::future::{pending, poll_fn};
    use tokio::{task::consume_budget, time::Duration};

    fn limits() -> Limits {
        Limits {
            connections: 1,
            calls: 1,
            request_body: 1,
            buffered: 1,
            request_head: 1,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            streams_per_connection: 1,
        }
    }

    async fn lasts(leash: &Arc<Leash>) -> Duration {
        let started = Instant::now();
        Leashed::new(pending(), leash.clone(), None).await;
        Instant::now().saturating_duration_since(started)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_ended_after_the_heads_time() {
        let leash = Arc::new(Leash::connection(&limits()));
        assert_eq!(lasts(&leash).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_ended_after_the_idle_time_and_a_slow_second_head_sooner() {
        let leash = Arc::new(Leash::connection(&limits()));
        drop(Held::new(leash.clone(), None, http::Version::HTTP_11));
        leash.written();
        assert_eq!(lasts(&leash).await, Duration::from_secs(60));
        drop(Held::new(leash.clone(), None, http::Version::HTTP_11));
        leash.written();
        leash.bytes_came();
        assert_eq!(lasts(&leash).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_ended_after_its_deadline_and_not_before() {
        let leash = Arc::new(Leash::connection(&limits()));
        let held = Held::new(leash.clone(), None, http::Version::HTTP_11);
        let second = Duration::from_secs(1);
        held.until(Instant::now().checked_add(second));
        assert_eq!(lasts(&leash).await, second + CUT_AFTER_DEADLINE);
        // A later call may take longer, although the timer stood at the earlier limit.
        held.until(Instant::now().checked_add(100 * second));
        assert_eq!(lasts(&leash).await, 100 * second + CUT_AFTER_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_has_the_time_of_its_call() {
        let leash = Arc::new(Leash::connection(&limits()));
        let held = Held::new(leash.clone(), None, http::Version::HTTP_11);
        let second = Duration::from_secs(1);
        held.until(Instant::now().checked_add(second));
        drop(held);
        assert_eq!(lasts(&leash).await, second + CUT_AFTER_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_deadline_is_not_ended() {
        let leash = Arc::new(Leash::connection(&limits()));
        let held = Held::new(leash.clone(), None, http::Version::HTTP_11);
        held.until(None);
        let long = Duration::from_secs(1_000_000);
        let leashed = Leashed::new(pending(), leash, None);
        assert!(tokio::time::timeout(long, leashed).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_moved_on_is_kept_by_a_timer_that_stood_at_the_earlier_one() {
        let leash = Arc::new(Leash::connection(&limits()));
        let held = Held::new(leash.clone(), None, http::Version::HTTP_11);
        let (second, started) = (Duration::from_secs(1), Instant::now());
        held.until(started.checked_add(second));
        let leashed = tokio::spawn(Leashed::new(pending(), leash, None));
        tokio::task::yield_now().await;
        held.until(started.checked_add(100 * second));
        assert!(tokio::time::timeout(200 * second, leashed).await.is_ok());
        let lasted = Instant::now().saturating_duration_since(started);
        assert_eq!(lasted, 100 * second + CUT_AFTER_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_wakes_whoever_polled_last() {
        let leash = Arc::new(Leash::connection(&limits()));
        let mut leashed = pin!(Leashed::new(pending(), leash, None));
        let mut nobody = Context::from_waker(Waker::noop());
        assert!(leashed.as_mut().poll(&mut nobody).is_pending());
        let long = Duration::from_secs(1_000_000);
        let started = Instant::now();
        assert!(tokio::time::timeout(long, leashed).await.is_ok());
        let lasted = Instant::now().saturating_duration_since(started);
        assert_eq!(lasted, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_turn_is_ended_in_time_too() {
        let leash = Arc::new(Leash::connection(&limits()));
        let mut first = true;
        let busy = poll_fn(|cx| {
            // As a connection does on which much comes: tokio's futures say `Pending` then, and wake the task.
            if std::mem::take(&mut first) {
                while let Poll::Ready(()) = pin!(consume_budget()).poll(cx) {}
            }
            Poll::Pending
        });
        let long = Duration::from_secs(1_000_000);
        let started = Instant::now();
        let leashed = Leashed::new(busy, leash, None);
        assert!(tokio::time::timeout(long, leashed).await.is_ok());
        let lasted = Instant::now().saturating_duration_since(started);
        assert_eq!(lasted, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_lives_while_a_stream_does() {
        let leash = Arc::new(Leash::connection(&limits()));
        let stream = Arc::new(Leash::stream());
        let held = Held::new(leash.clone(), Some(stream.clone()), http::Version::HTTP_2);
        held.until(Instant::now().checked_add(Duration::from_secs(200)));
        let leashed = Leashed::new(pending(), leash.clone(), None);
        let long = Duration::from_secs(1_000);
        assert!(tokio::time::timeout(long, leashed).await.is_err());
        assert!(lasts(&stream).await <= CUT_AFTER_DEADLINE);
        drop(held);
        assert!(lasts(&leash).await <= Duration::from_secs(60));
    }
}
