//! The service.

use super::{GrpcCallBody, GrpcCallFuture};
use crate::{
    methods::{Known, Reply},
    replay::ReplayBody,
    status::status_of,
};
use backstay::{
    BoxError, Deadline, deadline::DeadlineHeader, fallback::Idempotent, timeout::Streaming,
};
use bytes::Bytes;
use http::{Request, Response};
use std::task::{Context, Poll};
use tonic::{Status, body::Body};
use tower_service::Service;

/// Speaks tonic's language above a stack. See the [module](super).
#[derive(Clone, Debug)]
pub struct GrpcCallService<S> {
    inner: S,
    methods: Known,
    replay_limit: usize,
}

// === impl GrpcCallService ===

impl<S> GrpcCallService<S> {
    pub(super) fn new(inner: S, methods: Known, replay_limit: usize) -> Self {
        Self {
            inner,
            methods,
            replay_limit,
        }
    }
}

impl<S, R> Service<Request<Body>> for GrpcCallService<S>
where
    S: Service<Request<ReplayBody>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<GrpcCallBody<R>>;
    type Error = Status;
    type Future = GrpcCallFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| status_of(error.into()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        adopt_timeout(&mut request);
        let shape = self.methods.shape(request.uri().path());
        let extensions = request.extensions_mut();
        if shape.idempotent {
            extensions.insert(Idempotent);
        }
        if let Some(reply) = shape.reply {
            extensions.insert(Streaming(reply != Reply::Unary));
        }
        extensions.insert(shape);
        let limit = self.replay_limit;
        let request = request.map(|body| ReplayBody::new(body, limit));
        GrpcCallFuture::new(self.inner.call(request))
    }
}

/// Makes a deadline of a `grpc-timeout`, unless an earlier one is there.
pub(crate) fn adopt_timeout<B>(request: &mut Request<B>) {
    let timeout = DeadlineHeader::GRPC_TIMEOUT.read(request.headers());
    if let Some(timeout) = timeout {
        let extensions = request.extensions_mut();
        let said = extensions.get::<Deadline>().copied();
        let deadline = Deadline::after(timeout).earlier(said.unwrap_or(Deadline::NEVER));
        extensions.insert(deadline);
    }
}
