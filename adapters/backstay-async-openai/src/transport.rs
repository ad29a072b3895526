//! The service that async-openai calls.

use crate::{
    Failure, Report,
    report::{Reported, current},
};
use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use backstay::{Body, BoxError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower::{Service, ServiceExt};

/// A stack, for `async_openai::Client::with_http_service`.
///
/// The stack is made ready within the call, on a clone, so that a wait for it counts.
#[derive(Clone)]
pub struct Transport<S> {
    stack: S,
}

// === impl Transport ===

impl<S> Transport<S> {
    /// Over this stack.
    pub const fn new(stack: S) -> Self {
        Self { stack }
    }
}

impl<S, R> Service<HttpRequestFactory> for Transport<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: HttpBody + Send + Sync + 'static,
    R::Data: Into<Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<reqwest::Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let stack = self.stack.clone();
        let report = current();
        Box::pin(async move { send(stack, factory, report).await })
    }
}

impl<S> fmt::Debug for Transport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

async fn send<S, R>(
    stack: S,
    factory: HttpRequestFactory,
    report: Option<Report>,
) -> Result<reqwest::Response, OpenAIError>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: HttpBody + Send + Sync + 'static,
    R::Data: Into<Bytes>,
    R::Error: Into<BoxError>,
{
    let request = factory.build().await?;
    let url = request.url().clone();
    let request = backstay_reqwest::request(request)?;
    match stack.oneshot(request).await {
        Ok(response) => {
            if let Some(report) = &report {
                report.answered(response.extensions());
            }
            let response = response.map(|body| Reported::new(body, report));
            Ok(backstay_reqwest::response(url, response))
        }
        Err(error) => {
            let failure = Failure::new(error);
            if let Some(report) = &report {
                report.failed(failure.clone());
            }
            Err(OpenAIError::Boxed(failure.into()))
        }
    }
}
