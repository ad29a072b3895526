//! The service.

use super::{FallbackBody, FallbackFuture, plan::Plan};
use crate::{body::ReplayableBody, call::Call, error::BoxError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Retries, and falls back to other targets. See the [module](super).
#[derive(Clone)]
pub struct FallbackService<S> {
    inner: S,
    plan: Arc<Plan>,
}

// === impl FallbackService ===

impl<S> FallbackService<S> {
    pub(super) fn new(inner: S, plan: Arc<Plan>) -> Self {
        Self { inner, plan }
    }

    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for FallbackService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: ReplayableBody,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<FallbackBody<R>>;
    type Error = BoxError;
    type Future = FallbackFuture<S, B, R>;

    /// Always ready: an attempt makes its service ready. A readiness error ends the call, for tower calls
    /// such a service dead, and not the service.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::find_or_begin(&mut request);
        FallbackFuture::new(self.inner.clone(), self.plan.clone(), request, call)
    }
}

impl<S: fmt::Debug> fmt::Debug for FallbackService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackService")
            .field("inner", &self.inner)
            .field("plan", &self.plan)
            .finish()
    }
}
