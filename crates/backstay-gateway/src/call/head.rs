//! The heads: of the request that goes into the stack, of the answer that goes out.

use super::{SharedEntry, StackRequest, deadline_of};
use crate::{
    config::Clocks,
    refusal::Refusal,
    routes::{CallersKey, Line},
};
use backstay::{Body, Timeouts, Trail};
use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header, request,
    response, uri::PathAndQuery,
};
use tokio::time::{Duration, Instant};

static TARGET: HeaderName = HeaderName::from_static("x-backstay-target");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-backstay-attempts");
static TRAIL: HeaderName = HeaderName::from_static("x-backstay-trail");

/// Headers that belong to one connection, or to one origin that the caller does not speak with.
fn is_of_the_upstream_only(name: &HeaderName) -> bool {
    const NAMES: [&str; 12] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        // They speak for the upstream's origin, and would let a web page in here.
        "alt-svc",
        "strict-transport-security",
        "clear-site-data",
        "location",
    ];
    NAMES.contains(&name.as_str()) || name.as_str().starts_with("access-control-")
}

/// What goes on from a caller to the target of a path route, beside the route's `forward_headers`. Of a
/// route for a model the fallback layer keeps as little.
const PASSED_ON: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
];

/// The request that goes into the stack. Where it goes is the targets' business; of a path route, the
/// first target's place is named, so that path and query are kept.
pub(super) fn for_stack(
    line: &Line,
    entry: &SharedEntry,
    mut parts: request::Parts,
    body: Bytes,
    deadline: Option<Instant>,
    read: Option<Duration>,
    key: Option<CallersKey>,
) -> Result<StackRequest, Refusal> {
    if let Some(base) = &line.path_base {
        let asked = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let uri = Uri::builder()
            .scheme(base.scheme.clone())
            .authority(base.authority.clone())
            .path_and_query(format!("{}{asked}", base.path));
        parts.uri = uri
            .build()
            .map_err(|_| Refusal::bad("bad_path", "the path cannot be called"))?;
        // The first target's place is named, so that to the layers this is nobody else's request.
        let all = std::mem::take(&mut parts.headers);
        let passed_on = PASSED_ON.iter().chain(&*line.forwarded);
        for name in passed_on {
            for value in all.get_all(name) {
                parts.headers.append(name.clone(), value.clone());
            }
        }
    }
    // What the caller's connection is, and what its server noted, says nothing of the attempts.
    parts.version = Version::HTTP_11;
    parts.extensions = Extensions::new();
    let extensions = &mut parts.extensions;
    extensions.insert(entry.clone());
    extensions.insert(deadline_of(deadline));
    if let Some(key) = key {
        extensions.insert(key);
    }
    if let Some(clocks) = read.and_then(|read| shorter(&line.clocks, read)) {
        extensions.insert(clocks);
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Whether a server could read the path as one that lies elsewhere: behind a prefix there would be anything that
/// the target's credential opens.
pub(super) fn climbs(path: &str) -> bool {
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    let path = path.replace("%2f", "/").replace("%5c", "\\");
    path.split(['/', '\\'])
        .any(|segment| segment == ".." || segment.starts_with("..;"))
}

/// The clocks that a caller's read timeout shortens, if it does.
fn shorter(clocks: &Clocks, read: Duration) -> Option<Timeouts> {
    if read.is_zero() {
        return None;
    }
    let mut timeouts = Timeouts::new();
    for (limit, set) in [
        (
            clocks.stream_headers,
            (|t: Timeouts, d| t.for_streams(|c| c.headers(d)))
                as fn(Timeouts, Duration) -> Timeouts,
        ),
        (clocks.stream_idle, |t, d| t.for_streams(|c| c.idle(d))),
        (clocks.unary_headers, |t, d| t.for_unary(|c| c.headers(d))),
        (clocks.unary_idle, |t, d| t.for_unary(|c| c.idle(d))),
    ] {
        if read < limit {
            timeouts = set(timeouts, read);
        }
    }
    (timeouts != Timeouts::new()).then_some(timeouts)
}

/// The head of an answer of the stack's, as it goes to the caller.
pub(super) fn from_stack(parts: &mut response::Parts, entry: &SharedEntry) {
    let headers = &mut parts.headers;
    if headers.keys().any(is_of_the_upstream_only) {
        let named = named_by_connection(headers);
        if headers.contains_key(header::TRANSFER_ENCODING) {
            // Then a length beside it counts for nothing (RFC 9112, section 6.3).
            headers.remove(header::CONTENT_LENGTH);
        }
        let doomed: Vec<_> = headers
            .keys()
            .filter(|name| is_of_the_upstream_only(name))
            .cloned()
            .chain(named)
            .collect();
        for name in doomed {
            headers.remove(name);
        }
    }
    tell(headers, entry);
    // The caller's connection has a version of its own, and nobody behind it needs the extensions.
    parts.version = Version::HTTP_11;
    parts.extensions = Extensions::new();
}

/// What else belongs to the upstream's connection, by its own word (RFC 9110, section 7.6.1). What frames
/// the answer cannot be among it.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::CONTENT_TYPE)
        .collect()
}

/// Says which target answered, after how many attempts, and where the trail is.
pub(super) fn tell(headers: &mut HeaderMap, entry: &SharedEntry) {
    // At once for all three: a map that grows is laid out anew.
    headers.reserve(3);
    let last = entry.trail().and_then(Trail::last_target);
    let mut name = None;
    if let Some((number, target)) = last {
        headers.insert(ATTEMPTS.clone(), number.into());
        name = HeaderValue::from_str(&target).ok();
    }
    match name {
        Some(name) => headers.insert(TARGET.clone(), name),
        // What an upstream says of itself, which may be another gateway.
        None => headers.remove(&TARGET),
    };
    if let Some(id) = entry.id_header() {
        headers.insert(TRAIL.clone(), id);
    }
}

/// Lets the page of a listed origin read the answer.
pub(super) fn share_with(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
