//! The results, as they come.

use super::{Batch, Progress, item::Item};
use crate::{alarm::Alarm, deadline::Deadline, error::BoxError};
use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use http::Request;
use pin_project_lite::pin_project;
use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tower_service::Service;

pin_project! {
    /// The results of a batch: `(index, result)`, in order of completion, unless the batch was asked for
    /// [their order](Batch::in_order).
    ///
    /// Nothing moves while nobody polls it. Dropping it cancels what is in flight.
    #[must_use = "a batch does nothing unless its results are asked for"]
    pub struct Results<S, B, I, M, T, O>
    where
        S: Service<Request<B>>,
    {
        // None once nothing more is taken.
        #[pin]
        requests: Option<I>,
        in_flight: FuturesUnordered<Item<S, B, M, T>>,
        batch: Batch<S>,
        read: M,
        deadline: Deadline,
        // While nothing is in flight whose own timer would go off by then.
        alarm: Alarm,
        next_index: usize,
        turns: Turns<O>,
        progress: Progress,
    }
}

/// The future of [`Results::next`]. Dropping it loses nothing.
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct Next<'a, R>(&'a mut R);

/// Requests of an iterator, taken one by one. Never pending.
#[derive(Debug)]
pub struct Iterated<I>(I);

/// For results in the order of the requests: those that came before their turn. Empty otherwise.
#[derive(Debug)]
struct Turns<O> {
    /// From the one whose turn it is.
    results: VecDeque<Option<Result<O, BoxError>>>,
    index: usize,
    held: usize,
}

// === impl Results ===

impl<S, B, I, M, T, O> Results<S, B, I, M, T, O>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(batch: Batch<S>, requests: I, read: M, expected: Option<usize>) -> Self {
        Self {
            requests: Some(requests),
            in_flight: FuturesUnordered::new(),
            deadline: Deadline::after(batch.budget),
            alarm: Alarm::default(),
            batch,
            read,
            next_index: 0,
            turns: Turns {
                results: VecDeque::new(),
                index: 0,
                held: 0,
            },
            progress: Progress::new(expected),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl<S, B, I, M, T, O, E> Results<S, B, I, M, T, O>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
    I: Stream<Item = Request<B>>,
    M: Fn(S::Response) -> T + Clone,
    T: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    /// The next result; `None` at the end of the batch.
    #[allow(
        clippy::should_implement_trait,
        reason = "the async one, as streams have it"
    )]
    pub fn next(&mut self) -> Next<'_, Self>
    where
        Self: Unpin,
    {
        Next(self)
    }

    /// Takes requests from the input until the window is full.
    fn fill(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        while this.in_flight.len() + this.turns.held < this.batch.window {
            let Some(requests) = this.requests.as_mut().as_pin_mut() else {
                return;
            };
            if this.deadline.has_passed(Instant::now()) {
                this.requests.set(None);
                return;
            }
            match requests.poll_next(cx) {
                Poll::Ready(Some(request)) => {
                    let index = *this.next_index;
                    *this.next_index += 1;
                    if this.batch.in_order {
                        this.turns.results.push_back(None);
                    }
                    this.in_flight.push(Item::new(
                        index,
                        this.batch.service.clone(),
                        request,
                        this.read.clone(),
                        this.deadline
                            .earlier(Deadline::after(this.batch.item_budget)),
                        this.progress.clone(),
                    ));
                }
                Poll::Ready(None) => this.requests.set(None),
                Poll::Pending => return,
            }
        }
    }
}

impl<S, B, I, M, T, O, E> Stream for Results<S, B, I, M, T, O>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
    I: Stream<Item = Request<B>>,
    M: Fn(S::Response) -> T + Clone,
    T: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    type Item = (usize, Result<O, BoxError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.as_mut().fill(cx);
            let mut this = self.as_mut().project();
            let over = this.requests.is_none() && this.in_flight.is_empty();
            if let Some(result) = this.turns.take(over) {
                return Poll::Ready(Some(result));
            }
            let (index, result) = match Pin::new(&mut *this.in_flight).poll_next(cx) {
                Poll::Ready(Some(ended)) => ended,
                Poll::Ready(None) if this.requests.is_none() => return Poll::Ready(None),
                Poll::Ready(None) => {
                    // The input may have no more to say.
                    ready!(this.alarm.poll(cx, this.deadline.instant()));
                    this.requests.set(None);
                    continue;
                }
                Poll::Pending => return Poll::Pending,
            };
            if result.is_err() && this.batch.fail_fast {
                this.requests.set(None);
                *this.in_flight = FuturesUnordered::new();
            }
            if !this.batch.in_order {
                return Poll::Ready(Some((index, result)));
            }
            this.turns.hold(index, result);
        }
    }
}

impl<S, B, I, M, T, O> fmt::Debug for Results<S, B, I, M, T, O>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("deadline", &self.deadline)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

// === impl Next ===

impl<R: Stream + Unpin> Future for Next<'_, R> {
    type Output = Option<R::Item>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut *self.0).poll_next(cx)
    }
}

// === impl Turns ===

impl<O> Turns<O> {
    fn hold(&mut self, index: usize, result: Result<O, BoxError>) {
        if let Some(slot) = self.results.get_mut(index - self.index) {
            *slot = Some(result);
            self.held += 1;
        }
    }

    /// The one whose turn it is. Once all is over those that never ended are passed over.
    fn take(&mut self, over: bool) -> Option<(usize, Result<O, BoxError>)> {
        while let Some(front) = self.results.front_mut() {
            let result = front.take();
            if result.is_none() && !over {
                return None;
            }
            let index = self.index;
            self.results.pop_front();
            self.index += 1;
            if let Some(result) = result {
                self.held -= 1;
                return Some((index, result));
            }
        }
        None
    }
}

// === impl Iterated ===

impl<I> Iterated<I> {
    pub(super) const fn new(requests: I) -> Self {
        Self(requests)
    }
}

impl<I> Unpin for Iterated<I> {}

impl<I: Iterator> Stream for Iterated<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}
