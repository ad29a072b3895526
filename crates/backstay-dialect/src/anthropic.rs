//! Anthropic messages.

use std::borrow::Cow;

use http::{HeaderName, StatusCode};

use crate::counts::Counts;
use crate::delta;
use crate::dialect::CREDENTIALS;
use crate::failure::narrow;
use crate::json::{Cursor, Stopped};
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Cooling, Dialect, Event, EventFacts, Failure, FailureClass, Hint,
    Progress, RequestError, RequestFacts, response_id,
};

/// Anthropic messages.
///
/// The stop reasons `refusal`, `model_context_window_exceeded` and `pause_turn` end an answer like
/// any other; the first is noted as `refused`. A 500, a 504 and a 529 cool the target.
///
/// Sources: Anthropic's API reference (streaming, errors) and its SDKs.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnthropicMessages;

impl Dialect for AnthropicMessages {
    fn name(&self) -> &'static str {
        "anthropic-messages"
    }

    fn provider(&self) -> &'static str {
        "anthropic"
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, _path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        read_top_level(body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        static PORTABLE: [HeaderName; 2] = [
            HeaderName::from_static("anthropic-version"),
            HeaderName::from_static("anthropic-beta"),
        ];
        &PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        let mut document = Document::default();
        // The prefix may end anywhere, or be no JSON at all: what was understood counts.
        let _ = document.read(&mut Cursor::new(answer.body));
        let told = document.error.unwrap_or_default();
        let class = narrow(answer.status, of_status(answer.status), told.class());
        let mut failure = Failure::new(class)
            .with_code(told.name())
            .with_hint(Hint::of(answer));
        if matches!(answer.status.as_u16(), 500 | 504) {
            failure = failure.with_cooling(Cooling::Short);
        }
        failure
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 2] = [
            HeaderName::from_static("request-id"),
            HeaderName::from_static("x-request-id"),
        ];
        &REQUEST_ID
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        if let (b"content_block_delta" | b"", Some(progress)) =
            (event.name, delta::anthropic(event.data))
        {
            return EventFacts {
                progress,
                ..EventFacts::default()
            };
        }
        let document = Document::whole(event.data).unwrap_or_default();
        let kind = match event.name {
            b"" => document.kind.as_deref().unwrap_or_default(),
            name => name,
        };
        let mut facts = EventFacts {
            error: document.failure(),
            usage: document.usage.total(),
            ..EventFacts::default()
        };
        match kind {
            b"message_start" => facts.response_id = document.id.and_then(response_id),
            b"content_block_start" => facts.progress = document.block_progress(),
            b"content_block_delta" => facts.progress = document.delta_progress(),
            b"message_delta" => {
                facts.finished = document.stopped;
                facts.refused = document.refused;
            }
            b"message_stop" => facts.ended = true,
            b"error" if facts.error.is_none() => facts.error = Some(Told::default().in_band()),
            _ => {}
        }
        facts
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let document = Document::whole(body).unwrap_or_default();
        AnswerFacts {
            error: document.failure(),
            refused: document.refused,
            response_id: document.id.and_then(response_id).map(Into::into),
            usage: document.usage.total(),
        }
    }
}

/// An event's data, a whole answer or an error document: their members do not collide.
#[derive(Default)]
struct Document<'a> {
    kind: Option<Cow<'a, [u8]>>,
    id: Option<&'a [u8]>,
    usage: Counts,
    error: Option<Told<'a>>,
    delta_kind: Option<Cow<'a, [u8]>>,
    /// The delta is text or thinking of no length.
    delta_empty: bool,
    block_kind: Option<Cow<'a, [u8]>>,
    /// The content block holds text or thinking already.
    block_filled: bool,
    /// There is a stop reason.
    stopped: bool,
    /// The stop reason is `refusal`.
    refused: bool,
}

/// What an error says about itself.
#[derive(Default)]
struct Told<'a> {
    kind: Option<Cow<'a, [u8]>>,
    /// A finer code, which only some errors have.
    code: Option<Cow<'a, [u8]>>,
    /// Read for the few facts that are told in no other way; never kept.
    message: Option<Cow<'a, [u8]>>,
}

// === impl Document ===

