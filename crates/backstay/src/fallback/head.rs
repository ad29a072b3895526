//! The head of an attempt's request: where it goes, and what must not go with it.

use super::{
    plan::Plan,
    route::{HOLE, Route, is_credential},
};
use crate::{call::Call, error::RequestProblem};
use backstay_dialect::Dialect;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use std::{borrow::Cow, ops::Range};

/// The parts of a request's head that an attempt starts from, without a header map's index.
pub(super) struct Saved {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Only when there is more in them than the call's own record.
    extensions: Option<Extensions>,
}

/// What a target changes.
pub(super) struct Change<'a> {
    plan: &'a Plan,
    route: &'a Route,
    dialect: &'a dyn Dialect,
    /// The body's length, when it is another than the caller's.
    rewritten: Option<usize>,
    place: Option<Place<'a>>,
}

/// What the model is in a path or query.
pub(super) struct Place<'a> {
    /// Where the call's own path names it.
    pub(super) span: Option<Range<usize>>,
    /// What stands there now, or goes into the target's own path and query.
    pub(super) segment: Cow<'a, str>,
}

/// Headers that say nothing about who is calling, and may go to another authority.
const PORTABLE: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
];

/// Parameters that tell the format that is asked for, and nothing else: Gemini's `alt=sse`, without which the
/// caller would be given another.
const PORTABLE_PARAMETERS: [&str; 1] = ["alt"];

// === impl Saved ===

impl Saved {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        // Exactly: the iterator's own guess is a larger one.
        let mut headers = Vec::with_capacity(request.headers().len());
        headers.extend(
            request
                .headers()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers,
            extensions: (request.extensions().len() > 1).then(|| request.extensions().clone()),
        }
    }

    /// A request with the head that the caller made. What an attempt put into its extensions is not in there.
    pub(super) fn restore<B>(&self, call: &Call, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let headers = request.headers_mut();
        headers.reserve(self.headers.len());
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        match &self.extensions {
            Some(extensions) => *request.extensions_mut() = extensions.clone(),
            None => {
                request.extensions_mut().insert(call.clone());
            }
        }
        request
    }
}

// === impl Change ===

