//! What a request asks for, from its method, path and body.

use http::Method;
use serde_json::Value;

/// The endpoints of the mock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `POST */chat/completions`
    Chat,
    /// `POST */messages`
    Messages,
    /// `POST */embeddings`
    Embeddings,
    /// `GET */models`
    Models,
    /// `GET /health`
    Health,
    /// `/api/v2/*`
    Chroma,
    /// Everything else.
    Unknown,
}

/// A request to an endpoint with a JSON body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) endpoint: Endpoint,
    /// `Null` if the body is empty or no JSON.
    pub(crate) body: Value,
    pub(crate) stream: bool,
    /// The length of the body: what token counts are made from.
    pub(crate) bytes: usize,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        if path == "/api/v2" || path.starts_with("/api/v2/") {
            return Self::Chroma;
        }
        match (method, path) {
            (&Method::GET, "/health") => Self::Health,
            (&Method::GET, _) if path.ends_with("/models") => Self::Models,
            (&Method::POST, _) if path.ends_with("/chat/completions") => Self::Chat,
            (&Method::POST, _) if path.ends_with("/messages") => Self::Messages,
            (&Method::POST, _) if path.ends_with("/embeddings") => Self::Embeddings,
            _ => Self::Unknown,
        }
    }

    /// Whether the default script speaks for it.
    pub(crate) fn is_work(self) -> bool {
        !matches!(self, Self::Models | Self::Health | Self::Unknown)
    }

    fn takes_model(self) -> bool {
        matches!(self, Self::Chat | Self::Messages | Self::Embeddings)
    }
}

// === impl Asked ===

impl Asked {
    pub(crate) fn new(endpoint: Endpoint, body: &[u8]) -> Self {
        let bytes = body.len();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let streams = matches!(endpoint, Endpoint::Chat | Endpoint::Messages);
        let stream = streams && body["stream"] == true;
        Self {
            endpoint,
            body,
            stream,
            bytes,
        }
    }

    pub(crate) fn model(&self) -> Option<&str> {
        self.body["model"]
            .as_str()
            .filter(|_| self.endpoint.takes_model())
    }

    /// Whether a model's endpoint was asked without naming one.
    pub(crate) fn lacks_model(&self) -> bool {
        self.endpoint.takes_model() && self.model().is_none()
    }

    /// A guess that is the same every time: four bytes of the request to a token.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.bytes.div_ceil(4)
    }
}
