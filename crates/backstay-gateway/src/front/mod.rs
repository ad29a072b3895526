//! Who is let in. A web page must not be able to spend money through a gateway on the loopback address.
//!
//! A page can make a browser send requests to this machine, also to a name of its own that suddenly points
//! to 127.0.0.1. It cannot choose `Host` (its own name, which is not among ours), nor leave out `Origin`
//! on a `POST`, nor send JSON without asking first. Each of the three is enough; all are checked.

mod deadline;
mod key;

pub(crate) use self::deadline::Told;

use crate::{
    config::{Config, Listener},
    refusal::Refusal,
    routes::CallersKey,
};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version, header, uri::Authority};
use std::sync::Arc;

/// What a browser says of where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request may be looked at further, whatever it is for.
pub(crate) fn check<B>(request: &Request<B>, listener: &Listener) -> Result<(), Refusal> {
    target_form(request)?;
    host(request, listener)?;
    origin(request, listener)
}

/// Who calls: it shows a key, where keys are asked for.
///
/// In `x-backstay-key` it leaves the SDK's own place to a key for the upstream.
pub(crate) fn admit(headers: &HeaderMap, config: &Config) -> Result<Option<Arc<str>>, Refusal> {
    if config.callers.is_empty() {
        return Ok(None);
    }
    key::whose(headers, &config.callers)
        .map(|caller| Some(caller.name.clone()))
        .ok_or_else(Refusal::key)
}

/// The key that a caller brought for the upstream. A key of this gateway's is none, wherever it stands.
pub(crate) fn callers_key(headers: &HeaderMap, config: &Config) -> Option<CallersKey> {
    if key::is_ours(headers, &config.callers) {
        return None;
    }
    CallersKey::of(headers)
}

/// A body must be JSON, and plain: what a form sends is refused.
pub(crate) fn json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| {
        let kind = kind.as_bytes();
        let end = kind.iter().position(|byte| *byte == b';');
        kind.get(..end.unwrap_or(kind.len()))
            .unwrap_or_default()
            .trim_ascii()
    });
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json")) {
        Ok(())
    } else {
        Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_type",
            "send `content-type: application/json`",
        ))
    }
}

/// The origin of a web page that may call, for its browser to be told so.
pub(crate) fn listed_origin<'h>(
    headers: &'h HeaderMap,
    listener: &Listener,
) -> Option<&'h http::HeaderValue> {
    let mut named = headers.get_all(header::ORIGIN).iter();
    let origin = named.next().filter(|_| named.next().is_none())?;
    listener
        .origins
        .iter()
        .any(|listed| origin.as_bytes().eq_ignore_ascii_case(listed.as_bytes()))
        .then_some(origin)
}

/// `GET http://elsewhere/` and `CONNECT elsewhere:443` ask for a proxy, which this is not.
fn target_form<B>(request: &Request<B>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::method("GET, POST"));
    }
    // Over HTTP/2 every target has scheme and authority.
    if request.version() != Version::HTTP_2 && request.uri().authority().is_some() {
        return Err(Refusal::bad(
            "absolute_target",
            "the request line holds a whole URL: this is no forward proxy, use it as a base URL",
        ));
    }
    Ok(())
}

fn host<B>(request: &Request<B>, listener: &Listener) -> Result<(), Refusal> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let unclear = || {
        Refusal::bad(
            "bad_host",
            "the request must name one host: `Host`, or `:authority` over HTTP/2",
        )
    };
    let header = match (named.next(), named.next()) {
        (_, Some(_)) => return Err(unclear()),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| unclear())?;
            Some(text.parse::<Authority>().map_err(|_| unclear())?)
        }
        (None, None) => None,
    };
    let authority = match (header, request.uri().authority()) {
        (Some(header), Some(uri)) if header != *uri => return Err(unclear()),
        (Some(header), _) => header,
        (None, Some(uri)) => uri.clone(),
        (None, None) => return Err(unclear()),
    };
    if is_known_host(authority.host(), listener) {
        Ok(())
    } else {
        Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            "the host is not one of this gateway's: add it to `hosts` of the listener if it is",
        ))
    }
}

/// An address is no name that somebody else could have made point here.
fn is_known_host(host: &str, listener: &Listener) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare.parse::<std::net::IpAddr>().is_ok()
        || bare.eq_ignore_ascii_case("localhost")
        || listener
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host))
}

fn origin<B>(request: &Request<B>, listener: &Listener) -> Result<(), Refusal> {
    let headers = request.headers();
    let foreign = || {
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "web pages may not call this gateway: list the origin in `origins` of the listener if yours may",
        ))
    };
    if headers.contains_key(header::ORIGIN) {
        return if listed_origin(headers, listener).is_some() {
            Ok(())
        } else {
            foreign()
        };
    }
    // A browser says so even where it leaves out the origin. Reading a page from a link is no call.
    let cross = headers
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    if cross && request.method() != Method::GET && request.method() != Method::HEAD {
        return foreign();
    }
    Ok(())
}
