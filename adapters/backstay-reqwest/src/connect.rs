//! The connect clock, as a layer of reqwest's connector.

use backstay::BoxError;
use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    task_local,
    time::{Duration, Instant, timeout},
};
use tower_layer::Layer;
use tower_service::Service;

/// What a connection may take where no layer sets the `connect` clock: 10 s.
pub const DEFAULT_CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Keeps the `connect` clock over everything that it takes to get a connection: DNS, TCP, proxy and TLS.
///
/// [`Client::build`](crate::Client::build) has it. Give it to a `reqwest::Client` of your own with
/// `connector_layer`, and leave `connect_timeout` unset: the shorter of the two would hold.
///
/// ```
/// # fn main() -> reqwest::Result<()> {
/// let own = reqwest::Client::builder()
///     .retry(reqwest::retry::never())
///     .redirect(reqwest::redirect::Policy::none())
///     .connector_layer(backstay_reqwest::ConnectClock::new())
///     .build()?;
/// let leaf = backstay_reqwest::Client::from(own);
/// # let _ = leaf;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ConnectClock;

/// The service of [`ConnectClock`], around reqwest's connector.
#[derive(Clone)]
pub struct ConnectClockService<S> {
    inner: S,
}

/// What a connector learns of the request in whose poll it is called, and what it tells.
struct Asking {
    limit: Option<Duration>,
    asked: Cell<bool>,
}

task_local! {
    static ASKING: Asking;
}

/// Polls reqwest's future so that a connector called in there sees the limit of its request. Also says
/// whether one was called: if not, a connection was there already, or is still waited for.
pub(crate) fn with_limit<T>(limit: Option<Duration>, poll: impl FnOnce() -> T) -> (T, bool) {
    let asking = Asking {
        limit,
        asked: Cell::new(false),
    };
    ASKING.sync_scope(asking, || {
        let polled = poll();
        (polled, ASKING.with(|asking| asking.asked.get()))
    })
}

// === impl ConnectClock ===

impl ConnectClock {
    /// The clock; [`DEFAULT_CONNECT_LIMIT`] for requests without one.
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for ConnectClock {
    type Service = ConnectClockService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ConnectClockService { inner }
    }
}

// === impl ConnectClockService ===

impl<S, R> Service<R> for ConnectClockService<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        // Read now: hyper-util may finish the connection in a task of its own, outside of the scope.
        let limit = ASKING
            .try_with(|asking| {
                asking.asked.set(true);
                asking.limit
            })
            .unwrap_or_default()
            .unwrap_or(DEFAULT_CONNECT_LIMIT);
        let started = Instant::now();
        let connecting = self.inner.call(destination);
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(result) => result,
                Err(_expired) => {
                    let elapsed = Instant::now().saturating_duration_since(started);
                    Err(backstay::Error::connect_timeout(limit, elapsed).into())
                }
            }
        })
    }
}

impl<S> fmt::Debug for ConnectClockService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectClockService")
            .finish_non_exhaustive()
    }
}
