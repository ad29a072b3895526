//! Gemini, at Google's own endpoint and on Vertex.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use crate::dialect::CREDENTIALS;
use crate::google_error::GoogleError;
use crate::json::{Cursor, Stopped};
use crate::path_model::before_verb;
use crate::stream::media_type;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, Framing, Progress, RequestError,
    RequestFacts, Usage, response_id,
};

/// Gemini's `…/models/{model}:generateContent` and `:streamGenerateContent`, the latter as server-sent
/// events (`?alt=sse`) and as a JSON array.
///
/// The model is in the path, and so is whether the answer is a stream. A stream has no end marker: the
/// event with a `finishReason` (or a blocked prompt) is its end evidence, and in an array also the closing
/// bracket is.
///
/// A prompt that is blocked, and an answer that ends for its content, are no errors but
/// [`refused`](EventFacts::refused).
///
/// Sources: the Gemini API's reference (`GenerateContentResponse`) and its troubleshooting page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn provider(&self) -> &'static str {
        "gcp.gemini"
    }

    fn carries_model(&self) -> bool {
        true
    }

    /// The body is not looked at: the path tells all.
    fn read_request(&self, path: &str, _body: &[u8]) -> Result<RequestFacts, RequestError> {
        const COLLECTIONS: [&str; 3] = ["models", "tunedModels", "endpoints"];
        let (model, verb) = before_verb(path, &COLLECTIONS).ok_or(RequestError::NoModelInPath)?;
        Ok(RequestFacts {
            model: None,
            path_model: Some(model),
            stream: verb == "streamGenerateContent",
        })
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        static PORTABLE: [HeaderName; 1] = [HeaderName::from_static("x-goog-api-client")];
        &PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn credential_parameters(&self) -> &'static [&'static str] {
        &GOOGLE_PARAMETERS
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        &GOOGLE_REQUEST_ID
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        GoogleError::of_answer(answer.body).classify(answer)
    }

    /// A stream that nobody asked to have as server-sent events comes as a JSON array.
    fn framing(&self, headers: &HeaderMap, streamed: bool) -> Option<Framing> {
        if streamed && media_type(headers).eq_ignore_ascii_case(b"application/json") {
            return Some(Framing::JsonArray);
        }
        Framing::of(headers)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        let document = Document::whole(event.data).unwrap_or_default();
        EventFacts {
            progress: document.progress,
            finished: document.finished,
            ended: false,
            error: document
                .error
                .as_ref()
                .map(|error| error.in_band(event.data)),
            refused: document.refused,
            response_id: document.id.and_then(response_id),
            usage: document.usage.total(),
        }
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let document = Document::whole(body).unwrap_or_default();
        AnswerFacts {
            error: document.error.as_ref().map(|error| error.in_band(body)),
            refused: document.refused,
            response_id: document.id.and_then(response_id).map(Into::into),
            usage: document.usage.total(),
        }
    }
}

/// Query parameters in which Google's APIs take a credential.
pub(crate) static GOOGLE_PARAMETERS: [&str; 3] = ["key", "access_token", "oauth_token"];

pub(crate) static GOOGLE_REQUEST_ID: [HeaderName; 2] = [
    HeaderName::from_static("x-goog-request-id"),
    HeaderName::from_static("x-request-id"),
];

/// An event of a stream, a whole answer, or an error in the place of either.
#[derive(Default)]
struct Document<'a> {
    progress: Progress,
    finished: bool,
    refused: bool,
    id: Option<&'a [u8]>,
    usage: Counts,
    error: Option<GoogleError<'a>>,
}

/// Tokens as Gemini counts them: thoughts are no part of the candidates, and what tools put into the
/// prompt is none of the prompt.
#[derive(Default)]
struct Counts {
    prompt: Option<u64>,
    tools: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
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
        cursor.object(|cursor, key| match key {
            b"candidates" => cursor.array(|cursor| self.read_candidate(cursor)),
            b"promptFeedback" => cursor.object(|cursor, key| match key {
                b"blockReason" => {
                    let reason = cursor.text()?;
                    if !matches!(
                        reason.as_deref(),
                        None | Some(b"" | b"BLOCK_REASON_UNSPECIFIED")
                    ) {
                        self.refused = true;
                        self.finished = true;
                    }
                    Ok(())
                }
                _ => cursor.skip(),
            }),
            b"usageMetadata" => self.usage.read(cursor),
            b"responseId" => {
                if let Some(Cow::Borrowed(id)) = cursor.text()? {
                    self.id = Some(id);
                }
                Ok(())
            }
            b"error" => {
                if cursor.peek() == Some(b'{') {
                    self.error.get_or_insert_default().read(cursor)?;
                } else if cursor.holds()? {
                    self.error.get_or_insert_default();
                }
                Ok(())
            }
            _ => cursor.skip(),
        })
    }

    fn read_candidate(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| match key {
            b"content" => cursor.object(|cursor, key| match key {
                b"parts" => cursor.array(|cursor| {
                    self.progress = self.progress.max(part_progress(cursor)?);
                    Ok(())
                }),
                _ => cursor.skip(),
            }),
            b"finishReason" => {
                match cursor.text()?.as_deref() {
                    None | Some(b"" | b"FINISH_REASON_UNSPECIFIED") => {}
                    Some(reason) => {
                        self.finished = true;
                        self.refused |= is_refusal(reason);
                    }
                }
                Ok(())
            }
            _ => cursor.skip(),
        })
    }
}

/// A part is text, or data under one of many other names. Of a thought also a signature is shown, in a part
/// that may have no other content.
fn part_progress(cursor: &mut Cursor<'_>) -> Result<Progress, Stopped> {
    let (mut filled, mut thought, mut signed) = (false, false, false);
    cursor.object(|cursor, key| {
        match key {
            b"text" => filled |= cursor.holds()?,
            b"thought" => thought = cursor.holds()?,
            b"thoughtSignature" => signed = cursor.holds()?,
            b"functionCall"
            | b"functionResponse"
            | b"executableCode"
            | b"codeExecutionResult"
            | b"inlineData"
            | b"fileData" => filled |= cursor.is_set()?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    Ok(match (filled, thought, signed) {
        (true, false, _) => Progress::Content,
        (true, true, _) | (false, _, true) => Progress::Reasoning,
        (false, _, false) => Progress::None,
    })
}

/// Whether the answer ended for its content, and not because it was whole, too long or malformed.
fn is_refusal(reason: &[u8]) -> bool {
    matches!(
        reason,
        b"SAFETY"
            | b"RECITATION"
            | b"LANGUAGE"
            | b"BLOCKLIST"
            | b"PROHIBITED_CONTENT"
            | b"SPII"
            | b"MODEL_ARMOR"
            | b"IMAGE_SAFETY"
            | b"IMAGE_PROHIBITED_CONTENT"
            | b"IMAGE_RECITATION"
    )
}

// === impl Counts ===

impl Counts {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| {
            match key {
                b"promptTokenCount" => self.prompt = cursor.number()?,
                b"toolUsePromptTokenCount" => self.tools = cursor.number()?,
                b"candidatesTokenCount" => self.candidates = cursor.number()?,
                b"thoughtsTokenCount" => self.thoughts = cursor.number()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn total(&self) -> Option<Usage> {
        let usage = Usage {
            input: sum(self.prompt, self.tools),
            output: sum(self.candidates, self.thoughts),
        };
        (usage != Usage::default()).then_some(usage)
    }
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}
