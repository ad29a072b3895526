//! OpenAI Responses.

use std::borrow::Cow;

use http::HeaderName;
use memchr::memmem;

use super::meaning::Meaning;
use super::told::Told;
use crate::delta;
use crate::dialect::CREDENTIALS;
use crate::json::{Cursor, Stopped};
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, Progress, RequestError, RequestFacts,
    Usage, response_id,
};

/// OpenAI Responses: OpenAI itself, Azure, and the servers that copy it.
///
/// The stream is over at `response.completed` or `response.incomplete`, whether or not the socket
/// stays open; there need not be a `[DONE]`. An incomplete answer is a success: it was cut at a
/// limit, or withheld by a filter, which is noted.
///
/// A hosted tool at work (a web search, a code interpreter, an image) is progress of the kind that
/// reasoning is: the answer proper is still to come, but the server is not silent.
///
/// Sources: OpenAI's API reference (streaming events, errors) and its SDKs.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiResponses;

impl Dialect for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai-responses"
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

    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 2] = [
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("apim-request-id"),
        ];
        &REQUEST_ID
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        Meaning::ANY.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        if let Some(progress) = delta::responses(event.data) {
            return EventFacts {
                progress,
                ..EventFacts::default()
            };
        }
        let document = Document::whole(event.data).unwrap_or_default();
        let kind = document.kind.as_deref().unwrap_or(event.name);
        let over = matches!(kind, b"response.completed" | b"response.incomplete");
        EventFacts {
            progress: document.progress(kind),
            finished: over,
            ended: over,
            error: match kind {
                b"response.failed" | b"error" => Some(document.in_band()),
                _ if event.name == b"error"
                    && document.error.is_none()
                    && !kind.starts_with(b"response.") =>
                {
                    Some(flat_error(event.data))
                }
                _ => document.failure(),
            },
            refused: document.refused,
            response_id: document.id.and_then(response_id),
            usage: document.usage,
        }
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let document = Document::whole(body).unwrap_or_default();
        AnswerFacts {
            error: document.failure(),
            refused: document.refused,
            response_id: document.id.and_then(response_id).map(Into::into),
            usage: document.usage,
        }
    }
}

/// An event's data, a whole answer or an error document: their members do not collide.
#[derive(Default)]
struct Document<'a> {
    kind: Option<Cow<'a, [u8]>>,
    id: Option<&'a [u8]>,
    /// The response says that it failed.
    failed: bool,
    refused: bool,
    usage: Option<Usage>,
    error: Option<Told<'a>>,
    /// An `error` event without an object around what it says.
    top: Told<'a>,
    /// The delta is an empty string.
    delta_empty: bool,
    /// What is done holds something.
    filled: bool,
    item: Item,
}

/// The kind of an item of the output.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Item {
    #[default]
    None,
    Message,
    /// Reasoning, and what hosted tools did on the way to the answer.
    OnTheWay,
    /// Part of the answer: a call of a function, an image.
    Other,
}

// === impl Document ===

impl<'a> Document<'a> {
    /// Reads a whole document; `None` if it is anything else.
    fn whole(bytes: &'a [u8]) -> Option<Self> {
        let mut document = Self::default();
        let mut cursor = Cursor::new(bytes);
        cursor
            .object(|cursor, key| document.read_member(cursor, key))
            .ok()?;
        cursor.peek().is_none().then_some(document)
    }

