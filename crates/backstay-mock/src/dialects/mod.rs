//! What each provider says: a module per shape of answer, and the table of who speaks which.
//!
//! A module renders content; when it is sent, and what goes wrong on the way, is [`plan`](crate::plan)'s.

mod anthropic;
mod bedrock;
mod blocks;
mod cohere;
mod event_stream;
mod family;
mod gemini;
mod openai_chat;
mod responses;

use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::handler::{Call, InBand};
use crate::plan::{Document, Events};

pub(crate) use self::openai_chat::models;
pub(crate) use self::responses::cancelled;

/// What one provider family says on the wire. A request's path tells which is spoken; see
/// [`MockBuilder::chat_as`](crate::MockBuilder::chat_as) for the family whose members share a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI chat completions: `*/chat/completions`.
    OpenAiChat,
    /// OpenAI Responses: `*/responses`.
    OpenAiResponses,
    /// OpenAI embeddings: `*/embeddings`. Never streamed.
    OpenAiEmbeddings,
    /// Azure OpenAI: `/openai/deployments/{deployment}/chat/completions`, and
    /// `/openai/v1/chat/completions` with an `api-key` header or an `api-version`.
    AzureChat,
    /// Azure OpenAI: `/openai/v1/responses`.
    AzureResponses,
    /// Anthropic messages: `*/messages`.
    Anthropic,
    /// Anthropic on Vertex: `*/publishers/anthropic/models/{model}:rawPredict` and `:streamRawPredict`.
    VertexAnthropic,
    /// Gemini, at Google AI and at Vertex: `*/models/{model}:generateContent` and
    /// `:streamGenerateContent`, which is SSE with `?alt=sse` and a JSON array without.
    Gemini,
    /// Bedrock Converse: `/model/{id}/converse` and `/converse-stream`.
    BedrockConverse,
    /// Anthropic on Bedrock: `/model/{id}/invoke` and `/invoke-with-response-stream`.
    BedrockInvoke,
    /// Cohere chat v2: `*/v2/chat`.
    Cohere,
    /// Mistral: `/mistral/*/chat/completions`.
    Mistral,
    /// Groq: `/openai/v1/chat/completions` and `/groq/*/chat/completions`.
    Groq,
    /// OpenRouter: `/api/v1/chat/completions` and `/openrouter/*/chat/completions`.
    OpenRouter,
    /// llama.cpp's server: `/llama.cpp/*/chat/completions`.
    LlamaCpp,
    /// vLLM: `/vllm/*/chat/completions`.
    Vllm,
    /// SGLang: `/sglang/*/chat/completions`.
    Sglang,
    /// Text Generation Inference: `/tgi/*/chat/completions`.
    Tgi,
    /// Ollama's OpenAI endpoint: `/ollama/*/chat/completions`.
    Ollama,
    /// Chroma's REST interface: `/api/v2/*`.
    Chroma,
}

/// A name that no [`Dialect`] has.
#[derive(Debug)]
pub struct UnknownDialect(());

/// The message of every error that nobody gave a message.
const MESSAGE: &str = "scripted by the mock";

/// The unary answer.
pub(crate) fn document(dialect: Dialect, call: &Call<'_>) -> Document {
    match dialect {
        Dialect::OpenAiResponses | Dialect::AzureResponses => responses::document(call),
        Dialect::Anthropic | Dialect::VertexAnthropic | Dialect::BedrockInvoke => {
            anthropic::message(call)
        }
        Dialect::Gemini => gemini::document(call),
        Dialect::BedrockConverse => bedrock::document(call),
        Dialect::Cohere => cohere::document(call),
        _ => openai_chat::completion(dialect, call),
    }
}

/// The streamed answer.
pub(crate) fn events(dialect: Dialect, call: &Call<'_>) -> Events {
    match dialect {
        Dialect::OpenAiResponses | Dialect::AzureResponses => responses::events(call),
        Dialect::Anthropic | Dialect::VertexAnthropic => anthropic::events(call),
        Dialect::BedrockInvoke => bedrock::invoke_events(call),
        Dialect::Gemini => gemini::events(call),
        Dialect::BedrockConverse => bedrock::events(call),
        Dialect::Cohere => cohere::events(call),
        _ => openai_chat::events(dialect, call),
    }
}

