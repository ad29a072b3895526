//! The one timer of a call or an attempt.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// A timer that is made at the first wait and costs next to nothing at the later ones.
///
/// It lives on the heap, so that the body which owns it stays `Unpin`, and so that the deadline's timer
/// moves from the future to the body without being registered again.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The task that the timer will wake. While the same task waits again there is nothing to do.
    waker: Option<Waker>,
}

// === impl Alarm ===

impl Alarm {
    /// Whether the timer is set, has not gone off, and will wake this task: then nothing is to be done.
    #[inline]
    pub(crate) fn will_wake(&self, cx: &Context<'_>) -> bool {
        match (&self.sleep, &self.waker) {
            (Some(sleep), Some(waker)) => waker.will_wake(cx.waker()) && !sleep.is_elapsed(),
            _ => false,
        }
    }

    /// Ready once `at` has passed; never, without one.
    ///
    /// A later `at` than last time does not touch the timer: it goes off early, once, and is then set
    /// to the later instant. An earlier one registers it again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else {
            return Poll::Pending;
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if at < sleep.deadline() {
                    sleep.as_mut().reset(at);
                    self.waker = None;
                }
                sleep
            }
            None => self.sleep.insert(Box::pin(sleep_until(at))),
        };
        if let Some(waker) = &self.waker
            && waker.will_wake(cx.waker())
            && !sleep.is_elapsed()
        {
            return Poll::Pending;
        }
        loop {
            // Unconstrained: out of its budget, tokio would answer `Pending` before it has registered
            // the waker, and the shortcut above would then wait for a timer that wakes nobody.
            if Pin::new(&mut unconstrained(sleep.as_mut()))
                .poll(cx)
                .is_pending()
            {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.waker = None;
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn goes_off_at_its_instant() {
        let at = Instant::now() + Duration::from_secs(3);
        let mut alarm = Alarm::default();
        poll_fn(|cx| alarm.poll(cx, Some(at))).await;
        assert_eq!(Instant::now(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_instant_moves_it() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let mut task = tokio_test::task::spawn(());
        task.enter(|cx, _| {
            assert!(
                alarm
                    .poll(cx, Some(start + Duration::from_secs(1)))
                    .is_pending()
            );
        });
        let later = start + Duration::from_secs(5);
        poll_fn(|cx| alarm.poll(cx, Some(later))).await;
        assert_eq!(Instant::now(), later);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_instant_moves_it() {
        let start = Instant::now();
        let mut alarm = Alarm::default();
        let mut task = tokio_test::task::spawn(());
        task.enter(|cx, _| {
            assert!(
                alarm
                    .poll(cx, Some(start + Duration::from_secs(60)))
                    .is_pending()
            );
        });
        let earlier = start + Duration::from_secs(2);
        poll_fn(|cx| alarm.poll(cx, Some(earlier))).await;
        assert_eq!(Instant::now(), earlier);
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_the_task_that_waits_now() {
        let at = Instant::now() + Duration::from_secs(1);
        let mut alarm = Alarm::default();
        let mut first = tokio_test::task::spawn(());
        first.enter(|cx, _| assert!(alarm.poll(cx, Some(at)).is_pending()));
        let mut second = tokio_test::task::spawn(());
        second.enter(|cx, _| assert!(alarm.poll(cx, Some(at)).is_pending()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(second.is_woken());
        assert!(!first.is_woken());
    }

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_budget_does_not_lose_the_wake() {
        let at = Instant::now() + Duration::from_secs(1);
        tokio::spawn(async move {
            let mut alarm = Alarm::default();
            poll_fn(|cx| {
                while tokio::task::coop::has_budget_remaining() {
                    let _ = std::pin::pin!(tokio::task::coop::consume_budget()).poll(cx);
                }
                alarm.poll(cx, Some(at))
            })
            .await;
        })
        .await
        .unwrap();
        assert_eq!(Instant::now(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn tells_whom_it_will_wake() {
        let at = Instant::now() + Duration::from_secs(1);
        let mut alarm = Alarm::default();
        let mut first = tokio_test::task::spawn(());
        let mut second = tokio_test::task::spawn(());
        first.enter(|cx, _| assert!(!alarm.will_wake(cx)));
        first.enter(|cx, _| assert!(alarm.poll(cx, Some(at)).is_pending()));
        first.enter(|cx, _| assert!(alarm.will_wake(cx)));
        second.enter(|cx, _| assert!(!alarm.will_wake(cx)));
        tokio::time::sleep(Duration::from_secs(2)).await;
        // It has gone off: nobody is woken until it is polled again.
        first.enter(|cx, _| assert!(!alarm.will_wake(cx)));
    }
}
