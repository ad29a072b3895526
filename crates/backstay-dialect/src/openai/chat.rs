//! OpenAI chat completions.

use http::HeaderName;

use super::meaning::Meaning;
use crate::dialect::CREDENTIALS;
use crate::request::read_top_level;
use crate::{Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, RequestError, RequestFacts};

/// OpenAI chat completions: OpenAI itself, and any server of this shape that has no dialect of its own.
///
/// Sources: OpenAI's API reference (chat streaming, error codes) and its SDKs; the error pages of the
/// others. What only other servers say is read too: `reasoning_content`, `x_groq`, numeric error codes,
/// `finish_reason: "error"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        super::CHAT
    }

    fn provider(&self) -> &'static str {
        "openai"
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, _path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        read_top_level(body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        static PORTABLE: [HeaderName; 1] = [HeaderName::from_static("openai-beta")];
        &PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        Meaning::ANY.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        Meaning::ANY.read_event(event)
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        Meaning::ANY.read_answer(body)
    }
}
