//! What the events and the answers of a chat say.

use super::document::Document;
use super::meaning::Meaning;
use super::told::Told;
use crate::delta::OpenAiChunk;
use crate::{AnswerFacts, Event, EventFacts, Failure, Hint, response_id};

// === impl Meaning ===

impl Meaning {
    /// What one event of a chat stream says.
    pub(super) fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        if event.data.starts_with(b"[DONE]") {
            return EventFacts {
                ended: true,
                ..EventFacts::default()
            };
        }
        if let (b"", Some(chunk)) = (event.name, OpenAiChunk::read(event.data)) {
            return EventFacts {
                progress: chunk.progress,
                response_id: response_id(chunk.id),
                usage: chunk.usage,
                ..EventFacts::default()
            };
        }
        let mut document = Document::default();
        if !document.read_whole(event.data) {
            document = Document::default();
        }
        let error = match (&document.error, event.name) {
            (None, b"error") => Some(self.in_band(&document.top)),
            _ => document.failure(|told| self.in_band_of(told, event.data)),
        };
        EventFacts {
            progress: document.progress,
            finished: document.finished,
            ended: false,
            error,
            refused: document.refused,
            response_id: document.id.and_then(response_id),
            usage: document.usage,
        }
    }

    /// What a whole chat answer says.
    pub(super) fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let mut document = Document::default();
        if !document.read_whole(body) {
            document = Document::default();
        }
        AnswerFacts {
            error: document.failure(|told| self.in_band_of(told, body)),
            refused: document.refused,
            response_id: document.id.and_then(response_id).map(Into::into),
            usage: document.usage,
        }
    }

    /// As [`in_band`](Self::in_band), with the wait that the document asks for.
    fn in_band_of(&self, told: &Told<'_>, document: &[u8]) -> Failure {
        let hint = Hint::default().with_retry_info(document);
        self.in_band(told).with_hint(hint)
    }
}
