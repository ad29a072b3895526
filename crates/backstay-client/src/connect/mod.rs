//! The connector: one clock over everything that it takes to get a connection.

mod stream;

pub(crate) use self::stream::Stream;

use self::stream::{Inner as StreamInner, Transport};
use crate::{
    BoxError,
    proxy::{Route, Routes},
};
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{
            HttpConnector,
            proxy::{SocksV4, SocksV5, Tunnel},
        },
        proxy::matcher::Intercept,
    },
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    task_local,
    time::{Duration, Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// Makes connections, for hyper-util and for the calls that drive their own.
#[derive(Clone)]
pub(crate) struct Connector {
    paths: Arc<Paths>,
    default_limit: Duration,
}

/// The parts from which every route is made.
struct Paths {
    tcp: HttpConnector,
    /// To a proxy, which may itself be spoken to over TLS.
    proxy: HttpsConnector<HttpConnector>,
    /// To the destination, over whatever leads there.
    tls: TlsConnector,
    routes: Routes,
}

task_local! {
    /// The limit of the request in whose poll the connector is called.
    static LIMIT: Option<Duration>;
}

/// Polls hyper-util's future so that a connector called in there sees the limit of its request.
pub(crate) fn with_limit<T>(limit: Option<Duration>, poll: impl FnOnce() -> T) -> T {
    LIMIT.sync_scope(limit, poll)
}

// === impl Connector ===

impl Connector {
    /// `tls` has no ALPN yet; `alpn` is what the destination is offered.
    pub(crate) fn new(
        tcp: HttpConnector,
        tls: ClientConfig,
        alpn: Vec<Vec<u8>>,
        routes: Routes,
        default_limit: Duration,
    ) -> Self {
        let mut to_destination = tls.clone();
        to_destination.alpn_protocols = alpn;
        let mut to_proxy = tls;
        to_proxy.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            paths: Arc::new(Paths {
                proxy: HttpsConnector::from((tcp.clone(), to_proxy)),
                tcp,
                tls: TlsConnector::from(Arc::new(to_destination)),
                routes,
            }),
            default_limit,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        // Read now: hyper-util may finish the connection in a task of its own, outside of the scope.
        let limit = LIMIT
            .try_with(|limit| *limit)
            .unwrap_or_default()
            .unwrap_or(self.default_limit);
        let started = Instant::now();
        let paths = Arc::clone(&self.paths);
        Box::pin(async move {
            match timeout(limit, paths.connect(destination)).await {
                Ok(result) => result,
                Err(_expired) => {
                    let elapsed = Instant::now().saturating_duration_since(started);
                    Err(backstay::Error::connect_timeout(limit, elapsed).into())
                }
            }
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("default_limit", &self.default_limit)
            .finish_non_exhaustive()
    }
}

// === impl Paths ===

impl Paths {
    async fn connect(&self, destination: Uri) -> Result<Stream, BoxError> {
        let route = self.routes.of(&destination);
        let forwarded = matches!(route, Route::Forward(_));
        let transport = self.transport(route, &destination).await?;
        let inner = if destination.scheme() == Some(&Scheme::HTTPS) {
            self.secure(transport, &destination).await?
        } else {
            MaybeHttpsStream::Http(transport)
        };
        // Said here, per connection, and not to hyper-util's builder: there it would make all requests to a
        // host wait for one connection, and fail when the request that makes it is cancelled.
        Ok(Stream::new(inner, forwarded, self.routes.http2_only()))
    }

    /// A byte stream that ends at the destination, or at the proxy that forwards to it.
    async fn transport(&self, route: Route, destination: &Uri) -> Result<Transport, BoxError> {
        match route {
            Route::Direct => {
                let stream = self.tcp.clone().call(destination.clone()).await?;
                Ok(MaybeHttpsStream::Http(stream))
            }
            Route::Forward(proxy) => self.proxy.clone().call(proxy.uri().clone()).await,
            Route::Tunnel(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), self.proxy.clone());
                if let Some(credentials) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                Ok(tunnel.call(with_port(destination)?).await?)
            }
            Route::Socks(proxy) => self.socks(proxy, destination).await,
        }
    }

    async fn socks(&self, proxy: Intercept, destination: &Uri) -> Result<Transport, BoxError> {
        let address = with_port(proxy.uri())?;
        let destination = with_port(destination)?;
        let tcp = self.tcp.clone();
        let scheme = proxy.uri().scheme_str().unwrap_or_default();
        let local_dns = matches!(scheme, "socks4" | "socks5");
        let stream = if scheme.starts_with("socks4") {
            let mut socks = SocksV4::new(address, tcp).local_dns(local_dns);
            socks.call(destination).await?
        } else {
            let mut socks = SocksV5::new(address, tcp).local_dns(local_dns);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(destination).await?
        };
        Ok(MaybeHttpsStream::Http(stream))
    }

    async fn secure(
        &self,
        transport: Transport,
        destination: &Uri,
    ) -> Result<StreamInner, BoxError> {
        let host = destination.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())?;
        let stream = self.tls.connect(name, TokioIo::new(transport)).await?;
        Ok(MaybeHttpsStream::Https(TokioIo::new(stream)))
    }
}

/// The same URI with its port written out: what hyper-util assumes without is 443, for any scheme.
fn with_port(uri: &Uri) -> Result<Uri, http::Error> {
    if uri.port().is_some() {
        return Ok(uri.clone());
    }
    let scheme = uri.scheme_str().unwrap_or_default();
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => 1080,
    };
    let host = uri.host().unwrap_or_default();
    Uri::builder()
        .scheme(scheme)
        .authority(format!("{host}:{port}"))
        .path_and_query("/")
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_port_is_that_of_the_scheme() {
        for (uri, port) in [
            ("http://a.example", 80),
            ("https://a.example", 443),
            ("socks5h://a.example", 1080),
            ("https://[::1]", 443),
            ("http://a.example:8080", 8080),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(with_port(&uri).unwrap().port_u16(), Some(port));
        }
    }
}
