//! Groq.

use http::HeaderName;

use super::meaning::Meaning;
use crate::dialect::CREDENTIALS;
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, RequestError,
    RequestFacts,
};

/// Groq's chat completions.
///
/// A 413 says that one request alone is above the tokens of a minute: waiting does not help, a larger limit
/// would. A 498 says that the flex tier has no capacity. A spend limit that is reached comes as a 400. An
/// error and the usage of a stream come in `x_groq`.
///
/// Sources: Groq's API reference, its pages on errors and spend limits, and its SDK.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groq;

const MEANING: Meaning = Meaning {
    words: &[("blocked_api_access", FailureClass::Quota)],
    ..Meaning::ANY
};

impl Dialect for Groq {
    fn name(&self) -> &'static str {
        "groq"
    }

    fn provider(&self) -> &'static str {
        "groq"
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
        MEANING.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        MEANING.read_event(event)
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        MEANING.read_answer(body)
    }
}