    fn read_member(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Stopped> {
        match key {
            b"type" => self.kind = cursor.text()?,
            b"response" => cursor.object(|cursor, key| self.read_response(cursor, key))?,
            b"delta" => self.delta_empty = !cursor.holds()?,
            // What `response.output_text.done` and its like repeat.
            b"text" | b"refusal" | b"arguments" | b"input" | b"transcript" => {
                self.filled |= cursor.holds()?;
            }
            b"item" => cursor.object(|cursor, key| self.read_item(cursor, key))?,
            b"code" | b"message" | b"param" => self.top.read_member(cursor, key)?,
            _ => self.read_response(cursor, key)?,
        }
        Ok(())
    }

    /// A member of a response, which an event carries and an answer is.
    fn read_response(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Stopped> {
        match key {
            b"id" => {
                if let Some(Cow::Borrowed(id)) = cursor.text()? {
                    self.id = Some(id);
                }
            }
            b"status" => self.failed = cursor.text()?.as_deref() == Some(b"failed"),
            b"error" => self.read_error(cursor)?,
            b"incomplete_details" => cursor.object(|cursor, key| {
                match key {
                    b"reason" => {
                        self.refused = cursor.text()?.as_deref() == Some(b"content_filter")
                    }
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            b"usage" if cursor.peek() == Some(b'{') => {
                let usage = self.usage.get_or_insert_default();
                cursor.object(|cursor, key| {
                    match key {
                        b"input_tokens" => usage.input = cursor.number()?,
                        b"output_tokens" => usage.output = cursor.number()?,
                        _ => cursor.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => cursor.skip()?,
        }
        Ok(())
    }
    fn read_error(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        match cursor.peek() {
            Some(b'{') => {
                let told = self.error.get_or_insert_default();
                cursor.object(|cursor, key| told.read_member(cursor, key))
            }
            Some(b'"') if cursor.accept(b"\"\"") => Ok(()),
            Some(b'"') => self.error.get_or_insert_default().read_text(cursor),
            _ => cursor.skip(),
        }
    }

    fn read_item(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Stopped> {
        match key {
            b"type" => {
                self.item = match cursor.text()?.as_deref() {
                    None => Item::None,
                    Some(b"message") => Item::Message,
                    Some(
                        b"reasoning"
                        | b"web_search_call"
                        | b"file_search_call"
                        | b"code_interpreter_call"
                        | b"mcp_list_tools"
                        | b"mcp_call",
                    ) => Item::OnTheWay,
                    Some(_) => Item::Other,
                };
            }
            _ => cursor.skip()?,
        }
        Ok(())
    }

    fn progress(&self, kind: &[u8]) -> Progress {
        let said = match memmem::find(kind, b"reasoning") {
            Some(_) => Progress::Reasoning,
            None => Progress::Content,
        };
        match kind {
            b"response.output_item.done" => match self.item {
                // What a message says has come in its deltas.
                Item::None | Item::Message => Progress::None,
                Item::OnTheWay => Progress::Reasoning,
                Item::Other => Progress::Content,
            },
            b"response.image_generation_call.partial_image" => Progress::Content,
            _ if kind.ends_with(b".delta") && !self.delta_empty => said,
            _ if kind.ends_with(b".done") && self.filled => said,
            _ if is_tool_at_work(kind) => Progress::Reasoning,
            _ => Progress::None,
        }
    }

    /// The error that this document reports inside a 2xx answer.
    fn failure(&self) -> Option<Failure> {
        (self.failed || self.error.is_some()).then(|| self.in_band())
    }

    /// What a document that is an error says, in an object or beside it.
    fn in_band(&self) -> Failure {
        Meaning::ANY.in_band(self.error.as_ref().unwrap_or(&self.top))
    }
}

/// What an event says that is named an error, and whose type is already the kind of error.
#[cold]
fn flat_error(data: &[u8]) -> Failure {
    let mut told = Told::default();
    // What was understood counts.
    let _ = Cursor::new(data).object(|cursor, key| told.read_member(cursor, key));
    Meaning::ANY.in_band(&told)
}

/// Such as `response.web_search_call.searching` and `response.mcp_list_tools.in_progress`; what carries the
/// tool's input or output is a delta, and told before.
fn is_tool_at_work(kind: &[u8]) -> bool {
    let tool = memmem::find(kind, b"_call.").or_else(|| memmem::find(kind, b".mcp_list_tools."));
    tool.is_some() && !kind.ends_with(b".delta") && !kind.ends_with(b".done")
}