impl<'a> Change<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        route: &'a Route,
        dialect: &'a dyn Dialect,
        rewritten: Option<usize>,
        place: Option<Place<'a>>,
    ) -> Self {
        Self {
            plan,
            route,
            dialect,
            rewritten,
            place,
        }
    }

    pub(super) fn apply<B>(&self, request: &mut Request<B>) -> Result<(), RequestProblem> {
        let moved = self.moves(request.uri())?;
        let crossing = moved || self.route.own_credentials;
        let redirected = crossing
            || self.route.path.is_some()
            || self.route.query.is_some()
            || self.place.is_some();
        if redirected {
            *request.uri_mut() = self.uri(std::mem::take(request.uri_mut()), moved)?;
        }
        let headers = request.headers_mut();
        if crossing {
            *headers = self.portable(headers);
        } else if redirected || self.rewritten.is_some() {
            drop_bound_to_the_request(headers, self.rewritten.is_some());
        }
        // A client writes both of its own accord. The caller's are kept only as far as they are true of what is
        // sent now.
        if !headers.is_empty() {
            if headers.contains_key(header::TRANSFER_ENCODING) {
                headers.remove(header::TRANSFER_ENCODING);
            }
            if let Some(length) = self.rewritten
                && headers.contains_key(header::CONTENT_LENGTH)
            {
                headers.insert(header::CONTENT_LENGTH, length.into());
            }
        }
        if self.dialect.carries_model() {
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            );
        }
        for (name, value) in &self.route.headers {
            headers.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// Whether the attempt goes to another authority than the caller named.
    fn moves(&self, uri: &Uri) -> Result<bool, RequestProblem> {
        let Some((scheme, authority)) = &self.route.origin else {
            return Ok(false);
        };
        if uri.scheme() == Some(&Scheme::HTTPS)
            && *scheme == Scheme::HTTP
            && !self.route.allow_plaintext
        {
            return Err(RequestProblem::Plaintext);
        }
        let same = uri.scheme() == Some(scheme)
            && uri.authority().is_some_and(|named| {
                named == authority
                    || named.host().eq_ignore_ascii_case(authority.host())
                        && port(scheme, named) == port(scheme, authority)
            });
        Ok(!same)
    }

    fn uri(&self, uri: Uri, moved: bool) -> Result<Uri, RequestProblem> {
        let mut parts = uri.into_parts();
        if let (true, Some((scheme, authority))) = (moved, &self.route.origin) {
            parts.scheme = Some(scheme.clone());
            parts.authority = Some(authority.clone());
        } else if self.route.own_credentials
            && let Some(authority) = &parts.authority
            && let Some((_, host)) = authority.as_str().rsplit_once('@')
        {
            // The caller's user and password are credentials of the caller's.
            parts.authority = Some(host.parse().map_err(|_| RequestProblem::Uri)?);
        }
        let crossing = moved || self.route.own_credentials;
        let place = self.path_and_query(parts.path_and_query.take(), crossing)?;
        parts.path_and_query = Some(place);
        Uri::from_parts(parts).map_err(|_| RequestProblem::Uri)
    }

    fn path_and_query(
        &self,
        old: Option<PathAndQuery>,
        crossing: bool,
    ) -> Result<PathAndQuery, RequestProblem> {
        let old_query = old.as_ref().and_then(PathAndQuery::query);
        let query = match &self.route.query {
            Some(query) => Some(self.filled(query)),
            None => old_query.and_then(|query| self.portable_query(query, crossing)),
        };
        if let Some(settled) = &self.route.path_and_query
            && (self.route.query.is_some() || query.is_none())
        {
            return Ok(settled.clone());
        }
        let path = self.path(old.as_ref().map_or("/", PathAndQuery::path));
        // Most often nothing is another.
        if let Some(old) = &old
            && query.as_deref() == old_query
            && old.as_str().starts_with('/')
            && *path == *old.path()
        {
            return Ok(old.clone());
        }
        let path_and_query = match query {
            Some(query) => format!("{path}?{query}").parse(),
            None => path.parse(),
        };
        path_and_query.map_err(|_| RequestProblem::Uri)
    }

    fn path<'p>(&'p self, old: &'p str) -> Cow<'p, str> {
        match (&self.route.path, &self.place) {
            (Some(path), _) => self.filled(path),
            (
                None,
                Some(Place {
                    span: Some(span),
                    segment,
                }),
            ) => {
                let (before, after) = (old.get(..span.start), old.get(span.end..));
                Cow::Owned(format!(
                    "{}{segment}{}",
                    before.unwrap_or_default(),
                    after.unwrap_or_default()
                ))
            }
            (None, _) => Cow::Borrowed(old),
        }
    }

    fn filled<'p>(&self, text: &'p str) -> Cow<'p, str> {
        match &self.place {
            Some(place) if text.contains(HOLE) => Cow::Owned(text.replace(HOLE, &place.segment)),
            _ => Cow::Borrowed(text),
        }
    }

    /// A key may ride in the query: to another authority only what is on the list goes, and nothing that the
    /// dialect calls a credential.
    fn portable_query<'q>(&self, query: &'q str, crossing: bool) -> Option<Cow<'q, str>> {
        if !crossing {
            return Some(Cow::Borrowed(query));
        }
        let secret = self.dialect.credential_parameters();
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                let name = pair.split('=').next().unwrap_or_default();
                PORTABLE_PARAMETERS.contains(&name) && !secret.contains(&name)
            })
            .collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
    }

    /// Only what is on the allow-list.
    fn portable(&self, headers: &HeaderMap) -> HeaderMap {
        let mut portable = HeaderMap::with_capacity(headers.len());
        let of_dialect = self.dialect.portable_headers();
        let secret = self.dialect.credential_headers();
        for (name, value) in headers {
            let named = PORTABLE.contains(name)
                || of_dialect.contains(name)
                || self.plan.portable_headers.contains(name);
            // A dialect of the user's may list anything.
            if named && !secret.contains(name) && !is_credential(name) {
                portable.append(name.clone(), value.clone());
            }
        }
        portable
    }
}

/// Headers that are true of the caller's own request only: of the connection it came on, of the host it
/// named, and of the bytes that it had.
fn drop_bound_to_the_request(headers: &mut HeaderMap, other_bytes: bool) {
    // One walk, and no look-up for what is not there.
    let bound = |name: &HeaderName| {
        is_of_the_connection(name.as_str()) || other_bytes && is_of_the_bytes(name.as_str())
    };
    if !headers.keys().any(bound) {
        return;
    }
    // What `connection` names belongs to the connection too (RFC 9110, section 7.6.1).
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| bound(name)).cloned().collect();
    for name in doomed.into_iter().chain(named) {
        headers.remove(name);
    }
}

fn is_of_the_connection(name: &str) -> bool {
    matches!(
        name,
        "host"
            // They sign the path and the authority too (RFC 9421, section 2.2).
            | "signature"
            | "signature-input"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "upgrade"
            | "expect"
    )
}

fn is_of_the_bytes(name: &str) -> bool {
    matches!(
        name,
        "digest"
            | "content-digest"
            | "repr-digest"
            | "content-md5"
            | "x-amz-content-sha256"
            | "x-amz-checksum-sha256"
            | "x-amz-checksum-crc32"
    )
}

fn port(scheme: &Scheme, authority: &Authority) -> Option<u16> {
    let default = match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    authority.port_u16().or(default)
}
