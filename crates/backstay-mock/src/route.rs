//! What a request asks for, from its method, path, query, headers and body.

use http::request::Parts;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::dialect::Dialect;

/// The endpoints of the mock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Text is generated, unary or streamed.
    Generate(Dialect),
    /// `POST */embeddings`
    Embeddings,
    /// `POST */responses/{id}/cancel`
    Cancel,
    /// `GET */models`
    Models,
    /// `GET /health`
    Health,
    /// `/api/v2/*`
    Chroma,
    /// Everything else.
    Unknown,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    /// The model in the path, decoded.
    model: Option<String>,
    streaming: Streaming,
    /// A stream without `alt=sse` is a JSON array.
    array: bool,
}

/// What tells whether the answer is a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streaming {
    Never,
    /// `"stream": true` in the body.
    Asked,
    Always,
}

/// A request to an endpoint with a JSON body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) endpoint: Endpoint,
    /// `Null` if the body is empty or no JSON.
    pub(crate) body: Value,
    pub(crate) stream: bool,
    pub(crate) array: bool,
    /// The length of the body: what token counts are made from.
    pub(crate) bytes: usize,
    model: Option<String>,
}

// === impl Endpoint ===

impl Endpoint {
    /// Whether the default script speaks for it.
    pub(crate) fn is_work(self) -> bool {
        !matches!(
            self,
            Self::Models | Self::Health | Self::Cancel | Self::Unknown
        )
    }

    pub(crate) fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Generate(dialect) => Some(dialect),
            Self::Embeddings => Some(Dialect::OpenAiEmbeddings),
            Self::Cancel => Some(Dialect::OpenAiResponses),
            Self::Chroma => Some(Dialect::Chroma),
            Self::Models | Self::Health | Self::Unknown => None,
        }
    }

    fn takes_model(self) -> bool {
        matches!(self, Self::Generate(_) | Self::Embeddings)
    }
}

// === impl Route ===

impl Route {
    /// `chat_as` is who speaks where the path says `chat/completions` and no more.
    pub(crate) fn of(parts: &Parts, chat_as: Dialect) -> Self {
        let path = parts.uri.path();
        if path == "/api/v2" || path.starts_with("/api/v2/") {
            return Self::to(Endpoint::Chroma);
        }
        match parts.method {
            Method::GET if path == "/health" => Self::to(Endpoint::Health),
            Method::GET if path.ends_with("/models") => Self::to(Endpoint::Models),
            Method::POST => {
                let query = parts.uri.query().unwrap_or_default();
                Self::post(path, query, &parts.headers, chat_as)
            }
            _ => Self::to(Endpoint::Unknown),
        }
    }

    fn post(path: &str, query: &str, headers: &HeaderMap, chat_as: Dialect) -> Self {
        let asked = |dialect| Self {
            streaming: Streaming::Asked,
            ..Self::to(Endpoint::Generate(dialect))
        };
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments.as_slice() {
            [.., "deployments", deployment, "chat", "completions"] => Self {
                model: decoded(deployment),
                ..asked(Dialect::AzureChat)
            },
            [.., "deployments", deployment, "embeddings"] => Self {
                model: decoded(deployment),
                ..Self::to(Endpoint::Embeddings)
            },
            [.., "chat", "completions"] => {
                asked(member(&segments, query, headers).unwrap_or(chat_as))
            }
            [.., "openai", "v1", "responses"] => asked(Dialect::AzureResponses),
            [.., "responses"] => asked(Dialect::OpenAiResponses),
            [.., "responses", _, "cancel"] => Self::to(Endpoint::Cancel),
            [.., "messages"] => asked(Dialect::Anthropic),
            [.., "embeddings"] => Self::to(Endpoint::Embeddings),
            [.., "v2", "chat"] => asked(Dialect::Cohere),
            [.., "model", id, verb] => Self::bedrock(id, verb),
            [.., "publishers", "anthropic", "models", call] => Self::vertex_anthropic(call),
            [.., "models" | "tunedModels", call] => Self::gemini(call, query),
            _ => Self::to(Endpoint::Unknown),
        }
    }

    fn bedrock(id: &str, verb: &str) -> Self {
        let (dialect, streaming) = match verb {
            "converse" => (Dialect::BedrockConverse, Streaming::Never),
            "converse-stream" => (Dialect::BedrockConverse, Streaming::Always),
            "invoke" => (Dialect::BedrockInvoke, Streaming::Never),
            "invoke-with-response-stream" => (Dialect::BedrockInvoke, Streaming::Always),
            _ => return Self::to(Endpoint::Unknown),
        };
        Self::generate(dialect, id, streaming)
    }

    fn vertex_anthropic(call: &str) -> Self {
        match call.rsplit_once(':') {
            Some((model, "rawPredict")) => {
                Self::generate(Dialect::VertexAnthropic, model, Streaming::Never)
            }
            Some((model, "streamRawPredict")) => {
                Self::generate(Dialect::VertexAnthropic, model, Streaming::Always)
            }
            _ => Self::to(Endpoint::Unknown),
        }
    }

    fn gemini(call: &str, query: &str) -> Self {
        match call.rsplit_once(':') {
            Some((model, "generateContent")) => {
                Self::generate(Dialect::Gemini, model, Streaming::Never)
            }
            Some((model, "streamGenerateContent")) => Self {
                array: !query.split('&').any(|pair| pair == "alt=sse"),
                ..Self::generate(Dialect::Gemini, model, Streaming::Always)
            },
            _ => Self::to(Endpoint::Unknown),
        }
    }

