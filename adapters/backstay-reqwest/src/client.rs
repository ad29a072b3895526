//! The leaf service.

use crate::{ConnectClock, connect};
use backstay::{
    BoxError,
    timeout::ConnectLimit,
    transport::{Delivery, FreshConnection, SendFailure},
};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use hyper_util::client::legacy;
use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use tokio::time::Duration;
use tower_service::Service;

/// `reqwest` as a tower [`Service`], the innermost of a backstay stack.
///
/// Clones are cheap, share their connections and run concurrently. The service is always ready: what has to
/// wait (for a connection) waits in the [`ResponseFuture`].
///
/// Its error is a [`SendFailure`]: whether the request may have arrived, with the [`reqwest::Error`] as its
/// `source()`, without the URL, which may hold a key. Errors of the response's body are `reqwest::Error`s.
/// The extensions of a request stay here, but for reqwest's own.
#[derive(Clone)]
pub struct Client {
    pooled: reqwest::Client,
    /// The same without a pool: every request gets a connection of its own.
    unpooled: Option<reqwest::Client>,
    /// Set at the first connection that is made, if the clients have the connect clock: only then does it
    /// mean something that none was made.
    clocked: Arc<AtomicBool>,
}

/// The future of [`Client`]: resolves when the response's head is there.
///
/// Dropping it cancels: a connection that is being made is closed, an HTTP/1 connection that waits for its
/// response is closed, an HTTP/2 stream is reset and its siblings go on.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    state: State,
}

type Pending = <reqwest::Client as Service<reqwest::Request>>::Future;

enum State {
    Refused(Option<SendFailure>),
    Sent {
        pending: Pending,
        limit: Option<Duration>,
        /// Whether a connection was begun for this request.
        asked: bool,
        clocked: Arc<AtomicBool>,
    },
}

// === impl Client ===

impl Client {
    /// A client with the defaults of this crate and of reqwest.
    ///
    /// # Errors
    ///
    /// As [`reqwest::ClientBuilder::build`]: a TLS backend that cannot be set up.
    pub fn new() -> reqwest::Result<Self> {
        Self::build(|builder| builder)
    }

    /// A client that is configured as any reqwest client is.
    ///
    /// `configure` runs twice: the second client has no pool, for calls that ask for a connection that is
    /// surely new. It can turn redirects on, which replay no body; reqwest's retries are off whatever it says,
    /// because they would multiply with those of the layers.
    ///
    /// # Errors
    ///
    /// As [`reqwest::ClientBuilder::build`].
    pub fn build(
        configure: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> reqwest::Result<Self> {
        let configured = || {
            let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
            configure(builder)
                .retry(reqwest::retry::never())
                .connector_layer(ConnectClock::new())
        };
        Ok(Self {
            pooled: configured().build()?,
            unpooled: Some(configured().pool_max_idle_per_host(0).build()?),
            clocked: Arc::default(),
        })
    }
}

/// A client as it is. The crate's documentation says what then is not kept.
impl From<reqwest::Client> for Client {
    fn from(client: reqwest::Client) -> Self {
        Self {
            pooled: client,
            unpooled: None,
            clocked: Arc::default(),
        }
    }
}

impl<B> Service<Request<B>> for Client
where
    B: Body + Send + Sync + 'static,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<reqwest::Body>;
    type Error = SendFailure;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), SendFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture {
        let limit = ConnectLimit::of(request.extensions());
        let fresh = request.extensions_mut().remove::<FreshConnection>();
        let client = match (fresh, &mut self.unpooled) {
            (Some(FreshConnection), Some(unpooled)) => unpooled,
            _ => &mut self.pooled,
        };
        // The connection decides the version, and hyper refuses HTTP/2 requests over any other.
        *request.version_mut() = Version::HTTP_11;
        let state = match reqwest::Request::try_from(request.map(reqwest::Body::wrap)) {
            Ok(request) => {
                let (pending, asked) = connect::with_limit(limit, || client.call(request));
                State::Sent {
                    pending,
                    limit,
                    asked,
                    clocked: Arc::clone(&self.clocked),
                }
            }
            Err(error) => State::Refused(Some(failure(error, false))),
        };
        ResponseFuture { state }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // reqwest's own shows default headers, which may be credentials.
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

// === impl ResponseFuture ===

impl Future for ResponseFuture {
    type Output = Result<Response<reqwest::Body>, SendFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            // Polled again after its end, which no future must be.
            State::Refused(failure) => failure
                .take()
                .map_or(Poll::Pending, |failure| Poll::Ready(Err(failure))),
            State::Sent {
                pending,
                limit,
                asked,
                clocked,
            } => {
                // hyper-util calls the connector inside this poll, and it sees no request there.
                let (polled, now) = connect::with_limit(*limit, || Pin::new(pending).poll(cx));
                if now {
                    *asked = true;
                    clocked.store(true, Ordering::Relaxed);
                }
                polled.map(|result| match result {
                    Ok(response) => Ok(response.into()),
                    Err(error) => {
                        let in_pool = !*asked && clocked.load(Ordering::Relaxed);
                        Err(failure(error, in_pool))
                    }
                })
            }
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// What became of a request, as far as reqwest's error tells, and where it found its connection.
fn failure(error: reqwest::Error, in_pool: bool) -> SendFailure {
    let told = Delivery::of(&error);
    let delivery = if error.is_builder() {
        Delivery::Refused
    } else if told.may_have_arrived() {
        Delivery::maybe_sent(in_pool && was_lost(&error))
    } else {
        told
    };
    SendFailure::new(delivery).with_source(error.without_url())
}

/// Whether it is the exchange over the connection that failed, and not reqwest that gave up.
fn was_lost(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if error.is::<legacy::Error>() {
            return true;
        }
        next = error.source();
    }
    false
}
