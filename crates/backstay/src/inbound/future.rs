//! The future: the head, or 504.

use super::{Inbound, InboundBody, Late};
use crate::{
    alarm::Alarm,
    deadline::{Deadline, WithDeadline},
};
use http::Response;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::{Duration, Instant};

pin_project! {
    /// The response future of [`InboundService`](super::InboundService).
    #[must_use = "futures do nothing unless polled"]
    pub struct InboundFuture<F> {
        #[pin]
        inner: Option<WithDeadline<F>>,
        budget: Budget,
        polled: bool,
        alarm: Alarm,
        settings: Arc<Inbound>,
    }
}

/// The time of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) started: Instant,
    pub(super) deadline: Deadline,
    pub(super) told: bool,
}

// === impl InboundFuture ===

impl<F: Future> InboundFuture<F> {
    pub(super) fn new(inner: F, budget: Budget, settings: Arc<Inbound>) -> Self {
        Self {
            inner: Some(budget.deadline.scope(inner)),
            budget,
            polled: false,
            alarm: Alarm::default(),
            settings,
        }
    }
}

impl<F, R, E> Future for InboundFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<InboundBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        let first = !std::mem::replace(this.polled, true);
        if first && let Some(ambient) = Deadline::ambient() {
            this.budget.deadline = this.budget.deadline.earlier(ambient);
        }
        // It may have waited long for its first poll: nothing is begun then.
        if !(first && this.budget.deadline.has_passed(Instant::now())) {
            if let Poll::Ready(result) = inner.poll(cx) {
                this.inner.set(None);
                let (budget, alarm) = (*this.budget, std::mem::take(this.alarm));
                return Poll::Ready(
                    result
                        .map(|response| response.map(|body| InboundBody::new(body, budget, alarm))),
                );
            }
            ready!(this.alarm.poll(cx, this.budget.deadline.instant()));
        }
        this.inner.set(None);
        let late = this.budget.late();
        tracing::debug!(budget = ?late.budget(), told = late.was_told(), "a request is late");
        let answer = this.settings.answer_late(&late);
        Poll::Ready(Ok(answer.map(InboundBody::of_late)))
    }
}

impl<F> fmt::Debug for InboundFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundFuture")
            .field("deadline", &self.budget.deadline)
            .finish_non_exhaustive()
    }
}

// === impl Budget ===

impl Budget {
    /// How long there was.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.deadline.budget(self.started)
    }

    pub(super) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }

    fn late(&self) -> Late {
        let limit = self.limit().unwrap_or(Duration::MAX);
        Late::new(limit, self.told, self.elapsed())
    }
}
