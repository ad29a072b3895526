//! Everything that can be chosen about a client, with its defaults and bounds.

mod error;

pub use self::error::BuildError;

use crate::{Client, Proxy, client::PlainHttp, connect::Connector, direct, tls};
use http::HeaderValue;
use http_body::Body;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Duration;

/// Builds a [`Client`]. Made by [`Client::builder`].
///
/// `Duration::MAX` means never; zero is an error of [`Builder::build`].
///
/// ```no_run
/// use backstay_client::{Client, Proxy};
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pem = std::fs::read("our-own-authority.pem")?;
/// let client: Client<Full<Bytes>> = Client::builder()
///     .connect_timeout(Duration::from_secs(5))
///     .pool_max_idle_per_host(8)
///     .proxy(Proxy::none())
///     .add_root_certificate_pem(&pem)
///     .user_agent("my-agent/1.0")
///     .build()?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    connect_timeout: Duration,
    pool_idle_timeout: Duration,
    pool_max_idle_per_host: usize,
    versions: Versions,
    plain_http: PlainHttp,
    tcp_keepalive: Duration,
    tcp_user_timeout: Duration,
    http2_keep_alive_interval: Duration,
    http2_keep_alive_timeout: Duration,
    http2_max_header_list_size: u32,
    http2_max_local_error_reset_streams: usize,
    proxy: Proxy,
    root_certificates_pem: Vec<Vec<u8>>,
    user_agent: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Versions {
    Both,
    Http1,
    Http2,
}

/// The most idle connections per host that [`Builder::pool_max_idle_per_host`] takes. Each is a file
/// descriptor, and few processes may have more.
const POOL_MAX_IDLE_PER_HOST_LIMIT: usize = 4096;

/// From here on a duration is never: hyper-util adds durations to instants, and panics when that overflows.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How many of its own resets an HTTP/2 connection remembers; h2's default of 50 is too few where calls are
/// cancelled in bulk.
const HTTP2_REMEMBERED_RESETS: usize = 1024;

const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const TCP_KEEPALIVE_RETRIES: u32 = 3;

