//! The future: attempts until one is let through.

use super::{
    Commit,
    course::Course,
    last_word::Output,
    plan::Plan,
    stage::{Rest, Stage, Step},
};
use crate::{
    alarm::Alarm,
    body::ReplayableBody,
    call::{Held, Phase},
    error::BoxError,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tower_service::Service;

pin_project! {
    /// The response future of [`FallbackService`](super::FallbackService).
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: ReplayableBody,
    {
        // The attempt under way; dropped before anything is written about its end.
        #[pin]
        calling: Option<S::Future>,
        // Until the head is returned, or an error.
        call: Option<Held>,
        rest: Rest<S, B, R>,
    }

    impl<S, B, R> PinnedDrop for FallbackFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: ReplayableBody,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.calling.set(None);
            if let Some(call) = this.call.take() {
                if let Stage::Holding(hold) = &mut this.rest.stage {
                    hold.settle(&call);
                }
                this.rest.course.lift_attempt_limit(&call);
                this.rest.course.abandoned(&call, Instant::now());
            }
        }
    }
}

// === impl FallbackFuture ===

impl<S, B, R> FallbackFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: ReplayableBody,
{
    pub(super) fn new(service: S, plan: Arc<Plan>, request: Request<B>, call: Held) -> Self {
        let course = Course::new(plan, &call);
        let mut future = Self {
            calling: None,
            call: Some(call),
            rest: Rest {
                service,
                course,
                alarm: Alarm::default(),
                commit: request.extensions().get::<Commit>().copied(),
                resent: false,
                first_word: None,
                stage: Stage::Start,
                request: None,
            },
        };
        // Last, and where it will stand: else all of it is moved with every part that is put together.
        future.rest.request = Some(request);
        future
    }
}

impl<S, B, R> Future for FallbackFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: ReplayableBody,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Output<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output<R>> {
        let mut this = self.project();
        let rest = this.rest;
        loop {
            let Some(call) = this.call.as_ref() else {
                // Polled again after its end, which no future must be.
                return Poll::Pending;
            };
            let mut step = match &mut rest.stage {
                Stage::Calling => {
                    let Some(calling) = this.calling.as_mut().as_pin_mut() else {
                        return Poll::Pending;
                    };
                    let polled = calling.poll(cx);
                    let limit = match &polled {
                        Poll::Ready(_) => None,
                        Poll::Pending => match rest.poll_limit(cx, call) {
                            Some(error) => Some(error),
                            None => return Poll::Pending,
                        },
                    };
                    // Before anything else is done: its drop lets go of the connection.
                    this.calling.set(None);
                    match polled {
                        Poll::Ready(Ok(response)) => {
                            match rest.head_came(cx, this.call, response) {
                                Ok(response) => return Poll::Ready(Ok(response)),
                                Err(step) => step,
                            }
                        }
                        Poll::Ready(Err(error)) => rest.send_failed(call, error.into()),
                        Poll::Pending => match limit {
                            Some(error) => rest.attempt_failed(call, error.into()),
                            None => return Poll::Pending,
                        },
                    }
                }
                _ => ready!(rest.poll_waiting(cx, call)),
            };
            let Some(call) = this.call.as_ref() else {
                return Poll::Pending;
            };
            // The service is ready as a rule: then the request goes from hand to hand.
            while let Step::Send = step {
                step = match rest.service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {
                        let Some(request) = rest.request.take() else {
                            return Poll::Pending;
                        };
                        call.set_phase(Phase::Headers);
                        this.calling.set(Some(rest.service.call(request)));
                        Step::Go(Stage::Calling)
                    }
                    Poll::Ready(Err(error)) => rest.unready(call, error.into()),
                    Poll::Pending => {
                        rest.stage = Stage::Readying;
                        match rest.poll_limit(cx, call) {
                            Some(error) => rest.not_ready_in_time(call, error),
                            None => return Poll::Pending,
                        }
                    }
                };
            }
            match step {
                Step::Go(stage) => rest.stage = stage,
                Step::Commit(hold, ended) => {
                    return Poll::Ready(Ok(rest.let_through(
                        this.call,
                        *hold,
                        ended.then(Instant::now),
                    )));
                }
                Step::Word(word) => {
                    rest.course.lift_attempt_limit(call);
                    call.end(Instant::now());
                    let held = this.call.take();
                    return Poll::Ready(word.speak(held));
                }
                Step::Send => {}
            }
        }
    }
}

impl<S, B, R> fmt::Debug for FallbackFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: ReplayableBody,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
