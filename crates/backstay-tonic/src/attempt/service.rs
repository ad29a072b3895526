//! The service.

use super::{GrpcAttemptBody, GrpcAttemptFuture, layer::HoldBounds};
use crate::{
    methods::{Reply, Shape},
    replay::ReplayBody,
    wire::{GRPC_TIMEOUT, PREVIOUS_ATTEMPTS, format_grpc_timeout},
};
use backstay::{BoxError, Call, Deadline};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use std::task::{Context, Poll};
use tokio::time::Instant;
use tonic::body::Body;
use tower_service::Service;

/// Puts the time left on the wire and reads the status of each attempt. See the [module](super).
#[derive(Clone, Debug)]
pub struct GrpcAttemptService<S> {
    inner: S,
    hold: HoldBounds,
}

// === impl GrpcAttemptService ===

impl<S> GrpcAttemptService<S> {
    pub(super) fn new(inner: S, hold: HoldBounds) -> Self {
        Self { inner, hold }
    }
}

impl<S, R> Service<Request<ReplayBody>> for GrpcAttemptService<S>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Response = Response<GrpcAttemptBody<R>>;
    type Error = BoxError;
    type Future = GrpcAttemptFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReplayBody>) -> Self::Future {
        let call = Call::of(request.extensions()).cloned();
        let reply = request
            .extensions()
            .get::<Shape>()
            .and_then(|shape| shape.reply);
        let limit = limit(&request, call.as_ref());
        let headers = request.headers_mut();
        if let Some(at) = limit {
            let left = at.saturating_duration_since(Instant::now());
            headers.insert(GRPC_TIMEOUT, format_grpc_timeout(left));
        }
        // The caller's own says nothing of this call.
        headers.remove(PREVIOUS_ATTEMPTS);
        let before = call.as_ref().map_or(0, Call::attempt).saturating_sub(1);
        if before > 0 {
            headers.insert(PREVIOUS_ATTEMPTS, before.into());
        }
        // A rewrite drops it as one of the connection's; a gRPC server may insist on it.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        let inner = self.inner.call(request.map(ReplayBody::into_tonic));
        GrpcAttemptFuture::new(
            inner,
            call,
            reply.unwrap_or(Reply::Passed),
            limit,
            self.hold,
        )
    }
}

/// When the attempt is over, as far as is known here.
fn limit<B>(request: &Request<B>, call: Option<&Call>) -> Option<Instant> {
    let deadline = match call {
        Some(call) => call.deadline(),
        None => Deadline::ambient().unwrap_or(Deadline::NEVER),
    };
    // Where no layer outside has made a record of it.
    let said = request.extensions().get::<Deadline>();
    let deadline = deadline.earlier(said.copied().unwrap_or(Deadline::NEVER));
    let attempt = call.and_then(Call::attempt_limit);
    match (deadline.instant(), attempt) {
        (Some(deadline), Some(attempt)) => Some(deadline.min(attempt)),
        (deadline, attempt) => deadline.or(attempt),
    }
}
