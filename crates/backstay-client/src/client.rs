//! The client as a service: what it checks before a request is sent, and which pool it goes to.

use crate::{
    BoxError, BuildError, Builder, Error, ErrorKind, ResponseBody, ResponseFuture,
    connect::Connector,
    direct,
    loopback::is_loopback,
    proxy::{Route, Routes},
};
use backstay::timeout::ConnectLimit;
use backstay::transport::FreshConnection;
use http::{
    HeaderValue, Request, Response, Version,
    header::{PROXY_AUTHORIZATION, USER_AGENT},
    uri::Scheme,
};
use http_body::Body;
use hyper_util::client::legacy;
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// An HTTP/1.1 and HTTP/2 client as a tower [`Service`], the innermost of a backstay stack.
///
/// Clones are cheap, share one connection pool and run concurrently. The service is always ready: what
/// has to wait (for a connection) waits in the [`ResponseFuture`].
///
/// The URI of a request must be absolute, and `https` unless [`Builder::allow_http`] was asked for. The
/// connection decides the version (ALPN), so the request's own `version` is not looked at.
///
/// There is no limit on the whole call here: that is the business of the layers above.
///
/// ```no_run
/// use backstay_client::Client;
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower::ServiceExt;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client: Client<Full<Bytes>> = Client::new()?;
/// let request = http::Request::post("https://api.example.com/v1/chat/completions")
///     .header("content-type", "application/json")
///     .body(Full::from(r#"{"model":"m","messages":[]}"#))?;
/// let response = client.oneshot(request).await?;
/// assert!(response.status().is_success());
/// # Ok(())
/// # }
/// ```
pub struct Client<B = backstay::Body> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    /// For plain HTTP/1.1 straight to a server.
    direct: Arc<direct::Pool<B>>,
    /// For everything else.
    pooled: legacy::Client<Connector, B>,
    /// The same connector without a pool: every request gets a connection of its own.
    unpooled: legacy::Client<Connector, B>,
    routes: Routes,
    plain_http: PlainHttp,
    http2_only: bool,
    user_agent: HeaderValue,
}

/// Where plain http may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainHttp {
    Refused,
    Loopback,
    Allowed,
}

// === impl Client ===

impl<B> Client<B>
where
    B: Body + Send,
    B::Data: Send,
{
    /// A client with every default of [`Builder`].
    ///
    /// # Errors
    ///
    /// [`BuildError::NoRoots`] where the platform has no certificate store and the feature
    /// `webpki-roots` is off.
    pub fn new() -> Result<Self, BuildError> {
        Client::builder().build()
    }

    pub(crate) fn from_parts(
        hyper: &mut legacy::Builder,
        connector: Connector,
        routes: Routes,
        plain_http: PlainHttp,
        http2_only: bool,
        user_agent: HeaderValue,
        limits: direct::Limits,
    ) -> Self {
        let direct = Arc::new(direct::Pool::new(connector.clone(), limits));
        let pooled = hyper.build(connector.clone());
        let unpooled = hyper.pool_max_idle_per_host(0).build(connector);
        Self {
            shared: Arc::new(Shared {
                direct,
                pooled,
                unpooled,
                routes,
                plain_http,
                http2_only,
                user_agent,
            }),
        }
    }
}

impl Client<()> {
    /// Everything that can be chosen; see [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<B> Service<Request<B>> for Client<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture {
        let host = match self.shared.way(&request) {
            Ok(host) => host,
            Err(kind) => return ResponseFuture::refused(Error::refused(kind)),
        };
        request
            .headers_mut()
            .entry(USER_AGENT)
            .or_insert_with(|| self.shared.user_agent.clone());
        // hyper refuses HTTP/2 requests over an HTTP/1 connection, and the caller cannot know which of
        // the two ALPN will choose. A request that was received over HTTP/2 can be passed on like this.
        *request.version_mut() = Version::HTTP_11;
        let limit = ConnectLimit::of(request.extensions());
        let fresh = request.extensions_mut().remove::<FreshConnection>();
        if let Some(host) = host {
            direct::complete(&mut request, &host);
            let pool = Arc::clone(&self.shared.direct);
            let exchange = direct::exchange(pool, host, request, fresh.is_some(), limit);
            return ResponseFuture::direct(Box::pin(exchange));
        }
        self.shared.authorize_at_proxy(&mut request);
        let client = match fresh {
            Some(FreshConnection) => &self.shared.unpooled,
            None => &self.shared.pooled,
        };
        ResponseFuture::sent(client.request(request), limit)
    }
}

impl<B> Clone for Client<B> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<B> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("plain_http", &self.shared.plain_http)
            .field("http2_only", &self.shared.http2_only)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl<B> Shared<B> {
    /// The host to which the request goes over a connection of its own; `None` for hyper-util's way.
    fn way(&self, request: &Request<B>) -> Result<Option<Arc<direct::Host<B>>>, ErrorKind> {
        let uri = request.uri();
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(ErrorKind::RelativeUri);
        };
        let plain = *scheme == Scheme::HTTP;
        if plain
            && direct::takes(request)
            && let Some(host) = self.direct.find(authority)
        {
            return Ok(Some(host));
        }
        if authority.as_str().contains('@') {
            return Err(ErrorKind::UserInfo);
        }
        if *scheme == Scheme::HTTPS {
            return Ok(None);
        }
        if !plain {
            return Err(ErrorKind::UnsupportedScheme);
        }
        let straight = matches!(self.routes.of(uri), Route::Direct);
        let allowed = match self.plain_http {
            PlainHttp::Allowed => true,
            PlainHttp::Refused => false,
            // Through a proxy it would leave this machine after all.
            PlainHttp::Loopback => straight && is_loopback(authority.host()),
        };
        if !allowed {
            return Err(ErrorKind::PlainHttp);
        }
        let direct = straight && !self.http2_only && direct::takes(request);
        Ok(direct.then(|| self.direct.insert(authority)))
    }

    /// A proxy that forwards requests reads its credentials in each of them.
    fn authorize_at_proxy(&self, request: &mut Request<B>) {
        if request.uri().scheme() == Some(&Scheme::HTTP)
            && let Route::Forward(proxy) = self.routes.of(request.uri())
            && let Some(credentials) = proxy.basic_auth()
        {
            request
                .headers_mut()
                .entry(PROXY_AUTHORIZATION)
                .or_insert_with(|| credentials.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;
    use tokio::{
        net::TcpListener,
        time::{Duration, Instant, timeout},
    };

    #[tokio::test(start_paused = true)]
    async fn the_requests_connect_limit_replaces_the_builders() {
        // Takes connections, and never says a word of TLS.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let default = Duration::from_secs(10);
        let client: Client<Full<Bytes>> = Client::builder()
            .proxy(crate::Proxy::none())
            .connect_timeout(default)
            .build()
            .unwrap();
        let shorter = Duration::from_secs(2);
        let longer = Duration::from_secs(60);
        for (limit, expected) in [
            (None, default),
            (Some(shorter), shorter),
            (Some(longer), longer),
        ] {
            let request = Request::get(&url).body(Full::default()).unwrap();
            let started = Instant::now();
            let sent = ResponseFuture::sent(client.shared.pooled.request(request), limit);
            let error = timeout(Duration::from_secs(3600), sent)
                .await
                .expect("no limit was kept")
                .unwrap_err();
            let elapsed = Instant::now().saturating_duration_since(started);
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert!(elapsed >= expected, "{elapsed:?}");
            assert!(elapsed < expected + Duration::from_secs(1), "{elapsed:?}");
        }
    }
}
