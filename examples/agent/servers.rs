//! Where the calls go.

use backstay::BoxError;
use http::{Uri, header};

/// Every server that a question needs.
pub(crate) struct Servers {
    pub(crate) llm: Server,
    pub(crate) model: String,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) embeddings: Server,
    pub(crate) embedding_model: String,
    /// The root of a Chroma server.
    pub(crate) vectors: String,
}

/// The model to fall back on.
pub(crate) struct Fallback {
    pub(crate) model: String,
    /// `None`: the primary's server.
    pub(crate) server: Option<Server>,
}

/// An OpenAI-compatible server. Not `Debug`: it holds a key.
#[derive(Clone)]
pub(crate) struct Server {
    scheme: String,
    authority: String,
    /// With `/v1`, without a slash at the end.
    prefix: String,
    key: Option<String>,
}

// === impl Server ===

impl Server {
    /// From a base URL as OpenAI's clients take it: `https://api.example.com/v1`. The `/v1` may be left out.
    pub(crate) fn new(base: &str, key: Option<String>) -> Result<Self, BoxError> {
        let uri: Uri = base.parse()?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(
                "a base URL needs a scheme and a host, as in https://api.example.com/v1".into(),
            );
        };
        let prefix = match uri.path().trim_end_matches('/') {
            "" => "/v1",
            path => path,
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            authority: authority.to_string(),
            prefix: prefix.to_owned(),
            key,
        })
    }

    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// A POST of JSON to this server.
    pub(crate) fn post(&self, rest: &str) -> http::request::Builder {
        let post = http::Request::post(format!("{}{}", self.origin(), self.path(rest)))
            .header(header::CONTENT_TYPE, "application/json");
        match &self.key {
            Some(key) => post.header(header::AUTHORIZATION, format!("Bearer {key}")),
            None => post,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_leave_out_the_version() {
        for (base, path) in [
            ("http://127.0.0.1:8080", "/v1/models"),
            ("http://127.0.0.1:8080/", "/v1/models"),
            ("https://api.example.com/v1/", "/v1/models"),
            (
                "https://api.example.com/api/openai/v2",
                "/api/openai/v2/models",
            ),
        ] {
            assert_eq!(Server::new(base, None).unwrap().path("/models"), path);
        }
        assert!(Server::new("api.example.com", None).is_err());
    }
}
