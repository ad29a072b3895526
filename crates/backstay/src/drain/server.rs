//! The same for a service that answers requests: it says 503 instead of failing.

use super::{Admission, Drain, DrainBody, Watchers, around};
use crate::error::BoxError;
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, RETRY_AFTER},
};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// Answers 503 once the drain has begun, and lets it wait for what was begun before. From
/// [`Drain::server_layer`].
#[derive(Clone, Debug)]
pub struct ServerLayer {
    drain: Drain,
    retry_after: HeaderValue,
}

/// Answers 503 once the drain has begun. See [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct ServerService<S> {
    inner: S,
    drain: Drain,
    retry_after: HeaderValue,
}

pin_project! {
    /// The response future of [`ServerService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ServerFuture<F> {
        // Dropped first: the drain is told once it is gone.
        #[pin]
        inner: Option<F>,
        admission: Option<Admission>,
        // Those around at the first poll, and this one.
        watchers: Option<Watchers>,
        refusal: Refusal,
    }
}

/// What is said to a request that cannot be answered any more.
#[derive(Debug)]
struct Refusal {
    retry_after: HeaderValue,
    version: Version,
}

// === impl ServerLayer ===

impl ServerLayer {
    pub(super) fn new(drain: Drain, retry_after: Duration) -> Self {
        let up = u64::from(retry_after.subsec_nanos() > 0);
        Self {
            drain,
            retry_after: HeaderValue::from(retry_after.as_secs().saturating_add(up)),
        }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService {
            inner,
            drain: self.drain.clone(),
            retry_after: self.retry_after.clone(),
        }
    }
}

// === impl ServerService ===

impl<S> ServerService<S> {
    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for ServerService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<DrainBody<R>>;
    type Error = S::Error;
    type Future = ServerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.drain.is_draining() {
            // It stays so: the request will be refused, and need not wait for that.
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let refusal = Refusal {
            retry_after: self.retry_after.clone(),
            version: request.version(),
        };
        let admission = self.drain.admit().ok();
        ServerFuture {
            inner: admission.is_some().then(|| self.inner.call(request)),
            admission,
            watchers: None,
            refusal,
        }
    }
}

// === impl ServerFuture ===

impl<F, R, E> Future for ServerFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<DrainBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (Some(inner), Some(admission)) =
            (this.inner.as_mut().as_pin_mut(), this.admission.as_mut())
        else {
            return Poll::Ready(Ok(this.refusal.response()));
        };
        let hooks = admission.hooks();
        let watchers = this.watchers.get_or_insert_with(|| around::inside(hooks));
        if !admission.is_shut_down() {
            if let Poll::Ready(result) = around::poll(watchers.clone(), || inner.poll(cx)) {
                this.inner.set(None);
                let admission = this.admission.take();
                return Poll::Ready(match result {
                    Ok(response) => {
                        let watchers = watchers.clone();
                        Ok(response.map(|body| DrainBody::of_server(body, admission, watchers)))
                    }
                    Err(error) => {
                        if let Some(admission) = admission {
                            admission.has_failed();
                        }
                        Err(error)
                    }
                });
            }
            ready!(admission.poll_shutdown(cx));
        }
        around::shut_down(watchers.clone(), || this.inner.set(None));
        // Dropped, it counts as cancelled.
        *this.admission = None;
        Poll::Ready(Ok(this.refusal.response()))
    }
}

impl<F> fmt::Debug for ServerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFuture")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

// === impl Refusal ===

impl Refusal {
    fn response<R>(&self) -> Response<DrainBody<R>> {
        let mut response = Response::new(DrainBody::empty());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, self.retry_after.clone());
        // The next request goes to another instance. RFC 9113, section 8.2.2: not in HTTP/2.
        if self.version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
