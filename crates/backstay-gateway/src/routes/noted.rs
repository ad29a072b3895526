//! Between the layer that makes a call's record and all others: gives the record to the call's entry.

use crate::trails::Entry;
use backstay::{Call, Deadline};
use http::Request;
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Takes the entry out of the request's extensions and hands it the call's trail, so that a call can be
/// looked at while it waits.
#[derive(Clone)]
pub(crate) struct Noted<S> {
    inner: S,
}

// === impl Noted ===

impl<S> Noted<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<B>> for Noted<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let extensions = request.extensions_mut();
        let entry = extensions.remove::<Arc<Entry>>();
        // The record has it by now. What stays in the extensions is copied for every attempt.
        extensions.remove::<Deadline>();
        if let (Some(entry), Some(call)) = (entry, Call::of(extensions)) {
            entry.follow(call.trail());
        }
        self.inner.call(request)
    }
}

impl<S: fmt::Debug> fmt::Debug for Noted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
