//! Dialects of endpoints that stand beside chat: their requests name a model in the same place.

use backstay::dialect::{
    Answer, AnswerFacts, AnthropicMessages, Dialect, Event, EventFacts, Failure, FailureClass,
    OpenAiChat, Progress, RequestError, RequestFacts,
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

/// OpenAI's responses: events are named `response.*`, and the last of them ends the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Responses;

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

// === impl Responses ===

impl Dialect for Responses {
    fn name(&self) -> &'static str {
        "openai-responses"
    }

    fn provider(&self) -> &'static str {
        OpenAiChat.provider()
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        OpenAiChat.read_request(path, body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        OpenAiChat.portable_headers()
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        OpenAiChat.credential_headers()
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        OpenAiChat.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        let mut facts = EventFacts::default();
        match event.name {
            b"response.completed" | b"response.incomplete" => {
                facts.finished = true;
                facts.ended = true;
            }
            b"error" | b"response.failed" => {
                // Its error lies deeper than chat's; the code is looked for where chat has it.
                let told = OpenAiChat.read_event(event).error;
                facts.error = Some(told.unwrap_or_else(|| Failure::new(FailureClass::Server)));
            }
            name if name.starts_with(b"response.reasoning") => {
                facts.progress = Progress::Reasoning;
            }
            name if name.ends_with(b".delta") => facts.progress = Progress::Content,
            _ => {}
        }
        facts
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        OpenAiChat.read_answer(body)
    }
}
