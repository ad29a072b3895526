//! The deadline as a value, and the one that the task carries.

use crate::ambient::Ambient;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::{Duration, Instant};

/// The absolute instant at which a call is over.
///
/// In a request's extensions it lowers the deadline of that call. Around a block of code,
/// [`Deadline::scope`] lowers it for every call made inside.
///
/// ```
/// use backstay::Deadline;
/// use tokio::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let outer = Deadline::after(Duration::from_secs(2));
/// outer
///     .scope(async {
///         // Deadlines only shrink.
///         let inner = Deadline::after(Duration::from_secs(60));
///         inner
///             .scope(async { assert_eq!(Deadline::ambient(), Some(outer)) })
///             .await;
///     })
///     .await;
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deadline(Option<Instant>);

pin_project! {
    /// A future that runs under an ambient deadline; made by [`Deadline::scope`].
    ///
    /// It does not end the inner future at the deadline: the layers used inside do that for their calls.
    #[must_use = "futures do nothing unless polled"]
    pub struct WithDeadline<F> {
        deadline: Deadline,
        #[pin]
        inner: F,
    }
}

// === impl Deadline ===

impl Deadline {
    /// No deadline.
    pub const NEVER: Self = Self(None);

    /// At this instant.
    pub const fn at(instant: Instant) -> Self {
        Self(Some(instant))
    }

    /// This long from now. A budget too large for the clock, `Duration::MAX` for one, is never.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now().checked_add(budget))
    }

    /// The deadline of the code around, if it runs in a [`scope`](Self::scope) or in the block of a
    /// [`Scope`](crate::Scope); [`NEVER`](Self::NEVER) in one that has none.
    ///
    /// It is not carried into `tokio::spawn`, nor to whoever polls a response body; the layers read it
    /// once and carry it from there themselves. The tasks of a [`Scope`](crate::Scope) have its deadline.
    pub fn ambient() -> Option<Self> {
        Ambient::with(|ambient| ambient.deadline)
    }

    /// Runs a future under this deadline, or the ambient one if that is earlier.
    pub fn scope<F: Future>(self, inner: F) -> WithDeadline<F> {
        WithDeadline {
            deadline: self,
            inner,
        }
    }

    /// The instant, unless it is never.
    pub const fn instant(self) -> Option<Instant> {
        self.0
    }

    /// How long there is from `now` on; zero when it has passed, `Duration::MAX` for never.
    pub fn time_left(self, now: Instant) -> Duration {
        self.0
            .map_or(Duration::MAX, |at| at.saturating_duration_since(now))
    }

    /// Whether it has passed.
    pub fn has_passed(self, now: Instant) -> bool {
        self.0.is_some_and(|at| at <= now)
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// How long from `start` to it, unless it is never.
    pub(crate) fn budget(self, start: Instant) -> Option<Duration> {
        Some(self.0?.saturating_duration_since(start))
    }

    pub(crate) fn from_option(at: Option<Instant>) -> Self {
        Self(at)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, "Deadline({at:?})"),
            None => f.write_str("Deadline(never)"),
        }
    }
}

// === impl WithDeadline ===

impl<F: Future> Future for WithDeadline<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let around = Ambient::with(Ambient::clone).unwrap_or_default();
        let ambient = Ambient {
            deadline: this.deadline.earlier(around.deadline),
            ..around
        };
        ambient.enter(|| this.inner.poll(cx))
    }
}

impl<F> fmt::Debug for WithDeadline<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithDeadline")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
