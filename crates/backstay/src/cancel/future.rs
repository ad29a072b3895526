//! The future.

use super::{CancelBody, guard::Guard, token::Tokens};
use crate::error::BoxError;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The response future of [`CancelService`](super::CancelService).
    #[must_use = "futures do nothing unless polled"]
    pub struct CancelFuture<F> {
        // Dropped first, so that the trail is complete when the hooks get it.
        #[pin]
        inner: Option<F>,
        guard: Option<Guard>,
        tokens: Tokens,
        polled: bool,
    }

    impl<F> PinnedDrop for CancelFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(guard) = this.guard.as_ref() {
                guard.is_dropped();
            }
            this.inner.set(None);
        }
    }
}

// === impl CancelFuture ===

impl<F> CancelFuture<F> {
    pub(super) fn new(inner: F, guard: Guard, tokens: Tokens) -> Self {
        Self {
            inner: Some(inner),
            guard: Some(guard),
            tokens,
            polled: false,
        }
    }
}

impl<F, R, E> Future for CancelFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<CancelBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        let mut late = false;
        if !std::mem::replace(this.polled, true) {
            if let Some(guard) = this.guard {
                guard.adopt_ambient(this.tokens);
            }
            // A token that has fired already lets nothing be sent.
            late = this.tokens.have_fired();
        }
        if !late {
            match inner.poll(cx) {
                Poll::Ready(Ok(response)) => {
                    this.inner.set(None);
                    let (mut parts, body) = response.into_parts();
                    let guard = this.guard.take();
                    if let Some(call) = guard.as_ref().and_then(Guard::call) {
                        call.leave_trail(&mut parts.extensions);
                    }
                    let body = CancelBody::new(body, guard, std::mem::take(this.tokens));
                    return Poll::Ready(Ok(Response::from_parts(parts, body)));
                }
                Poll::Ready(Err(error)) => {
                    this.inner.set(None);
                    let error = error.into();
                    if let Some(guard) = this.guard.take() {
                        guard.failed(&*error);
                    }
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => ready!(this.tokens.poll(cx)),
            }
        }
        let guard = this.guard.take();
        let error = guard.as_ref().and_then(Guard::token_fired);
        this.inner.set(None);
        match (guard, error) {
            (Some(guard), Some(error)) => {
                guard.failed(&error);
                Poll::Ready(Err(error.into()))
            }
            _ => Poll::Pending,
        }
    }
}

impl<F> fmt::Debug for CancelFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelFuture")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
