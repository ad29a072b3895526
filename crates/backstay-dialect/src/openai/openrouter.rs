//! OpenRouter.

use http::{HeaderName, StatusCode};

use super::document::Document;
use super::meaning::Meaning;
use crate::dialect::CREDENTIALS;
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, RequestError,
    RequestFacts,
};

/// OpenRouter's chat completions.
///
/// An error's code repeats the status; what happened is in `metadata`. A 403 with metadata is its
/// moderation or a guardrail, one whose metadata names a limit is a spent budget, and one without is a key
/// that may not. A 402 is an empty account, but for the budget of what is in flight, which a wait frees. What the
/// provider behind it said (`metadata.raw`) is looked into. Once a model has started, the status is 200,
/// and the error comes as a document or as a chunk that finishes with the reason `error`.
///
/// Sources: OpenRouter's API reference and its page on errors.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenRouter;

const MEANING: Meaning = Meaning {
    words: &[
        ("refusal", FailureClass::ContentPolicy),
        ("token_limit_exceeded", FailureClass::Quota),
    ],
    ..Meaning::ANY
};

impl Dialect for OpenRouter {
    fn name(&self) -> &'static str {
        "openrouter"
    }

    fn provider(&self) -> &'static str {
        "openrouter"
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
        static PORTABLE: [HeaderName; 2] = [
            HeaderName::from_static("http-referer"),
            HeaderName::from_static("x-title"),
        ];
        &PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 2] = [
            HeaderName::from_static("x-generation-id"),
            HeaderName::from_static("x-request-id"),
        ];
        &REQUEST_ID
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        let document = Document::prefix(answer.body);
        let mut failure = MEANING.classify_document(answer, &document);
        let told = document.told();
        match (answer.status, told.limit.as_deref()) {
            (StatusCode::PAYMENT_REQUIRED, Some(b"openrouter_in_flight_budget")) => {
                failure.class = FailureClass::RateLimit;
            }
            (StatusCode::FORBIDDEN, Some(_)) => failure.class = FailureClass::Quota,
            (StatusCode::FORBIDDEN, None)
                if told.metadata && failure.class == FailureClass::Authentication =>
            {
                failure.class = FailureClass::ContentPolicy;
            }
            _ => {}
        }
        failure
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        MEANING.read_event(event)
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        MEANING.read_answer(body)
    }
}
