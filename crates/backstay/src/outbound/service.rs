//! The service.

use super::settings::Checked;
use crate::{
    call::{Call, Over},
    deadline::{Deadline, DeadlineHeader},
};
use http::{Extensions, HeaderMap, Request, header::CONTENT_TYPE};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower_service::Service;

/// Tells the time left with each attempt. See the [module](super).
#[derive(Clone, Debug)]
pub struct OutboundService<S> {
    inner: S,
    settings: Arc<Checked>,
}

// === impl OutboundService ===

impl<S> OutboundService<S> {
    pub(super) fn new(inner: S, settings: Arc<Checked>) -> Self {
        Self { inner, settings }
    }

    define_inner_service_accessors!();
}

impl<S, B> Service<Request<B>> for OutboundService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        take_away(request.headers_mut(), &self.settings.headers);
        if self.settings.tells(request.uri())
            && let Some(at) = limit(request.extensions()).instant()
        {
            let left = at.saturating_duration_since(Instant::now());
            let left = left.saturating_sub(self.settings.margin);
            for header in &self.settings.headers {
                let form = header.form();
                let value = form.format(left.max(form.least()));
                request.headers_mut().insert(header.name(), value);
            }
        }
        self.inner.call(request)
    }
}

/// When the attempt must be over.
fn limit(extensions: &Extensions) -> Deadline {
    let said = extensions.get::<Deadline>().copied();
    let around = Deadline::ambient();
    let limit = said
        .unwrap_or(Deadline::NEVER)
        .earlier(around.unwrap_or(Deadline::NEVER));
    match Call::of(extensions) {
        Some(call) if call.over() != Some(Over::Ended) => limit
            .earlier(call.deadline())
            .earlier(Deadline::from_option(call.attempt_limit())),
        _ => limit,
    }
}

/// What somebody else wrote was about another request.
fn take_away(headers: &mut HeaderMap, own: &[DeadlineHeader]) {
    if headers.is_empty() {
        return;
    }
    for header in own {
        headers.remove(header.name());
    }
    for header in DeadlineHeader::KNOWN {
        if header == DeadlineHeader::GRPC_TIMEOUT && is_grpc(headers) {
            continue;
        }
        headers.remove(header.name());
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
