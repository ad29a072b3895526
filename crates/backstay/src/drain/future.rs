//! The future.

use super::{Admission, DrainBody, live::Record};
use crate::{
    call::{Call, Held, Over},
    error::{BoxError, Cancellation, Error},
};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

pin_project! {
    /// The response future of [`DrainService`](super::DrainService).
    #[must_use = "futures do nothing unless polled"]
    pub struct DrainFuture<F> {
        // In this order: hooks are started before the drain is told that the call has ended.
        #[pin]
        inner: Option<F>,
        call: Option<Held>,
        admission: Option<Admission>,
        refused: Option<Error>,
    }
}

// === impl DrainFuture ===

impl<F> DrainFuture<F> {
    pub(super) fn new(inner: F, call: Held, mut admission: Admission) -> Self {
        // It may never be polled.
        admission.place(|| Some(Record::Call(Call::clone(&call))));
        Self {
            inner: Some(inner),
            call: Some(call),
            admission: Some(admission),
            refused: None,
        }
    }

    pub(super) fn refused(error: Error) -> Self {
        Self {
            inner: None,
            call: None,
            admission: None,
            refused: Some(error),
        }
    }
}

impl<F, R, E> Future for DrainFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<DrainBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(error) = this.refused.take() {
            return Poll::Ready(Err(error.into()));
        }
        let (Some(inner), Some(admission)) =
            (this.inner.as_mut().as_pin_mut(), this.admission.as_mut())
        else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        if !admission.is_shut_down() {
            if let Poll::Ready(result) = inner.poll(cx) {
                this.inner.set(None);
                let (call, admission) = (this.call.take(), this.admission.take());
                return Poll::Ready(match result {
                    Ok(mut response) => {
                        if let Some(call) = &call {
                            call.leave_trail(response.extensions_mut());
                        }
                        Ok(response.map(|body| DrainBody::new(body, call, admission)))
                    }
                    Err(error) => {
                        let error = error.into();
                        drop(call);
                        if let Some(admission) = admission {
                            admission.failed(&*error);
                        }
                        Err(error)
                    }
                });
            }
            ready!(admission.poll_shutdown(cx));
        }
        let error = this.call.as_deref().map(shut_down);
        this.inner.set(None);
        *this.call = None;
        // Dropped, it counts as cancelled.
        *this.admission = None;
        match error {
            Some(error) => Poll::Ready(Err(error.into())),
            None => Poll::Pending,
        }
    }
}

/// Says why what is inside is about to be dropped.
pub(super) fn shut_down(call: &Call) -> Error {
    call.set_over(Over::Shutdown);
    let now = Instant::now();
    call.end(now);
    Error::cancelled(call, Cancellation::Shutdown, now)
}

impl<F> fmt::Debug for DrainFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainFuture")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
