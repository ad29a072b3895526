//! The endpoints whose calls name a model.

use super::dialect::JsonModel;
use crate::config::Family;
use backstay::{
    dialect::{
        AnthropicMessages, Dialect, OpenAiChat, OpenAiResponses, RequestError, RequestFacts,
    },
    fallback::Target,
};

/// An endpoint whose calls name a model in their body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Responses,
    Embeddings,
    Completions,
    Messages,
    CountTokens,
}

// === impl Api ===

impl Api {
    pub(crate) const ALL: [Self; 6] = [
        Self::Chat,
        Self::Responses,
        Self::Embeddings,
        Self::Completions,
        Self::Messages,
        Self::CountTokens,
    ];

    pub(crate) fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.path() == path)
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Completions => "/v1/completions",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
        }
    }

    pub(crate) const fn family(self) -> Family {
        match self {
            Self::Chat | Self::Responses | Self::Embeddings | Self::Completions => Family::OpenAi,
            Self::Messages | Self::CountTokens => Family::Anthropic,
        }
    }

    /// The path at a target. Base URLs are those of the official SDKs: OpenAI's holds `/v1`, Anthropic's
    /// does not.
    pub(crate) fn path_at(self, base_path: &str) -> String {
        let own = match self.family() {
            Family::OpenAi => self.path().trim_start_matches("/v1"),
            Family::Anthropic | Family::Plain => self.path(),
        };
        format!("{base_path}{own}")
    }

    pub(crate) fn read_request(
        self,
        path: &str,
        body: &[u8],
    ) -> Result<RequestFacts, RequestError> {
        match self.family() {
            Family::OpenAi | Family::Plain => OpenAiChat.read_request(path, body),
            Family::Anthropic => AnthropicMessages.read_request(path, body),
        }
    }

    /// The dialect of its calls.
    pub(crate) fn speak(self, target: Target) -> Target {
        match self {
            Self::Chat => target.dialect(OpenAiChat),
            Self::Responses => target.dialect(OpenAiResponses),
            Self::Embeddings => target.dialect(JsonModel::OPENAI_EMBEDDINGS),
            Self::Completions => target.dialect(JsonModel::OPENAI_COMPLETIONS),
            Self::Messages => target.dialect(AnthropicMessages),
            Self::CountTokens => target.dialect(JsonModel::ANTHROPIC_COUNT_TOKENS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_the_one_that_the_sdk_takes() {
        for (api, base, path) in [
            (Api::Chat, "/v1", "/v1/chat/completions"),
            (Api::Chat, "/openai/v1", "/openai/v1/chat/completions"),
            (Api::Embeddings, "", "/embeddings"),
            (Api::Messages, "", "/v1/messages"),
            (Api::Messages, "/anthropic", "/anthropic/v1/messages"),
        ] {
            assert_eq!(api.path_at(base), path);
        }
    }
}
