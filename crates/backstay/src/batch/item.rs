//! One item: readiness, the call, and what the caller makes of the response.

use super::progress::{Ended, Progress};
use crate::{
    alarm::Alarm,
    caught::Caught,
    deadline::{Deadline, WithDeadline},
    error::{BoxError, Error, ErrorKind},
    ready_call::ReadyCall,
};
use http::Request;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tower_service::Service;

pin_project! {
    /// An item in flight. Dropped, it is cancelled.
    pub(super) struct Item<S, B, M, T>
    where
        S: Service<Request<B>>,
    {
        // Dropped first: it counts as in flight until it is gone.
        #[pin]
        work: Option<Caught<WithDeadline<Work<S, B, M, T>>>>,
        index: usize,
        started: Instant,
        deadline: Deadline,
        alarm: Alarm,
        count: Count,
    }
}

pin_project! {
    #[project = WorkProj]
    enum Work<S, B, M, T>
    where
        S: Service<Request<B>>,
    {
        Calling { #[pin] call: ReadyCall<S, Request<B>>, read: M },
        Reading { #[pin] reading: T },
    }
}

/// Counts an item that ends, whatever way.
struct Count(Option<Progress>);

// === impl Item ===

impl<S, B, M, T, O, E> Item<S, B, M, T>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    M: Fn(S::Response) -> T,
    T: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    /// `service` need not be ready: the item waits until it is.
    pub(super) fn new(
        index: usize,
        service: S,
        mut request: Request<B>,
        read: M,
        deadline: Deadline,
        progress: Progress,
    ) -> Self {
        let deadline = match request.extensions().get::<Deadline>() {
            Some(own) => deadline.earlier(*own),
            None => deadline,
        };
        if deadline != Deadline::NEVER {
            request.extensions_mut().insert(deadline);
        }
        let call = ReadyCall::new(service, request);
        progress.item_started();
        Self {
            work: Some(Caught::new(deadline.scope(Work::Calling { call, read }))),
            index,
            started: Instant::now(),
            deadline,
            alarm: Alarm::default(),
            count: Count(Some(progress)),
        }
    }
}

impl<S, B, M, T, O, E> Future for Item<S, B, M, T>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    M: Fn(S::Response) -> T,
    T: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    type Output = (usize, Result<O, BoxError>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(work) = this.work.as_mut().as_pin_mut() else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        // The work first: what is ready wins, and a layer inside knows more to say about the same deadline.
        let result = match work.poll(cx) {
            Poll::Ready(Ok(result)) => result,
            Poll::Ready(Err(_)) => {
                tracing::error!(index = *this.index, "an item of a batch panicked");
                Err(panicked(*this.started).into())
            }
            Poll::Pending => {
                ready!(this.alarm.poll(cx, this.deadline.instant()));
                Err(passed(*this.started, *this.deadline).into())
            }
        };
        this.work.set(None);
        this.count.ended(match &result {
            Ok(_) => Ended::Succeeded,
            Err(error) if is_cancelled(error) => Ended::Cancelled,
            Err(_) => Ended::Failed,
        });
        Poll::Ready((*this.index, result))
    }
}

fn passed(started: Instant, deadline: Deadline) -> Error {
    let now = Instant::now();
    let limit = deadline
        .instant()
        .map(|at| at.saturating_duration_since(started));
    Error::new(ErrorKind::Deadline).with_times(limit, now.saturating_duration_since(started))
}

fn panicked(started: Instant) -> Error {
    let elapsed = Instant::now().saturating_duration_since(started);
    Error::new(ErrorKind::Panicked).with_times(None, elapsed)
}

fn is_cancelled(error: &BoxError) -> bool {
    Error::find(&**error).is_some_and(Error::is_cancelled)
}

// === impl Work ===

impl<S, B, M, T, O, E> Future for Work<S, B, M, T>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    M: Fn(S::Response) -> T,
    T: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    type Output = Result<O, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                WorkProj::Calling { call, read } => {
                    let response = ready!(call.poll(cx)).map_err(Into::into)?;
                    let reading = read(response);
                    self.set(Self::Reading { reading });
                }
                WorkProj::Reading { reading } => return reading.poll(cx).map_err(Into::into),
            }
        }
    }
}

// === impl Count ===

impl Count {
    fn ended(&mut self, how: Ended) {
        if let Some(progress) = self.0.take() {
            progress.item_ended(how);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.ended(if std::thread::panicking() {
            Ended::Failed
        } else {
            Ended::Cancelled
        });
    }
}
