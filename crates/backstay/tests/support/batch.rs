//! Requests that say their number, and services that answer with it.

use super::chat;
use backstay::{Body, BoxError, Error, ErrorKind};
use http::{Request, Response};
use std::{
    convert::Infallible,
    future::{Future, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::time::{Duration, sleep};
use tower::{Service, service_fn};

pub const MS: Duration = Duration::from_millis(1);

/// Requests that say their number.
pub fn numbered(requests: usize) -> impl ExactSizeIterator<Item = Request<Body>> {
    (0..requests).map(|number| {
        let mut request = chat();
        request.headers_mut().insert("number", number.into());
        request
    })
}

/// The same, counting how many were taken.
pub fn counted(
    requests: usize,
    pulled: &Arc<AtomicUsize>,
) -> impl Iterator<Item = Request<Body>> + use<> {
    let pulled = pulled.clone();
    numbered(requests).inspect(move |_| {
        pulled.fetch_add(1, SeqCst);
    })
}

/// A service whose response has the number of its request.
pub fn echo() -> impl Service<
    Request<Body>,
    Response = Response<()>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<()>, Infallible>>,
> + Clone {
    service_fn(|request: Request<Body>| {
        let mut response = Response::new(());
        if let Some(number) = request.headers().get("number") {
            response.headers_mut().insert("number", number.clone());
        }
        ready(Ok(response))
    })
}

pub fn number(response: &Response<()>) -> u64 {
    response.headers()["number"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

pub async fn after(milliseconds: u64) -> Result<(), Infallible> {
    sleep(Duration::from_millis(milliseconds)).await;
    Ok(())
}

/// backstay's own kind; transport for anything else.
pub fn told(error: &BoxError) -> ErrorKind {
    Error::find(&**error).map_or(ErrorKind::Transport, Error::kind)
}

/// Every second clone is dead.
#[derive(Default)]
pub struct Unready {
    clones: Arc<AtomicUsize>,
    number: usize,
}

impl Clone for Unready {
    fn clone(&self) -> Self {
        Self {
            clones: self.clones.clone(),
            number: self.clones.fetch_add(1, SeqCst),
        }
    }
}

impl Service<Request<Body>> for Unready {
    type Response = Response<()>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<()>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(if self.number % 2 == 1 {
            Err("dead".into())
        } else {
            Ok(())
        })
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}