/// The error document for a status; `code` takes the place of the status's own.
pub(crate) fn error(dialect: Dialect, status: StatusCode, code: Option<&str>) -> Document {
    let mut headers = HeaderMap::new();
    let body = match dialect {
        Dialect::Anthropic | Dialect::VertexAnthropic => anthropic::error(status, code),
        Dialect::Gemini => gemini::error(status, code),
        Dialect::BedrockConverse | Dialect::BedrockInvoke => {
            bedrock::error(status, code, &mut headers)
        }
        Dialect::Cohere => cohere::error(),
        Dialect::Chroma => crate::chroma::error(status, code),
        _ => family::error(dialect, status, code),
    };
    Document {
        headers,
        ..Document::new(status, &body)
    }
}

/// The error that is the whole of a 200.
pub(crate) fn error_in_200(dialect: Dialect, call: &Call<'_>, failure: &InBand<'_>) -> Value {
    let InBand { code, closing } = *failure;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    match dialect {
        Dialect::OpenAiResponses | Dialect::AzureResponses if closing => {
            responses::failed(call, code)
        }
        Dialect::OpenRouter => family::error_of_openrouter(code),
        _ => serde_json::from_slice(&error(dialect, status, Some(code)).body).unwrap_or_default(),
    }
}

/// The response headers that say which request this was.
pub(crate) fn identify(dialect: Option<Dialect>, number: u64, headers: &mut HeaderMap) {
    let names: &[&'static str] = match dialect {
        Some(Dialect::Anthropic | Dialect::VertexAnthropic) => &["request-id"],
        Some(Dialect::Gemini) => &["x-goog-request-id"],
        Some(Dialect::BedrockConverse | Dialect::BedrockInvoke) => &["x-amzn-requestid"],
        Some(Dialect::Cohere) => &["x-debug-trace-id"],
        Some(Dialect::AzureChat | Dialect::AzureResponses) => &["x-request-id", "apim-request-id"],
        Some(Dialect::Mistral) => &["x-request-id", "mistral-correlation-id"],
        Some(Dialect::OpenRouter) => &["x-request-id", "x-generation-id"],
        Some(Dialect::Chroma) => &[],
        _ => &["x-request-id"],
    };
    if let Ok(id) = HeaderValue::try_from(format!("req_mock_{number}")) {
        for &name in names {
            headers.insert(name, id.clone());
        }
    }
}

// === impl Dialect ===

impl Dialect {
    /// Every dialect.
    pub const ALL: &'static [Self] = &[
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::OpenAiEmbeddings,
        Self::AzureChat,
        Self::AzureResponses,
        Self::Anthropic,
        Self::VertexAnthropic,
        Self::Gemini,
        Self::BedrockConverse,
        Self::BedrockInvoke,
        Self::Cohere,
        Self::Mistral,
        Self::Groq,
        Self::OpenRouter,
        Self::LlamaCpp,
        Self::Vllm,
        Self::Sglang,
        Self::Tgi,
        Self::Ollama,
        Self::Chroma,
    ];

    /// Its name. For a member of the OpenAI-shaped family other than OpenAI, also the first segment of a
    /// path that chooses it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai",
            Self::OpenAiResponses => "openai-responses",
            Self::OpenAiEmbeddings => "openai-embeddings",
            Self::AzureChat => "azure",
            Self::AzureResponses => "azure-responses",
            Self::Anthropic => "anthropic",
            Self::VertexAnthropic => "vertex-anthropic",
            Self::Gemini => "gemini",
            Self::BedrockConverse => "bedrock",
            Self::BedrockInvoke => "bedrock-invoke",
            Self::Cohere => "cohere",
            Self::Mistral => "mistral",
            Self::Groq => "groq",
            Self::OpenRouter => "openrouter",
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::Tgi => "tgi",
            Self::Ollama => "ollama",
            Self::Chroma => "chroma",
        }
    }

    /// Whether it is chat completions as OpenAI has them, with differences.
    pub(crate) fn is_openai_chat(self) -> bool {
        matches!(
            self,
            Self::OpenAiChat
                | Self::AzureChat
                | Self::Mistral
                | Self::Groq
                | Self::OpenRouter
                | Self::LlamaCpp
                | Self::Vllm
                | Self::Sglang
                | Self::Tgi
                | Self::Ollama
        )
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        let known = Self::ALL.iter().find(|dialect| dialect.as_str() == name);
        known.copied().ok_or(UnknownDialect(()))
    }
}

// === impl UnknownDialect ===

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no dialect of that name")
    }
}

impl std::error::Error for UnknownDialect {}
