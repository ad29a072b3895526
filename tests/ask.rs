//! Requests in the shape of each provider.

use backstay::Body;
use http::{Request, header::CONTENT_TYPE};

/// A provider's way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)]
pub enum Api {
    /// Chat completions.
    OpenAi,
    /// Messages.
    Anthropic,
}

/// Both, for promises that hold for both.
pub const APIS: [Api; 2] = [Api::OpenAi, Api::Anthropic];

// === impl Api ===

impl Api {
    /// The path of the endpoint.
    pub const fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }

    /// Asks for a stream of tokens.
    pub fn stream(self, origin: &str, model: &str) -> Request<Body> {
        self.with(origin, document(model, true))
    }

    /// Asks for a whole document.
    pub fn unary(self, origin: &str, model: &str) -> Request<Body> {
        self.with(origin, document(model, false))
    }

    /// Asks with any body.
    pub fn with(self, origin: &str, body: impl Into<Body>) -> Request<Body> {
        Request::post(format!("{origin}{}", self.path()))
            .header(CONTENT_TYPE, "application/json")
            .body(body.into())
            .unwrap()
    }

    /// What marks the end of a stream.
    pub const fn end_marker(self) -> &'static str {
        match self {
            Self::OpenAi => "data: [DONE]\n\n",
            Self::Anthropic => "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        }
    }
}

/// A chat request.
pub fn document(model: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","stream":{stream},"max_tokens":64,"messages":[{{"role":"user","content":"Hello"}}]}}"#
    )
}
