//! Servers that copy OpenAI's chat completions, and differ in a few statuses and words.

use http::HeaderName;

use super::meaning::Meaning;
use crate::dialect::CREDENTIALS;
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, RequestError,
    RequestFacts,
};

/// A server that copies OpenAI's chat completions: one that you run yourself, a provider, one of your own.
///
/// Where it means something else by a status or a word than OpenAI, say so.
///
/// ```
/// use backstay_dialect::{Dialect, FailureClass, OpenAiCompatible};
///
/// const OURS: OpenAiCompatible = OpenAiCompatible::new("ours", "")
///     .with_statuses(&[(418, FailureClass::Overloaded)])
///     .with_words(&[("queue_full", FailureClass::Overloaded)]);
///
/// assert_eq!(OURS.name(), "ours");
/// assert_eq!(OURS.family(), "openai-chat");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OpenAiCompatible {
    name: &'static str,
    provider: &'static str,
    meaning: Meaning,
}

// === impl OpenAiCompatible ===

impl OpenAiCompatible {
    /// vLLM, SGLang, llama.cpp's server, Ollama, Text Generation Inference.
    ///
    /// They differ in how they say that a request is too long: a type (llama.cpp), a parameter (vLLM), the start of
    /// a sentence (the others). A 424 is a generation that failed (Text Generation Inference), a 503
    /// a model that is loaded yet (llama.cpp). A finish reason of `abort` is a failure: the engine gave the
    /// request up.
    pub const SELF_HOSTED: Self =
        Self::new("openai-compatible", "").with_statuses(&[(424, FailureClass::Server)]);

    /// Together: a 403 says that the request is longer than the window.
    pub const TOGETHER: Self =
        Self::new("together", "together_ai").with_statuses(&[(403, FailureClass::ContextTooLong)]);

    /// Cerebras: its codes speak of quota where a minute's rate is meant, and of a queue when it has no
    /// capacity.
    pub const CEREBRAS: Self = Self::new("cerebras", "cerebras").with_words(&[
        ("request_quota_exceeded", FailureClass::RateLimit),
        ("token_quota_exceeded", FailureClass::RateLimit),
        ("queue_exceeded", FailureClass::Overloaded),
    ]);

    /// xAI: the error is a sentence, beside a code that is another; a key that is wrong comes as a 400.
    pub const XAI: Self = Self {
        name: "xai",
        provider: "x_ai",
        meaning: Meaning {
            messages: &[
                (
                    "This model's maximum prompt length is",
                    FailureClass::ContextTooLong,
                ),
                ("Incorrect API key provided", FailureClass::Authentication),
            ],
            ..Meaning::ANY
        },
    };

    /// DeepSeek: a finish reason of `insufficient_system_resource` is a failure.
    pub const DEEPSEEK: Self = Self::new("deepseek", "deepseek");

    /// A server of this name, which means what OpenAI means. `provider` is the value of OpenTelemetry's
    /// `gen_ai.provider.name`; empty when there is none.
    #[must_use]
    pub const fn new(name: &'static str, provider: &'static str) -> Self {
        Self {
            name,
            provider,
            meaning: Meaning::ANY,
        }
    }

    /// What these statuses mean; others mean what they mean to OpenAI. A body may still narrow a 4xx.
    #[must_use]
    pub const fn with_statuses(mut self, statuses: &'static [(u16, FailureClass)]) -> Self {
        self.meaning.statuses = statuses;
        self
    }

    /// What these codes and types of an error mean, beside those of OpenAI.
    #[must_use]
    pub const fn with_words(mut self, words: &'static [(&'static str, FailureClass)]) -> Self {
        self.meaning.words = words;
        self
    }
}

impl Dialect for OpenAiCompatible {
    fn name(&self) -> &'static str {
        self.name
    }

    fn provider(&self) -> &'static str {
        self.provider
    }

    fn family(&self) -> &'static str {
        super::CHAT
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, _path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        read_top_level(body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        &[]
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        self.meaning.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        self.meaning.read_event(event)
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        self.meaning.read_answer(body)
    }
}
