//! The service.

use super::{CancelBody, CancelFuture, Hooks, guard::Guard, hooks::Shared, token::Tokens};
use crate::{call::Call, error::BoxError};
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// Runs hooks when calls are cancelled or fail. See the [module](super).
#[derive(Clone)]
pub struct CancelService<S> {
    inner: S,
    shared: Arc<Shared>,
    token: Option<CancellationToken>,
}

// === impl CancelService ===

impl<S> CancelService<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>, token: Option<CancellationToken>) -> Self {
        Self {
            inner,
            shared,
            token,
        }
    }

    /// Counts, and a way to wait for hooks.
    pub fn hooks(&self) -> Hooks {
        Hooks(self.shared.clone())
    }

    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for CancelService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<CancelBody<R>>;
    type Error = BoxError;
    type Future = CancelFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::find_or_begin(&mut request);
        let of_request = request.extensions().get::<CancellationToken>();
        let tokens = Tokens::new(self.token.as_ref(), of_request);
        // Before the inner service is entered: its code may panic.
        let guard = Guard::new(self.shared.clone(), call);
        CancelFuture::new(self.inner.call(request), guard, tokens)
    }
}

impl<S: fmt::Debug> fmt::Debug for CancelService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelService")
            .field("inner", &self.inner)
            .field("hooks", &self.hooks())
            .finish()
    }
}
