//! Which way a connection goes: straight, or through a proxy.

use crate::{BuildError, loopback::is_loopback};
use http::{Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::{fmt, sync::Arc};

/// Which destinations go through which proxy.
///
/// A proxy is written `scheme://user:password@host:port`; the credentials are percent-encoded and
/// optional. Schemes: `http` and `https` (a CONNECT tunnel for https destinations, and absolute-form requests
/// for plain http), `socks5h` and `socks4a` (the proxy resolves names), `socks5` and `socks4` (names are
/// resolved here). SOCKS 4 has no credentials. A port that is missing is 80, 443, or 1080 for SOCKS.
///
/// The credentials are never shown by `Debug` or in errors.
///
/// ```
/// use backstay_client::Proxy;
///
/// let proxy = Proxy::url("http://user:secret@proxy.example:3128").no_proxy("localhost, 10.0.0.0/8, .internal");
/// assert!(!format!("{proxy:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct Proxy {
    choice: Choice,
}

#[derive(Clone)]
enum Choice {
    None,
    Environment,
    Url { url: String, no_proxy: String },
}

// === impl Proxy ===

impl Proxy {
    /// The default: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the same in small
    /// letters, read once when the client is built, by curl's rules. Where `REQUEST_METHOD` is set (CGI) no proxy is used.
    ///
    /// `localhost` and loopback addresses are never sent through a proxy that is found in this way.
    pub fn from_environment() -> Self {
        Self {
            choice: Choice::Environment,
        }
    }

    /// No proxy, whatever the environment says.
    pub fn none() -> Self {
        Self {
            choice: Choice::None,
        }
    }

    /// One proxy for all destinations, whatever the environment says. See [`Proxy::no_proxy`].
    ///
    /// A URL that cannot be used is a [`BuildError::Proxy`].
    pub fn url(url: impl Into<String>) -> Self {
        Self {
            choice: Choice::Url {
                url: url.into(),
                no_proxy: String::new(),
            },
        }
    }

    /// Destinations that [`Proxy::url`] leaves alone: comma-separated domains (with their subdomains), IP
    /// addresses, networks as `10.0.0.0/8`, or `*`. It changes nothing for the other choices.
    #[must_use]
    pub fn no_proxy(mut self, list: impl Into<String>) -> Self {
        if let Choice::Url { no_proxy, .. } = &mut self.choice {
            *no_proxy = list.into();
        }
        self
    }

    pub(crate) fn routes(self, http2_only: bool) -> Result<Routes, BuildError> {
        let (matcher, spare_loopback) = match self.choice {
            Choice::None => (None, false),
            Choice::Environment => (Some(Matcher::from_env()), true),
            Choice::Url { url, no_proxy } => {
                // The matcher passes over a URL that it cannot read, and would then connect directly.
                let anywhere = Uri::from_static("https://destination.invalid");
                let alone = Matcher::builder().all(url.as_str()).build();
                if alone.intercept(&anywhere).is_none() {
                    return Err(BuildError::Proxy);
                }
                (
                    Some(Matcher::builder().all(url).no(no_proxy).build()),
                    false,
                )
            }
        };
        Ok(Routes {
            matcher: matcher.map(Arc::new),
            spare_loopback,
            http2_only,
        })
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Self::from_environment()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.choice {
            Choice::None => "Proxy::none()",
            Choice::Environment => "Proxy::from_environment()",
            Choice::Url { .. } => "Proxy::url(..)",
        })
    }
}

/// The routing table of a built client.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    matcher: Option<Arc<Matcher>>,
    spare_loopback: bool,
    http2_only: bool,
}

/// The way to one destination.
#[derive(Debug)]
pub(crate) enum Route {
    Direct,
    /// Plain http: the proxy reads the requests.
    Forward(Intercept),
    /// The proxy joins two byte streams.
    Tunnel(Intercept),
    Socks(Intercept),
}

// === impl Routes ===

impl Routes {
    pub(crate) fn http2_only(&self) -> bool {
        self.http2_only
    }

    pub(crate) fn of(&self, destination: &Uri) -> Route {
        let Some(matcher) = &self.matcher else {
            return Route::Direct;
        };
        if self.spare_loopback && destination.host().is_some_and(is_loopback) {
            return Route::Direct;
        }
        let Some(proxy) = matcher.intercept(destination) else {
            return Route::Direct;
        };
        if !matches!(proxy.uri().scheme_str(), Some("http" | "https")) {
            Route::Socks(proxy)
        } else if destination.scheme() == Some(&Scheme::HTTPS) || self.http2_only {
            // HTTP/2 without TLS cannot be forwarded by an HTTP/1 proxy, but it can be tunnelled.
            Route::Tunnel(proxy)
        } else {
            Route::Forward(proxy)
        }
    }
}
