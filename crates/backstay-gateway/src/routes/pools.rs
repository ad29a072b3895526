//! The innermost service: a client, and so a pool of connections, for each thread that serves.

use crate::server;
use backstay::Body;
use backstay_client::{Client, Error, ResponseBody, ResponseFuture};
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Sends a request with the client of the thread that it is called on: a connection is driven by a task of
/// that thread.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// At least one.
    first: Client,
    others: Arc<[Client]>,
}

// === impl Pools ===

impl Pools {
    pub(crate) fn new(first: Client, others: impl IntoIterator<Item = Client>) -> Self {
        Self {
            first,
            others: others.into_iter().collect(),
        }
    }
}

impl Service<Request<Body>> for Pools {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.first.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        // Always ready, all of them.
        let other = server::here()
            .checked_sub(1)
            .and_then(|at| self.others.get(at));
        match other {
            Some(client) => client.clone().call(request),
            None => self.first.call(request),
        }
    }
}
