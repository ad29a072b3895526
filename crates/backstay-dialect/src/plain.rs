//! Calls without a model: status and headers only.

use http::HeaderName;

use crate::dialect::CREDENTIALS;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, Hint, Progress,
    RequestError, RequestFacts,
};

/// Any HTTP service: a vector database, an embedding server, one of your own.
///
/// Only the status and the headers are read. In a stream every event is content, and the
/// body may end after any of them; a binary frame that is an exception is an error of the server's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Dialect for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn provider(&self) -> &'static str {
        ""
    }

    fn carries_model(&self) -> bool {
        false
    }

    /// Never fails: the body may be anything.
    fn read_request(&self, _path: &str, _body: &[u8]) -> Result<RequestFacts, RequestError> {
        Ok(RequestFacts::default())
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        &[]
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        Failure::new(FailureClass::of_status(answer.status)).with_hint(Hint::of(answer))
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        if event.exception {
            return EventFacts {
                error: Some(Failure::new(FailureClass::Server).with_code(event.name)),
                ..EventFacts::default()
            };
        }
        EventFacts {
            progress: Progress::Content,
            finished: true,
            ..EventFacts::default()
        }
    }

    fn read_answer(&self, _body: &[u8]) -> AnswerFacts {
        AnswerFacts::default()
    }
}