impl<'a> Document<'a> {
    /// Reads a whole document; `None` if it is anything else.
    fn whole(bytes: &'a [u8]) -> Option<Self> {
        let mut document = Self::default();
        let mut cursor = Cursor::new(bytes);
        document.read(&mut cursor).ok()?;
        cursor.peek().is_none().then_some(document)
    }

    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| {
            match key {
                b"type" => self.kind = cursor.text()?,
                b"id" => self.read_id(cursor)?,
                b"usage" => read_counts(&mut self.usage, cursor)?,
                b"stop_reason" => self.read_stop_reason(cursor)?,
                b"message" => cursor.object(|cursor, key| match key {
                    b"id" => self.read_id(cursor),
                    b"usage" => read_counts(&mut self.usage, cursor),
                    _ => cursor.skip(),
                })?,
                b"delta" => cursor.object(|cursor, key| {
                    match key {
                        b"type" => self.delta_kind = cursor.text()?,
                        b"stop_reason" => self.read_stop_reason(cursor)?,
                        b"text" | b"thinking" => self.delta_empty = !cursor.holds()?,
                        _ => cursor.skip()?,
                    }
                    Ok(())
                })?,
                b"content_block" => cursor.object(|cursor, key| {
                    match key {
                        b"type" => self.block_kind = cursor.text()?,
                        b"text" | b"thinking" => self.block_filled |= cursor.holds()?,
                        _ => cursor.skip()?,
                    }
                    Ok(())
                })?,
                b"error" => {
                    if cursor.peek() == Some(b'{') {
                        self.error.get_or_insert_default().read(cursor)?;
                    } else if cursor.holds()? {
                        self.error.get_or_insert_default();
                    }
                }
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn read_stop_reason(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        let reason = cursor.text()?;
        self.stopped = reason.is_some();
        self.refused = reason.as_deref() == Some(b"refusal");
        Ok(())
    }

    fn read_id(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        if let Some(Cow::Borrowed(id)) = cursor.text()? {
            self.id = Some(id);
        }
        Ok(())
    }

    /// A block of text or thinking starts empty; a tool's call shows its name at once, and a
    /// tool's result comes whole.
    fn block_progress(&self) -> Progress {
        match self.block_kind.as_deref() {
            None => Progress::None,
            Some(b"text" | b"thinking") if !self.block_filled => Progress::None,
            Some(b"thinking" | b"redacted_thinking") => Progress::Reasoning,
            Some(_) => Progress::Content,
        }
    }

    fn delta_progress(&self) -> Progress {
        match self.delta_kind.as_deref() {
            None => Progress::None,
            Some(b"text_delta" | b"thinking_delta") if self.delta_empty => Progress::None,
            Some(b"thinking_delta" | b"signature_delta") => Progress::Reasoning,
            Some(_) => Progress::Content,
        }
    }

    /// The error that this document reports inside a 2xx answer.
    fn failure(&self) -> Option<Failure> {
        self.error.as_ref().map(Told::in_band)
    }
}

// === impl Told ===

impl<'a> Told<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| {
            match key {
                b"type" => self.kind = cursor.text()?,
                b"code" => self.code = cursor.text()?,
                b"message" => self.message = cursor.text()?,
                b"details" => cursor.object(|cursor, key| match key {
                    b"error_code" => {
                        self.code = cursor.text()?;
                        Ok(())
                    }
                    _ => cursor.skip(),
                })?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn name(&self) -> &[u8] {
        self.code
            .as_deref()
            .or(self.kind.as_deref())
            .unwrap_or_default()
    }

    fn class(&self) -> Option<FailureClass> {
        // A spend limit comes as a rate limit, but no wait helps.
        if self.code.as_deref() == Some(b"enforced_spend_limit_reached") {
            return Some(FailureClass::Quota);
        }
        Some(match self.kind.as_deref()? {
            b"invalid_request_error" => self.message.as_deref().and_then(of_message)?,
            b"authentication_error" | b"permission_error" => FailureClass::Authentication,
            b"billing_error" => FailureClass::Quota,
            b"not_found_error" => FailureClass::ModelGone,
            b"request_too_large" => FailureClass::ContextTooLong,
            b"rate_limit_error" => FailureClass::RateLimit,
            b"timeout_error" => FailureClass::Timeout,
            b"overloaded_error" => FailureClass::Overloaded,
            b"api_error" => FailureClass::Server,
            _ => return None,
        })
    }

    /// What an error inside a 2xx answer means. One that says nothing known is the server's: it
    /// had accepted the request.
    fn in_band(&self) -> Failure {
        let class = self.class().unwrap_or(match self.kind.as_deref() {
            Some(b"invalid_request_error") => FailureClass::Caller,
            _ => FailureClass::Server,
        });
        let failure = Failure::new(class).with_code(self.name());
        match self.kind.as_deref() {
            Some(b"api_error" | b"timeout_error") => failure.with_cooling(Cooling::Short),
            _ => failure,
        }
    }
}

fn of_status(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        404 => FailureClass::ModelGone,
        // Sent by the edge for bodies above 32 MB, with an HTML body.
        413 => FailureClass::ContextTooLong,
        _ => FailureClass::of_status(status),
    }
}

/// These facts have no code of their own: the start of the message is all that Anthropic
/// sends. Only the start is compared, because what follows may quote the request.
fn of_message(message: &[u8]) -> Option<FailureClass> {
    const STARTS: [(&[u8], FailureClass); 5] = [
        (b"prompt is too long", FailureClass::ContextTooLong),
        (
            b"input length and `max_tokens` exceed context limit",
            FailureClass::ContextTooLong,
        ),
        (b"Your credit balance is too low", FailureClass::Quota),
        (
            b"You have reached your specified API usage limits",
            FailureClass::Quota,
        ),
        (
            b"Output blocked by content filtering policy",
            FailureClass::ContentPolicy,
        ),
    ];
    STARTS
        .iter()
        .find(|(start, _)| message.starts_with(start))
        .map(|&(_, class)| class)
}

fn read_counts(counts: &mut Counts, cursor: &mut Cursor<'_>) -> Result<(), Stopped> {
    cursor.object(|cursor, key| {
        match key {
            b"input_tokens" => counts.input = cursor.number()?,
            b"output_tokens" => counts.output = cursor.number()?,
            b"cache_creation_input_tokens" => counts.cache_written = cursor.number()?,
            b"cache_read_input_tokens" => counts.cache_read = cursor.number()?,
            _ => cursor.skip()?,
        }
        Ok(())
    })
}
