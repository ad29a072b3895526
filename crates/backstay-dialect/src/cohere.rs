//! Cohere's chat, version 2.

use std::borrow::Cow;

use http::{HeaderName, StatusCode};

use crate::dialect::CREDENTIALS;
use crate::failure::narrow;
use crate::json::{Cursor, Stopped};
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, Hint, Progress,
    RequestError, RequestFacts, Usage, response_id,
};

/// Cohere's `/v2/chat`.
///
/// Its errors have a message and no code, so that nearly all is told by the status; 498 is a prompt that
/// matched a blocked pattern. The plan for the use of tools counts as reasoning. Of the two counts of tokens
/// the billed one is taken.
///
/// Sources: Cohere's API reference (chat v2, streaming, errors) and its SDKs.
#[derive(Clone, Copy, Debug, Default)]
pub struct CohereChat;

impl Dialect for CohereChat {
    fn name(&self) -> &'static str {
        "cohere-chat"
    }

    fn provider(&self) -> &'static str {
        "cohere"
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, _path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        read_top_level(body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        static PORTABLE: [HeaderName; 1] = [HeaderName::from_static("x-client-name")];
        &PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 1] = [HeaderName::from_static("x-debug-trace-id")];
        &REQUEST_ID
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        let mut told = None;
        // The prefix may end anywhere, or be no JSON at all: what was understood counts.
        let _ = Cursor::new(answer.body).object(|cursor, key| {
            match key {
                b"message" => told = cursor.text()?.as_deref().and_then(of_message),
                _ => cursor.skip()?,
            }
            Ok(())
        });
        Failure::new(narrow(answer.status, of_status(answer.status), told))
            .with_hint(Hint::of(answer))
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        if event.data.starts_with(b"[DONE]") {
            return EventFacts {
                ended: true,
                ..EventFacts::default()
            };
        }
        let document = Document::whole(event.data).unwrap_or_default();
        let kind = document.kind.as_deref().unwrap_or(event.name);
        let mut facts = EventFacts::default();
        match kind {
            b"message-start" => facts.response_id = document.id.and_then(response_id),
            b"content-start" | b"content-delta" | b"tool-plan-delta" | b"tool-call-start"
            | b"tool-call-delta" | b"citation-start" => facts.progress = document.progress,
            b"message-end" => {
                facts.error = document.failure();
                facts.finished = facts.error.is_none() && document.finish_reason.is_some();
                facts.ended = facts.finished;
                facts.usage = document.usage();
            }
            _ => {}
        }
        facts
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let document = Document::whole(body).unwrap_or_default();
        AnswerFacts {
            error: document.failure(),
            refused: false,
            response_id: document.id.and_then(response_id).map(Into::into),
            usage: document.usage(),
        }
    }
}

/// An event's data or a whole answer: what an event has in `delta`, an answer has at its top.
#[derive(Default)]
struct Document<'a> {
    kind: Option<Cow<'a, [u8]>>,
    id: Option<&'a [u8]>,
    progress: Progress,
    finish_reason: Option<Cow<'a, [u8]>>,
    /// There is an error, told in prose.
    failed: bool,
    billed: Usage,
    counted: Usage,
}

// === impl Document ===

impl<'a> Document<'a> {
    /// Reads a whole document; `None` if it is anything else.
    fn whole(bytes: &'a [u8]) -> Option<Self> {
        let mut document = Self::default();
        let mut cursor = Cursor::new(bytes);
        cursor
            .object(|cursor, key| match key {
                b"type" => {
                    document.kind = cursor.text()?;
                    Ok(())
                }
                b"id" => {
                    if let Some(Cow::Borrowed(id)) = cursor.text()? {
                        document.id = Some(id);
                    }
                    Ok(())
                }
                b"delta" => cursor.object(|cursor, key| document.read_member(cursor, key, bytes)),
                _ => document.read_member(cursor, key, bytes),
            })
            .ok()?;
        cursor.peek().is_none().then_some(document)
    }

    fn read_member(
        &mut self,
        cursor: &mut Cursor<'a>,
        key: &[u8],
        bytes: &[u8],
    ) -> Result<(), Stopped> {
        match key {
            b"message" => self.read_message(cursor),
            b"finish_reason" => {
                self.finish_reason = cursor.text()?;
                Ok(())
            }
            b"error" => {
                self.failed |= cursor.holds()?;
                Ok(())
            }
            b"usage" => cursor.object(|cursor, key| match key {
                b"billed_units" => read_counts(cursor, bytes, &mut self.billed),
                b"tokens" => read_counts(cursor, bytes, &mut self.counted),
                _ => cursor.skip(),
            }),
            _ => cursor.skip(),
        }
    }

    fn read_message(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| {
            let progress = match key {
                b"content" if cursor.peek() == Some(b'{') => {
                    return cursor.object(|cursor, key| {
                        let progress = match key {
                            b"text" => Progress::Content,
                            b"thinking" => Progress::Reasoning,
                            _ => return cursor.skip(),
                        };
                        self.add(progress, cursor)
                    });
                }
                b"tool_plan" => Progress::Reasoning,
                b"tool_calls" | b"citations" => Progress::Content,
                _ => return cursor.skip(),
            };
            self.add(progress, cursor)
        })
    }

    fn add(&mut self, progress: Progress, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        if cursor.holds()? {
            self.progress = self.progress.max(progress);
        }
        Ok(())
    }

    /// The error that this document reports inside a 2xx answer.
    fn failure(&self) -> Option<Failure> {
        let reason = self.finish_reason.as_deref().unwrap_or_default();
        let class = match reason {
            b"TIMEOUT" => FailureClass::Timeout,
            b"ERROR" => FailureClass::Server,
            _ if self.failed => FailureClass::Server,
            _ => return None,
        };
        Some(Failure::new(class).with_code(reason))
    }

    fn usage(&self) -> Option<Usage> {
        let mut usage = self.counted;
        usage.update(self.billed);
        (usage != Usage::default()).then_some(usage)
    }
}

fn read_counts(cursor: &mut Cursor<'_>, bytes: &[u8], usage: &mut Usage) -> Result<(), Stopped> {
    cursor.object(|cursor, key| {
        let count = match key {
            b"input_tokens" => &mut usage.input,
            b"output_tokens" => &mut usage.output,
            _ => return cursor.skip(),
        };
        *count = bytes.get(cursor.span()?).and_then(whole_number);
        Ok(())
    })
}

/// Cohere's counts are whole, but declared as decimals and at times written as such.
fn whole_number(digits: &[u8]) -> Option<u64> {
    let whole = match memchr::memchr(b'.', digits) {
        Some(dot) if digits[dot + 1..].iter().all(|digit| *digit == b'0') => &digits[..dot],
        _ => digits,
    };
    std::str::from_utf8(whole).ok()?.parse().ok()
}

fn of_status(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        404 => FailureClass::ModelGone,
        413 => FailureClass::ContextTooLong,
        // The prompt, or the answer, matched a blocked pattern.
        498 => FailureClass::ContentPolicy,
        // Somebody on the way hung up. Not we: we are reading the answer.
        499 => FailureClass::Server,
        _ => FailureClass::of_status(status),
    }
}

/// That a prompt is too long has no code. Only the start is compared, because what follows may quote the
/// request.
fn of_message(message: &[u8]) -> Option<FailureClass> {
    message
        .starts_with(b"too many tokens")
        .then_some(FailureClass::ContextTooLong)
}
