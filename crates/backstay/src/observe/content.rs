//! What kind of body a response has.

use http::{HeaderMap, header};

/// What kind of body a response has, as far as its end and its events can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// An event stream.
    Events,
    /// A JSON document.
    Json,
    /// Anything else: only its bytes count.
    Opaque,
    /// Encoded although `identity` was asked for: only its bytes count, and the trail says so.
    Encoded,
}

// === impl Content ===

impl Content {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if is_encoded(headers) {
            return Self::Encoded;
        }
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return Self::Opaque;
        };
        let kind = kind.as_bytes();
        // As nearly all servers write them.
        match kind {
            b"application/json" => return Self::Json,
            b"text/event-stream" => return Self::Events,
            _ => {}
        }
        let end = kind.iter().position(|byte| *byte == b';');
        let kind = kind[..end.unwrap_or(kind.len())].trim_ascii();
        if kind.eq_ignore_ascii_case(b"application/json") || has_suffix(kind, b"+json") {
            Self::Json
        } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Events
        } else {
            Self::Opaque
        }
    }
}

/// Whether a body is encoded, so that nothing can be told of it but its bytes.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn has_suffix(text: &[u8], suffix: &[u8]) -> bool {
    text.len()
        .checked_sub(suffix.len())
        .is_some_and(|at| text[at..].eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let of = |kind: &str, coding: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
            Content::of(&headers)
        };
        assert_eq!(
            of("Text/Event-Stream; charset=utf-8", "identity"),
            Content::Events
        );
        assert_eq!(
            of("application/json ;charset=utf-8", "Identity"),
            Content::Json
        );
        assert_eq!(of("application/problem+json", "identity"), Content::Json);
        assert_eq!(of("application/x-ndjson", "identity"), Content::Opaque);
        assert_eq!(of("application/json", "gzip"), Content::Encoded);
        assert_eq!(Content::of(&HeaderMap::new()), Content::Opaque);
    }
}
