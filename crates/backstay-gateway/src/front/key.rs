//! The caller's key.

use crate::{config::Caller, routes::OWN_KEY};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header};
use std::borrow::Cow;

/// Where SDKs put a key, beside `authorization`.
const PLACES: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// Whose key was shown.
pub(super) fn whose<'c>(headers: &HeaderMap, callers: &'c [Caller]) -> Option<&'c Caller> {
    match headers.get(OWN_KEY) {
        Some(own) => owner(own.as_bytes().trim_ascii(), callers),
        None => owner(&shown(headers)?, callers),
    }
}

/// Whether a key of this gateway's stands where a key for the upstream may stand.
pub(super) fn is_ours(headers: &HeaderMap, callers: &[Caller]) -> bool {
    let mut keys = PLACES.into_iter().flat_map(|name| headers.get_all(name));
    let is_ours = |key: &[u8]| owner(key.trim_ascii(), callers).is_some();
    headers.get_all(header::AUTHORIZATION).iter().any(|value| {
        authorized(value).is_some_and(|key| is_ours(&key)) || is_ours(value.as_bytes())
    }) || keys.any(|value| is_ours(value.as_bytes()))
}

/// All are compared, each in a time that tells nothing.
fn owner<'c>(shown: &[u8], callers: &'c [Caller]) -> Option<&'c Caller> {
    callers.iter().fold(None, |found, caller| {
        if caller.key.is(shown) {
            Some(caller)
        } else {
            found
        }
    })
}

/// A key where the SDKs put it, or the password that a browser asked for.
fn shown(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        return authorized(value);
    }
    PLACES
        .into_iter()
        .find_map(|name| headers.get(name))
        .map(|value| value.as_bytes().into())
}

fn authorized(value: &HeaderValue) -> Option<Cow<'_, [u8]>> {
    let value = value.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at_checked(space)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.into());
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let pair = BASE64_STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        return Some(pair.get(colon + 1..)?.to_vec().into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_key_is_found_wherever_clients_put_it_and_nowhere_else() {
        let callers = ["first-key", "second-key"].map(|key| Caller {
            name: "c".into(),
            key: Secret::new(key),
        });
        let known = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            whose(&headers, &callers).is_some()
        };
        assert!(known("authorization", "Bearer second-key"));
        assert!(known("authorization", "bearer  first-key"));
        assert!(known("x-api-key", "first-key"));
        assert!(known("api-key", "first-key"));
        let basic = format!("Basic {}", BASE64_STANDARD.encode("anyone:second-key"));
        assert!(known("authorization", &basic));
        for (name, value) in [
            ("authorization", "first-key"),
            ("authorization", "Bearer first-key2"),
            ("authorization", "Bearer"),
            ("authorization", "Basic first-key"),
            ("x-api-key", ""),
            ("x-other", "first-key"),
        ] {
            assert!(!known(name, value), "{name}: {value}");
        }
        assert!(whose(&HeaderMap::new(), &callers).is_none());
    }
}
