//! The service.

use super::{GrpcServerBody, GrpcServerFuture};
use crate::status::status_of;
use backstay::{BoxError, Deadline, deadline::DeadlineHeader};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll};
use tokio::time::Duration;
use tonic::Status;
use tower_service::Service;

/// The caller's deadline, and failures as the right code. See the [module](super).
#[derive(Clone, Debug)]
pub struct GrpcServerService<S> {
    inner: S,
}

/// How much earlier than the caller's a call's deadline is here at most: more than a timer's resolution.
const MARGIN: Duration = Duration::from_millis(5);

// === impl GrpcServerService ===

impl<S> GrpcServerService<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B, R> Service<Request<B>> for GrpcServerService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<GrpcServerBody<R>>;
    type Error = Status;
    type Future = GrpcServerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| status_of(error.into()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let deadline = inbound(&request);
        if deadline != Deadline::NEVER {
            request.extensions_mut().insert(deadline);
        }
        GrpcServerFuture::new(deadline.scope(self.inner.call(request)), deadline)
    }
}

/// The deadline that the caller set, and whoever stands before this layer.
fn inbound<B>(request: &Request<B>) -> Deadline {
    let said = request.extensions().get::<Deadline>().copied();
    let said = said.unwrap_or(Deadline::NEVER);
    match DeadlineHeader::GRPC_TIMEOUT.read(request.headers()) {
        Some(timeout) => {
            let margin = MARGIN.min(timeout / 4);
            Deadline::after(timeout.saturating_sub(margin)).earlier(said)
        }
        None => said,
    }
}
