//! The dialects that the mock speaks, by name.

use std::fmt;
use std::str::FromStr;

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
