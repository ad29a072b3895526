//! The service.

use super::{Inbound, InboundBody, InboundFuture, future::Budget};
use crate::{
    call::{Call, Over},
    deadline::Deadline,
    error::BoxError,
    timeout::Timeouts,
};
use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower_service::Service;

/// Holds each request to the time that its caller has. See the [module](super).
#[derive(Clone, Debug)]
pub struct InboundService<S> {
    inner: S,
    settings: Arc<Inbound>,
}

// === impl InboundService ===

impl<S> InboundService<S> {
    pub(super) fn new(inner: S, settings: Arc<Inbound>) -> Self {
        Self { inner, settings }
    }

    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for InboundService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<InboundBody<R>>;
    type Error = S::Error;
    type Future = InboundFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let grant = self.settings.grant(&parts);
        let said = parts.extensions.get::<Deadline>().copied();
        let own = Deadline::from_option(started.checked_add(grant.budget));
        let budget = Budget {
            started,
            deadline: own.earlier(said.unwrap_or(Deadline::NEVER)),
            told: grant.told,
        };
        tell(&mut parts.extensions, budget.deadline, grant.timeouts);
        let inner = self.inner.call(Request::from_parts(parts, body));
        InboundFuture::new(inner, budget, self.settings.clone())
    }
}

/// Tells those inside, where they look.
fn tell(extensions: &mut Extensions, deadline: Deadline, timeouts: Option<Timeouts>) {
    if let Some(call) = Call::of(extensions)
        && call.over() != Some(Over::Ended)
    {
        // A layer outside made the record already: nobody looks at the extension again.
        call.lower_deadline(deadline);
    }
    extensions.insert(deadline);
    if let Some(timeouts) = timeouts {
        let said = extensions.get::<Timeouts>().copied();
        extensions.insert(said.unwrap_or_default().or(timeouts));
    }
}
