//! The innermost but one: the caller's own key, to the targets that are to have it.
//!
//! The layers above let no credential of the caller's cross to a target. Here, where an attempt has its target
//! and its final head, the key is put in for a target whose `credential` is `"caller"`, and for no other: the
//! choice is made by the target of the attempt under way, each time anew.

use backstay::Call;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Where a caller's key of this gateway may stand, so that the SDK's place is free for the upstream's. It says
/// who calls, and nothing to any upstream.
pub(crate) const OWN_KEY: HeaderName = HeaderName::from_static("x-backstay-key");

/// A key that a caller brought for the upstream, in a request's extensions.
#[derive(Clone)]
pub(crate) struct CallersKey {
    name: HeaderName,
    value: HeaderValue,
}

/// Which targets have the caller's key, and in which header where it is another than the caller's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receivers(Arc<[(Arc<str>, Option<HeaderName>)]>);

/// Puts it in.
#[derive(Clone, Debug)]
pub(crate) struct WithCallersKey<S> {
    inner: S,
    receivers: Receivers,
}

/// Where SDKs put a key.
const PLACES: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

// === impl CallersKey ===

impl CallersKey {
    /// The first that is there.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        PLACES.into_iter().find_map(|name| {
            let mut value = headers.get(&name)?.clone();
            // So that nobody prints it.
            value.set_sensitive(true);
            Some(Self { name, value })
        })
    }

    fn put(self, headers: &mut HeaderMap, place: Option<&HeaderName>) {
        let Some(place) = place.filter(|place| **place != self.name) else {
            headers.insert(self.name, self.value);
            return;
        };
        let bare = bare(self.value.as_bytes());
        let value = if *place == header::AUTHORIZATION {
            HeaderValue::from_bytes(&[b"Bearer ", bare].concat())
        } else {
            HeaderValue::from_bytes(bare)
        };
        if let Ok(mut value) = value {
            value.set_sensitive(true);
            headers.insert(place.clone(), value);
        }
    }
}

/// The key without the scheme that stands before it.
fn bare(value: &[u8]) -> &[u8] {
    match value.split_at_checked(b"Bearer ".len()) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"Bearer ") => key.trim_ascii(),
        _ => value,
    }
}

// === impl Receivers ===

impl FromIterator<(Arc<str>, Option<HeaderName>)> for Receivers {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Option<HeaderName>)>>(targets: I) -> Self {
        Self(targets.into_iter().collect())
    }
}

impl Receivers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl WithCallersKey ===

impl<S> WithCallersKey<S> {
    pub(crate) fn new(inner: S, receivers: Receivers) -> Self {
        Self { inner, receivers }
    }
}

impl<S, B> Service<Request<B>> for WithCallersKey<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if !self.receivers.is_empty()
            && let Some(key) = request.extensions_mut().remove::<CallersKey>()
            && let Some((_, target)) =
                Call::of(request.extensions()).and_then(|call| call.trail().last_target())
            && let Some((_, place)) = self.receivers.0.iter().find(|(name, _)| *name == target)
        {
            key.put(request.headers_mut(), place.as_ref());
        }
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: &'static str, value: &'static str, place: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        let key = CallersKey::of(&headers).unwrap();
        let mut headers = HeaderMap::new();
        key.put(&mut headers, place.map(HeaderName::from_static).as_ref());
        assert!(headers.values().all(HeaderValue::is_sensitive));
        headers
    }

    #[test]
    fn a_key_goes_on_in_the_header_that_it_came_in_unless_the_target_has_its_own() {
        let as_it_came = sent("authorization", "Bearer sk", None);
        assert_eq!(as_it_came["authorization"], "Bearer sk");
        assert_eq!(sent("x-api-key", "sk", None)["x-api-key"], "sk");
        let moved = sent("authorization", "bearer sk", Some("api-key"));
        assert_eq!(
            (moved.len(), &moved["api-key"]),
            (1, &HeaderValue::from_static("sk"))
        );
        let moved = sent("x-api-key", "sk", Some("authorization"));
        assert_eq!(moved["authorization"], "Bearer sk");
    }
}
