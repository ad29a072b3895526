//! The layer and the service.

use super::StatusErrorFuture;
use crate::{call::Call, error::BoxError};
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Makes an error of an answer whose status is not 2xx. See the [module](super).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StatusErrorLayer;

/// Makes an error of an answer whose status is not 2xx. See the [module](super).
#[derive(Clone, Debug)]
pub struct StatusErrorService<S> {
    inner: S,
}

// === impl StatusErrorLayer ===

impl StatusErrorLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for StatusErrorLayer {
    type Service = StatusErrorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StatusErrorService { inner }
    }
}

// === impl StatusErrorService ===

impl<S> StatusErrorService<S> {
    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for StatusErrorService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
    R::Data: Buf,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = StatusErrorFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::find_or_begin(&mut request);
        call.adopt_ambient_if_outermost();
        StatusErrorFuture::new(self.inner.call(request), call)
    }
}
