//! Dialects of endpoints that stand beside chat: their requests name a model in the same place.

use backstay::dialect::{
    Answer, AnswerFacts, AnthropicMessages, Dialect, Event, EventFacts, Failure, OpenAiChat,
    Progress, RequestError, RequestFacts,
};
use http::HeaderName;

/// An endpoint with a model in its JSON body, and failures as its provider's chat has them. What it
/// streams, if anything, is passed on as it comes: every event counts as content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonModel {
    name: &'static str,
    provider: Provider,
}

#[derive(Clone, Copy, Debug)]
enum Provider {
    OpenAi,
    Anthropic,
}

// === impl JsonModel ===

impl JsonModel {
    pub(crate) const OPENAI_EMBEDDINGS: Self = Self {
        name: "openai-embeddings",
        provider: Provider::OpenAi,
    };
    pub(crate) const OPENAI_COMPLETIONS: Self = Self {
        name: "openai-completions",
        provider: Provider::OpenAi,
    };
    pub(crate) const ANTHROPIC_COUNT_TOKENS: Self = Self {
        name: "anthropic-count-tokens",
        provider: Provider::Anthropic,
    };

    fn chat(&self) -> &'static dyn Dialect {
        match self.provider {
            Provider::OpenAi => &OpenAiChat,
            Provider::Anthropic => &AnthropicMessages,
        }
    }
}

impl Dialect for JsonModel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn provider(&self) -> &'static str {
        self.chat().provider()
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        self.chat().read_request(path, body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        self.chat().portable_headers()
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        self.chat().credential_headers()
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        self.chat().classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        let mut facts = self.chat().read_event(event);
        if facts.error.is_none() && !event.data.is_empty() {
            facts.progress = Progress::Content;
            // The end of its streams has no evidence that is known: any event may be the last.
            facts.finished = true;
        }
        facts
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        self.chat().read_answer(body)
    }
}