// === impl Builder ===

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            pool_idle_timeout: Duration::from_secs(50),
            pool_max_idle_per_host: 32,
            versions: Versions::Both,
            plain_http: PlainHttp::Refused,
            tcp_keepalive: Duration::from_secs(60),
            tcp_user_timeout: Duration::from_secs(30),
            http2_keep_alive_interval: Duration::from_secs(30),
            http2_keep_alive_timeout: Duration::from_secs(20),
            http2_max_header_list_size: 64 * 1024,
            http2_max_local_error_reset_streams: 1024,
            proxy: Proxy::default(),
            root_certificates_pem: Vec::new(),
            user_agent: concat!("backstay/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// The `connect` clock: DNS, TCP, proxy and TLS together. 10 s by default.
    ///
    /// A [`ConnectLimit`](backstay::timeout::ConnectLimit) in a request's extensions stands in its place
    /// for the connection that this request starts.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long an unused connection is kept. 50 s by default, which is below the 60 s after which many
    /// servers close theirs.
    pub fn pool_idle_timeout(mut self, limit: Duration) -> Self {
        self.pool_idle_timeout = limit;
        self
    }

    /// How many unused connections are kept per scheme, host and port: 32 by default, 4096 at most. With 0 every
    /// request has a connection of its own, also over HTTP/2.
    ///
    /// It does not limit connections in use: a concurrency limit above the client does.
    pub fn pool_max_idle_per_host(mut self, most: usize) -> Self {
        self.pool_max_idle_per_host = most;
        self
    }

    /// Speak HTTP/1.1 only. The last of this and [`Builder::http2_only`] counts; without either TLS servers
    /// choose (ALPN), and plain http is HTTP/1.1.
    pub fn http1_only(mut self) -> Self {
        self.versions = Versions::Http1;
        self
    }

    /// Speak HTTP/2 only, over plain http by prior knowledge. For gRPC.
    pub fn http2_only(mut self) -> Self {
        self.versions = Versions::Http2;
        self
    }

    /// Let plain http go anywhere. Off by default: it shows keys and prompts to the network.
    pub fn allow_http(mut self, allowed: bool) -> Self {
        self.plain_http = if allowed {
            PlainHttp::Allowed
        } else {
            PlainHttp::Refused
        };
        self
    }

    /// Let plain http go to `localhost` and loopback addresses: local model servers, gateways, tests. Off
    /// by default. The last of this and [`Builder::allow_http`] counts.
    pub fn allow_http_loopback(mut self, allowed: bool) -> Self {
        self.plain_http = if allowed {
            PlainHttp::Loopback
        } else {
            PlainHttp::Refused
        };
        self
    }

    /// After how long a silence TCP asks whether the other end is still there. 60 s by default, then every
    /// 15 s, 3 times. Long generations are silent for minutes, and middle boxes forget silent connections.
    pub fn tcp_keepalive(mut self, idle: Duration) -> Self {
        self.tcp_keepalive = idle;
        self
    }

    /// How long written bytes, and keep-alive probes, may stay unacknowledged before the connection is
    /// given up. 30 s by default. Linux, Android and Fuchsia; without effect elsewhere.
    pub fn tcp_user_timeout(mut self, limit: Duration) -> Self {
        self.tcp_user_timeout = limit;
        self
    }

    /// How often an HTTP/2 connection with open streams is asked for a sign of life. 30 s by default. Idle
    /// connections are left alone.
    pub fn http2_keep_alive_interval(mut self, interval: Duration) -> Self {
        self.http2_keep_alive_interval = interval;
        self
    }

    /// How long the answer to that may take before the connection and all its streams fail. 20 s by default.
    pub fn http2_keep_alive_timeout(mut self, limit: Duration) -> Self {
        self.http2_keep_alive_timeout = limit;
        self
    }

    /// The most bytes of response headers over HTTP/2. 64 KiB by default.
    pub fn http2_max_header_list_size(mut self, bytes: u32) -> Self {
        self.http2_max_header_list_size = bytes;
        self
    }

    /// How many stray frames one HTTP/2 connection survives in its life: 1024 by default.
    ///
    /// A cancelled call resets its stream. What the server had already sent for it is ignored as long as the
    /// reset is remembered: the last 1024 for about a second. Frames that come later count, and beyond this number the
    /// connection ends with all its calls. Raise it where very many calls are cancelled, by hedging or by a short
    /// `first_token` clock.
    pub fn http2_max_local_error_reset_streams(mut self, most: usize) -> Self {
        self.http2_max_local_error_reset_streams = most;
        self
    }

    /// Which way connections go. [`Proxy::from_environment`] by default.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Trust the certificates of this PEM text too, beside the platform's. Can be called more than once.
    pub fn add_root_certificate_pem(mut self, pem: &[u8]) -> Self {
        self.root_certificates_pem.push(pem.to_owned());
        self
    }

    /// The `user-agent` of requests that have none. `backstay/<version>` by default.
    pub fn user_agent(mut self, value: impl Into<String>) -> Self {
        self.user_agent = value.into();
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] for what can never work: see its variants.
    pub fn build<B>(self) -> Result<Client<B>, BuildError>
    where
        B: Body + Send,
        B::Data: Send,
    {
        self.check()?;
        let user_agent =
            HeaderValue::try_from(self.user_agent.as_str()).map_err(|_| BuildError::UserAgent)?;
        let mut extra_roots = Vec::new();
        for pem in &self.root_certificates_pem {
            extra_roots.extend(tls::certificates(pem)?);
        }
        let tls = tls::client_config(extra_roots)?;
        let http2_only = self.versions == Versions::Http2;
        let routes = self.proxy.clone().routes(http2_only)?;
        let connector = Connector::new(
            self.tcp(),
            tls,
            self.alpn(),
            routes.clone(),
            self.connect_timeout,
        );
        Ok(Client::from_parts(
            &mut self.hyper(),
            connector,
            routes,
            self.plain_http,
            http2_only,
            user_agent,
            direct::Limits {
                most_idle: self.pool_max_idle_per_host,
                idle_timeout: some_unless_never(self.pool_idle_timeout),
            },
        ))
    }

    fn check(&self) -> Result<(), BuildError> {
        for (option, duration) in [
            ("connect_timeout", self.connect_timeout),
            ("pool_idle_timeout", self.pool_idle_timeout),
            ("tcp_keepalive", self.tcp_keepalive),
            ("tcp_user_timeout", self.tcp_user_timeout),
            ("http2_keep_alive_interval", self.http2_keep_alive_interval),
            ("http2_keep_alive_timeout", self.http2_keep_alive_timeout),
        ] {
            if duration.is_zero() {
                return Err(BuildError::Zero { option });
            }
        }
        if self.http2_max_header_list_size == 0 {
            return Err(BuildError::Zero {
                option: "http2_max_header_list_size",
            });
        }
        if self.pool_max_idle_per_host > POOL_MAX_IDLE_PER_HOST_LIMIT {
            return Err(BuildError::TooLarge {
                option: "pool_max_idle_per_host",
                given: self.pool_max_idle_per_host,
                most: POOL_MAX_IDLE_PER_HOST_LIMIT,
            });
        }
        Ok(())
    }

    fn tcp(&self) -> HttpConnector {
        let mut tcp = HttpConnector::new();
        // The scheme has been judged before, and https comes through here as well.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(some_unless_never(self.tcp_keepalive));
        tcp.set_keepalive_interval(Some(TCP_KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(TCP_KEEPALIVE_RETRIES));
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        tcp.set_tcp_user_timeout(some_unless_never(self.tcp_user_timeout));
        tcp
    }

    fn alpn(&self) -> Vec<Vec<u8>> {
        let (h1, h2) = (b"http/1.1".to_vec(), b"h2".to_vec());
        match self.versions {
            Versions::Both => vec![h2, h1],
            Versions::Http1 => vec![h1],
            Versions::Http2 => vec![h2],
        }
    }

    fn hyper(&self) -> legacy::Builder {
        let mut hyper = legacy::Client::builder(TokioExecutor::new());
        hyper
            // Without both timers neither the idle timeout nor the keep-alive acts.
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(some_unless_never(self.pool_idle_timeout))
            .pool_max_idle_per_host(self.pool_max_idle_per_host)
            // On: it sends again only what was never written to a connection that turned out to be dead,
            // so no attempt is hidden, and there are only so many dead connections in a pool.
            .retry_canceled_requests(true)
            .http2_keep_alive_interval(some_unless_never(self.http2_keep_alive_interval))
            .http2_keep_alive_timeout(self.http2_keep_alive_timeout.min(NEVER))
            .http2_keep_alive_while_idle(false)
            .http2_max_header_list_size(self.http2_max_header_list_size)
            .http2_max_concurrent_reset_streams(HTTP2_REMEMBERED_RESETS)
            .http2_max_local_error_reset_streams(self.http2_max_local_error_reset_streams);
        hyper
    }
}

fn some_unless_never(duration: Duration) -> Option<Duration> {
    (duration < NEVER).then_some(duration)
}
