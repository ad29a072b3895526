//! What the gateway says in place of an upstream, in the words of the caller's dialect.
//!
//! The status and the shape are those from which the official SDKs make the exception that their users
//! expect: a passed deadline is a 504, a full house a 503 with `retry-after`. Where the stack has tried
//! already, `x-should-retry: false` keeps an SDK from doing it all again: both official ones obey it.

mod of_error;

use crate::config::Family;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

/// An answer of the gateway's own that says no.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For machines, stable.
    pub(crate) code: &'static str,
    /// For people: what happened and what to change. No input of the caller's.
    pub(crate) message: String,
    retry_after: Option<u32>,
    should_retry: Option<bool>,
    allow: Option<&'static str>,
    challenge: bool,
}

static SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

// === impl Refusal ===

// All that makes one is marked as cold: it stands out of the way of the calls that pass.
impl Refusal {
    #[cold]
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            should_retry: None,
            allow: None,
            challenge: false,
        }
    }

    #[cold]
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    #[cold]
    pub(crate) fn method(allow: &'static str) -> Self {
        let message = format!("this path takes {allow} only");
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                message,
            )
        }
    }

    /// A browser is asked for the key: any user name, the key as the password.
    #[cold]
    pub(crate) fn key() -> Self {
        Self {
            challenge: true,
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "invalid_api_key",
                "no key of this gateway came with the request: send one as `authorization: Bearer` or `x-api-key`",
            )
        }
    }

    #[cold]
    pub(crate) fn busy(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// All has been tried here; once more from the SDK would be for nothing.
    pub(crate) fn exhausted(mut self) -> Self {
        self.should_retry = Some(false);
        self
    }

    /// The headers, and the document in the shape of a family.
    pub(crate) fn write(&self, family: Family, headers: &mut HeaderMap) -> Bytes {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(retry) = self.should_retry {
            let value = if retry { "true" } else { "false" };
            headers.insert(SHOULD_RETRY.clone(), HeaderValue::from_static(value));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.challenge {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"backstay\""),
            );
        }
        self.document(family).to_string().into()
    }

    fn document(&self, family: Family) -> serde_json::Value {
        match family {
            Family::OpenAi | Family::Plain => json!({ "error": self.openai() }),
            Family::Anthropic => json!({
                "type": "error",
                "error": { "type": self.anthropic_type(), "message": self.message },
            }),
        }
    }

    /// The event that ends a stream in place of the answer's rest. The SDKs raise on it.
    pub(crate) fn event(&self, family: Family, responses: bool) -> Bytes {
        match family {
            Family::OpenAi if responses => {
                let document = json!({
                    "type": "error",
                    "code": self.code,
                    "message": self.message,
                    "param": null,
                    "error": self.openai(),
                });
                format!("event: error\ndata: {document}\n\n").into()
            }
            Family::OpenAi | Family::Plain => format!("data: {}\n\n", self.document(family)).into(),
            Family::Anthropic => {
                format!("event: error\ndata: {}\n\n", self.document(family)).into()
            }
        }
    }

    fn openai(&self) -> serde_json::Value {
        json!({
            "message": self.message,
            "type": self.openai_type(),
            "param": null,
            "code": self.code,
        })
    }

    fn openai_type(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            504 => "timeout_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    fn anthropic_type(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            504 => "timeout_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn each_family_has_its_own_shape() {
        let refusal = Refusal::busy("busy", "later").exhausted();
        let mut headers = HeaderMap::new();
        let openai: Value =
            serde_json::from_slice(&refusal.write(Family::OpenAi, &mut headers)).unwrap();
        assert_eq!(openai["error"]["code"], "busy");
        assert_eq!(openai["error"]["param"], Value::Null);
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(headers["x-should-retry"], "false");
        let anthropic: Value =
            serde_json::from_slice(&refusal.write(Family::Anthropic, &mut headers)).unwrap();
        assert_eq!(anthropic["type"], "error");
        assert_eq!(anthropic["error"]["type"], "overloaded_error");
    }

    #[test]
    fn an_event_is_one_event_of_one_line() {
        let refusal = Refusal::bad("x", "two\nlines\r\n\r\n");
        for (family, responses) in [
            (Family::OpenAi, false),
            (Family::OpenAi, true),
            (Family::Anthropic, false),
        ] {
            let event = refusal.event(family, responses);
            let text = std::str::from_utf8(&event).unwrap();
            assert_eq!(text.matches("\n\n").count(), 1, "{text}");
            assert!(!text.contains('\r'));
        }
    }
}
