//! Mistral.

use http::HeaderName;

use super::meaning::Meaning;
use crate::dialect::CREDENTIALS;
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, RequestError,
    RequestFacts,
};

/// Mistral's chat completions.
///
/// An error is a document of its own, without an `error` around it, and its code is a number of Mistral's
/// own (`1300`, `3505`): the type tells more. A stream that fails finishes with the reason `error`. The
/// thinking of a reasoning model comes in the list that holds its text.
///
/// Sources: Mistral's API reference, its error glossary and its SDK.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mistral;

const MEANING: Meaning = Meaning {
    words: &[
        ("rate_limited", FailureClass::RateLimit),
        ("service_tier_capacity_exceeded", FailureClass::Overloaded),
        ("invalid_model", FailureClass::ModelGone),
        ("unknown_model", FailureClass::ModelGone),
    ],
    messages: &[("Prompt contains ", FailureClass::ContextTooLong)],
    ..Meaning::ANY
};

impl Dialect for Mistral {
    fn name(&self) -> &'static str {
        "mistral"
    }

    fn provider(&self) -> &'static str {
        "mistral_ai"
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

    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 2] = [
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("mistral-correlation-id"),
        ];
        &REQUEST_ID
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
