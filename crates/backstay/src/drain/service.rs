//! The service.

use super::{Drain, DrainBody, DrainFuture};
use crate::{
    call::{Call, Labels},
    error::BoxError,
};
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll};
use tower_service::Service;

/// Lets a drain wait for its calls, and end them. See the [module](super).
#[derive(Clone, Debug)]
pub struct DrainService<S> {
    inner: S,
    drain: Drain,
}

// === impl DrainService ===

impl<S> DrainService<S> {
    pub(super) const fn new(inner: S, drain: Drain) -> Self {
        Self { inner, drain }
    }

    /// The drain.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for DrainService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<DrainBody<R>>;
    type Error = BoxError;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.drain.is_draining() {
            // It stays so: the call will be refused, and need not wait for that.
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let labels = || {
            let labels = request.extensions().get::<Labels>();
            labels.cloned().unwrap_or_default()
        };
        match self.drain.admit_with(labels) {
            Ok(admission) => {
                let call = Call::find_or_begin(&mut request);
                call.watch(admission.hooks());
                DrainFuture::new(self.inner.call(request), call, admission)
            }
            Err(error) => DrainFuture::refused(error),
        }
    }
}
