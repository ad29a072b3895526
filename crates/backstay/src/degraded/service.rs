//! The layer, the service, and what the user gives them.

use super::{DegradedBody, DegradedFuture};
use crate::error::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Makes a response for a failure. Implemented for functions.
pub trait Substitute: Clone {
    /// The response, or `None` to let the failure through.
    fn substitute(&self, failure: &BoxError) -> Option<Response<Bytes>>;
}

/// The mark, in a response's extensions, of an answer that a [`Substitute`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Degraded;

/// Answers in place of a failure. See the [module](super).
#[derive(Clone)]
pub struct DegradedLayer<D> {
    substitute: D,
}

/// Answers in place of a failure. See the [module](super).
#[derive(Clone)]
pub struct DegradedService<S, D> {
    inner: S,
    substitute: D,
}

impl<F> Substitute for F
where
    F: Fn(&BoxError) -> Option<Response<Bytes>> + Clone,
{
    fn substitute(&self, failure: &BoxError) -> Option<Response<Bytes>> {
        self(failure)
    }
}

// === impl DegradedLayer ===

impl<D: Substitute> DegradedLayer<D> {
    /// With this to make the responses.
    pub const fn new(substitute: D) -> Self {
        Self { substitute }
    }
}

impl<S, D: Clone> Layer<S> for DegradedLayer<D> {
    type Service = DegradedService<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        DegradedService {
            inner,
            substitute: self.substitute.clone(),
        }
    }
}

impl<D> fmt::Debug for DegradedLayer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DegradedLayer").finish_non_exhaustive()
    }
}

// === impl DegradedService ===

impl<S, D> DegradedService<S, D> {
    define_inner_service_accessors!();
}

impl<S, D, B, R> Service<Request<B>> for DegradedService<S, D>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    D: Substitute,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<DegradedBody<R>>;
    type Error = BoxError;
    type Future = DegradedFuture<S::Future, D>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        DegradedFuture::new(self.inner.call(request), self.substitute.clone())
    }
}

impl<S: fmt::Debug, D> fmt::Debug for DegradedService<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DegradedService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
