//! The service.

use super::{Deadline, DeadlineBody, DeadlineFuture};
use crate::{call::Call, error::BoxError};
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll};
use tokio::time::Duration;
use tower_service::Service;

/// Holds each call to one deadline. See the [module](super).
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    budget: Duration,
}

// === impl DeadlineService ===

impl<S> DeadlineService<S> {
    pub(super) fn new(inner: S, budget: Duration) -> Self {
        Self { inner, budget }
    }

    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<DeadlineBody<R>>;
    type Error = BoxError;
    type Future = DeadlineFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::find_or_begin(&mut request);
        let mut own = Deadline::from_option(call.now().checked_add(self.budget));
        // The record has those that stood there when it was made: there is more than itself where one has come
        // later.
        let extensions = request.extensions();
        if extensions.len() > 1
            && let Some(of_request) = extensions.get::<Deadline>()
        {
            own = own.earlier(*of_request);
        }
        // Inside of an attempt this is a limit of the attempt and not of the call.
        if call.attempt() == 0 {
            call.lower_deadline(own);
        }
        // A clone of a service that nobody made ready is as good as the service itself; the future makes
        // it ready under the deadline.
        DeadlineFuture::new(self.inner.clone(), request, call, own)
    }
}
