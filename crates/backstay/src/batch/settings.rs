//! What is chosen about a batch.

use super::{Results, results::Iterated};
use crate::error::{BoxError, BuildError};
use futures_core::Stream;
use http::Request;
use std::future::Future;
use tokio::time::Duration;
use tower_service::Service;

/// Many calls of one service, a window of them at a time. See the [module](super).
#[derive(Clone, Debug)]
#[must_use = "a batch does nothing until it is run"]
pub struct Batch<S> {
    pub(super) service: S,
    pub(super) window: usize,
    pub(super) budget: Duration,
    pub(super) item_budget: Duration,
    pub(super) fail_fast: bool,
    pub(super) in_order: bool,
}

const DEFAULT_WINDOW: usize = 16;

// === impl Batch ===

impl<S> Batch<S> {
    /// Calls of clones of this service. Each is made ready by its own item.
    pub const fn new(service: S) -> Self {
        Self {
            service,
            window: DEFAULT_WINDOW,
            budget: Duration::MAX,
            item_budget: Duration::MAX,
            fail_fast: false,
            in_order: false,
        }
    }

    /// How many items are in flight at most; in order, how many are in flight or wait for their turn.
    /// Default: 16.
    pub const fn window(mut self, items: usize) -> Self {
        self.window = items;
        self
    }

    /// How long the whole batch may take, from [`run`](Self::run). Then nothing more is sent, and what is
    /// in flight ends with [`ErrorKind::Deadline`](crate::ErrorKind::Deadline). Default: no limit.
    pub const fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// How long one item may take, from when its request is taken from the input; never longer than the
    /// batch. Default: no limit.
    pub const fn item_budget(mut self, budget: Duration) -> Self {
        self.item_budget = budget;
        self
    }

    /// The first item that ends in an error ends the batch: what is in flight is cancelled, nothing more
    /// is sent, and that error is the last result. Otherwise each result is yielded, errors too.
    pub const fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }

    /// Results in the order of the requests. One that comes before its turn is held back and keeps its
    /// place in the window: a slow item slows down those behind it. With
    /// [`fail_fast`](Self::fail_fast), what has ended by then is still yielded, in order.
    pub const fn in_order(mut self) -> Self {
        self.in_order = true;
        self
    }

    /// Sends these requests; `read` makes a result of each response, and an item is in flight until that is
    /// done.
    ///
    /// # Errors
    ///
    /// [`BuildError::Zero`] for an empty window, [`BuildError::ZeroDuration`] for a budget of zero.
    #[allow(clippy::type_complexity, reason = "each part is the caller's")]
    pub fn run<B, I, M, T, O, E>(
        self,
        requests: I,
        read: M,
    ) -> Result<Results<S, B, Iterated<I::IntoIter>, M, T, O>, BuildError>
    where
        S: Service<Request<B>> + Clone,
        S::Error: Into<BoxError>,
        I: IntoIterator<Item = Request<B>>,
        M: Fn(S::Response) -> T + Clone,
        T: Future<Output = Result<O, E>>,
        E: Into<BoxError>,
    {
        let requests = requests.into_iter();
        let (least, most) = requests.size_hint();
        let expected = most.filter(|most| *most == least);
        self.start(Iterated::new(requests), read, expected)
    }

    /// The same for requests that come over time.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_stream<B, I, M, T, O, E>(
        self,
        requests: I,
        read: M,
    ) -> Result<Results<S, B, I, M, T, O>, BuildError>
    where
        S: Service<Request<B>> + Clone,
        S::Error: Into<BoxError>,
        I: Stream<Item = Request<B>>,
        M: Fn(S::Response) -> T + Clone,
        T: Future<Output = Result<O, E>>,
        E: Into<BoxError>,
    {
        let (least, most) = requests.size_hint();
        let expected = most.filter(|most| *most == least);
        self.start(requests, read, expected)
    }

    fn start<B, I, M, T, O>(
        self,
        requests: I,
        read: M,
        expected: Option<usize>,
    ) -> Result<Results<S, B, I, M, T, O>, BuildError>
    where
        S: Service<Request<B>>,
    {
        if self.window == 0 {
            return Err(BuildError::Zero { setting: "window" });
        }
        for (setting, budget) in [("budget", self.budget), ("item_budget", self.item_budget)] {
            if budget.is_zero() {
                return Err(BuildError::ZeroDuration { setting });
            }
        }
        Ok(Results::new(self, requests, read, expected))
    }
}