    fn generate(dialect: Dialect, model: &str, streaming: Streaming) -> Self {
        Self {
            model: decoded(model),
            streaming,
            ..Self::to(Endpoint::Generate(dialect))
        }
    }

    fn to(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            model: None,
            streaming: Streaming::Never,
            array: false,
        }
    }
}

/// The member of the OpenAI-shaped family that the path gives away: by its first segment, or by being a
/// path of its own.
fn member(segments: &[&str], query: &str, headers: &HeaderMap) -> Option<Dialect> {
    let named = segments.first().and_then(|first| first.parse().ok());
    let azure = || headers.contains_key("api-key") || query.contains("api-version=");
    named
        // Azure's and Groq's own paths begin with `openai`.
        .filter(|dialect: &Dialect| dialect.is_openai_chat() && *dialect != Dialect::OpenAiChat)
        .or(match segments {
            [.., "api", "v1", "chat", "completions"] => Some(Dialect::OpenRouter),
            [.., "openai", "v1", "chat", "completions"] if azure() => Some(Dialect::AzureChat),
            [.., "openai", "v1", "chat", "completions"] => Some(Dialect::Groq),
            _ => None,
        })
}

fn decoded(segment: &str) -> Option<String> {
    let decoded = percent_decode_str(segment).decode_utf8_lossy().into_owned();
    (!decoded.is_empty()).then_some(decoded)
}

// === impl Asked ===

impl Asked {
    pub(crate) fn new(route: Route, body: &[u8]) -> Self {
        let bytes = body.len();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let stream = match route.streaming {
            Streaming::Never => false,
            Streaming::Asked => body["stream"] == true,
            Streaming::Always => true,
        };
        Self {
            endpoint: route.endpoint,
            body,
            stream,
            array: route.array,
            bytes,
            model: route.model,
        }
    }

    /// The model: the path's, else the body's.
    pub(crate) fn model(&self) -> Option<&str> {
        if !self.endpoint.takes_model() {
            return None;
        }
        let in_body = || {
            let one = self.body["model"].as_str();
            // OpenRouter's list of models to try in turn.
            one.or_else(|| self.body["models"][0].as_str())
        };
        self.model.as_deref().or_else(in_body)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn route(target: &str) -> (Option<Dialect>, Option<String>, Streaming, bool) {
        let (parts, ()) = http::Request::post(target).body(()).unwrap().into_parts();
        let route = Route::of(&parts, Dialect::OpenAiChat);
        let dialect = route.endpoint.dialect();
        (dialect, route.model, route.streaming, route.array)
    }

    #[test]
    fn a_path_tells_the_dialect() {
        let dialects = [
            ("/v1/chat/completions", "openai"),
            ("/anything/v1/chat/completions", "openai"),
            ("/v1/responses", "openai-responses"),
            ("/v1/responses/r/cancel", "openai-responses"),
            ("/v1/embeddings", "openai-embeddings"),
            ("/openai/v1/chat/completions", "groq"),
            ("/openai/v1/chat/completions?api-version=preview", "azure"),
            ("/azure/openai/v1/chat/completions", "azure"),
            ("/openai/v1/responses", "azure-responses"),
            ("/v1/messages", "anthropic"),
            ("/v2/chat", "cohere"),
            ("/api/v1/chat/completions", "openrouter"),
            ("/mistral/v1/chat/completions", "mistral"),
            ("/llama.cpp/v1/chat/completions", "llama.cpp"),
            ("/cohere/v1/chat/completions", "openai"),
        ];
        for (path, name) in dialects {
            assert_eq!(route(path).0.map(Dialect::as_str), Some(name), "{path}");
        }
    }

    #[test]
    fn a_path_tells_the_model_and_whether_it_streams() {
        use Streaming::{Always, Asked, Never};
        let paths = [
            ("/openai/deployments/d/chat/completions", "d", Asked),
            ("/v1beta/models/g:generateContent", "g", Never),
            ("/v1beta/models/g:streamGenerateContent", "g", Always),
            (
                "/v1/projects/p/locations/l/publishers/google/models/g:generateContent",
                "g",
                Never,
            ),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/c@1:rawPredict",
                "c@1",
                Never,
            ),
            (
                "/v1/publishers/anthropic/models/c:streamRawPredict",
                "c",
                Always,
            ),
            (
                "/model/anthropic.c-v1%3A0/converse",
                "anthropic.c-v1:0",
                Never,
            ),
            (
                "/model/arn%3Aaws%3Ax%2Fy/converse-stream",
                "arn:aws:x/y",
                Always,
            ),
            ("/model/%2E%2E/invoke", "..", Never),
            ("/model/m/invoke-with-response-stream", "m", Always),
        ];
        for (path, model, streaming) in paths {
            let (dialect, found, streams, _) = route(path);
            assert!(dialect.is_some(), "{path}");
            assert_eq!(
                (found.as_deref(), streams),
                (Some(model), streaming),
                "{path}"
            );
        }
    }

    #[test]
    fn a_model_that_breaks_the_path_is_found_nowhere() {
        for path in [
            "/model/a/b/converse",
            "/model/converse",
            "/v1beta/models/g",
            "/v1beta/models/a/b:generateContent",
            "/v1/publishers/anthropic/models/c:generateContent",
        ] {
            assert_eq!(route(path).0, None, "{path}");
        }
    }

    #[test]
    fn gemini_streams_an_array_unless_sse_is_asked_for() {
        assert!(route("/v1beta/models/g:streamGenerateContent?key=k").3);
        assert!(!route("/v1beta/models/g:streamGenerateContent?key=k&alt=sse").3);
    }
}
