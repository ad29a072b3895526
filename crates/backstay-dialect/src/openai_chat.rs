//! OpenAI chat completions, and what the servers that copy them add.

use std::borrow::Cow;

use http::{HeaderName, StatusCode};

use crate::delta;
use crate::dialect::CREDENTIALS;
use crate::failure::narrow;
use crate::json::{Cursor, Stopped};
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, Hint, Progress,
    RequestError, RequestFacts, Usage, response_id,
};

/// OpenAI chat completions: OpenAI itself, Azure, Mistral, Groq, OpenRouter, vLLM, SGLang,
/// llama.cpp and others.
///
/// Sources: OpenAI's API reference (chat streaming, error codes) and its SDKs; the error pages of
/// the others. Their extensions are read too: `reasoning_content`, `x_groq`, numeric error codes,
/// `finish_reason: "error"`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai-chat"
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
        let mut document = Document::default();
        let mut cursor = Cursor::new(answer.body);
        // The prefix may end anywhere, or be no JSON at all: what was understood counts.
        let _ = match cursor.peek() {
            // Gemini's endpoint of this shape wraps its error in an array.
            Some(b'[') => cursor.array(|cursor| document.read(cursor)),
            _ => document.read(&mut cursor),
        };
        let told = document.told();
        Failure::new(narrow(
            answer.status,
            of_status(answer.status),
            told.class(),
        ))
        .with_code(told.name())
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
        let error = match (&document.error, event.name) {
            (None, b"error") => Some(document.top.in_band()),
            _ => document.failure(),
        };
        EventFacts {
            progress: document.progress,
            finished: document.finished,
            ended: false,
            error,
            refused: false,
            response_id: document.id.and_then(response_id),
            usage: document.usage,
        }
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let document = Document::whole(body).unwrap_or_default();
        AnswerFacts {
            error: document.failure(),
            refused: false,
            response_id: document.id.and_then(response_id).map(Into::into),
            usage: document.usage,
        }
    }
}

/// A chunk of a stream, a whole answer or an error document: their members do not collide.
#[derive(Default)]
struct Document<'a> {
    progress: Progress,
    finished: bool,
    /// A choice finished with the reason `error` (Mistral, OpenRouter).
    failed: bool,
    id: Option<&'a [u8]>,
    usage: Option<Usage>,
    error: Option<Told<'a>>,
    /// An error document without the `error` around it (Mistral, vLLM).
    top: Told<'a>,
    /// `"object": "error"` marks such a document.
    is_error: bool,
}

/// What an error says about itself, short of its message.
#[derive(Default)]
struct Told<'a> {
    code: Option<Cow<'a, [u8]>>,
    kind: Option<Cow<'a, [u8]>>,
    status: Option<Cow<'a, [u8]>>,
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
            b"id" => {
                if let Some(Cow::Borrowed(id)) = cursor.text()? {
                    self.id = Some(id);
                }
                Ok(())
            }
            b"object" => {
                self.is_error = cursor.text()?.as_deref() == Some(b"error");
                Ok(())
            }
            b"choices" => match delta::openai(cursor) {
                Some(progress) => {
                    self.progress = self.progress.max(progress);
                    Ok(())
                }
                None => cursor.array(|cursor| self.read_choice(cursor)),
            },
            b"usage" => self.read_usage(cursor),
            b"error" => self.read_error(cursor),
            b"x_groq" => cursor.object(|cursor, key| match key {
                b"error" => self.read_error(cursor),
                b"usage" => self.read_usage(cursor),
                _ => cursor.skip(),
            }),
            _ => self.top.read_member(cursor, key),
        })
    }

    fn read_choice(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| match key {
            b"delta" => cursor.object(|cursor, key| {
                let progress = match key {
                    b"content" | b"tool_calls" | b"refusal" | b"function_call" | b"audio" => {
                        Progress::Content
                    }
                    b"reasoning_content" | b"reasoning" | b"reasoning_details" => {
                        Progress::Reasoning
                    }
                    _ => return cursor.skip(),
                };
                if cursor.holds()? {
                    self.progress = self.progress.max(progress);
                }
                Ok(())
            }),
            b"finish_reason" => {
                match cursor.text()?.as_deref() {
                    None | Some(b"") => {}
                    Some(b"error") => self.failed = true,
                    Some(_) => self.finished = true,
                }
                Ok(())
            }
            b"error" => self.read_error(cursor),
            _ => cursor.skip(),
        })
    }

    fn read_usage(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        if cursor.peek() != Some(b'{') {
            return cursor.skip();
        }
        let mut usage = Usage::default();
        cursor.object(|cursor, key| {
            match key {
                b"prompt_tokens" => usage.input = cursor.number()?,
                b"completion_tokens" => usage.output = cursor.number()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        self.usage.get_or_insert_default().update(usage);
        Ok(())
    }

    fn read_error(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        if cursor.peek() != Some(b'{') {
            if cursor.is_set()? {
                self.error.get_or_insert_default();
            }
            return Ok(());
        }
        let told = self.error.get_or_insert_default();
        cursor.object(|cursor, key| told.read_member(cursor, key))
    }

    /// What speaks of the error: the object in `error`, else the members beside it (xAI, and
    /// documents that are an error themselves).
    fn told(&self) -> &Told<'a> {
        match &self.error {
            Some(told) if told.words().next().is_some() => told,
            _ => &self.top,
        }
    }

    /// The error that this document reports inside a 2xx answer.
    fn failure(&self) -> Option<Failure> {
        if self.error.is_some() || self.is_error {
            return Some(self.told().in_band());
        }
        self.failed
            .then(|| Failure::new(FailureClass::Server).with_code(b"error"))
    }
}

// === impl Told ===

impl<'a> Told<'a> {
    fn read_member(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Stopped> {
        match key {
            b"code" if cursor.peek() != Some(b'"') => self.code = cursor.digits()?,
            b"code" => self.code = cursor.text()?,
            b"type" => self.kind = cursor.text()?,
            b"status" => self.status = cursor.text()?,
            _ => cursor.skip()?,
        }
        Ok(())
    }

    /// The words of the error, the most exact first.
    fn words(&self) -> impl Iterator<Item = &[u8]> {
        [&self.code, &self.kind, &self.status]
            .into_iter()
            .filter_map(|word| word.as_deref())
    }

    /// The word to report: the first that is no number.
    fn name(&self) -> &[u8] {
        self.words()
            .find(|word| !word.iter().all(u8::is_ascii_digit))
            .or(self.code.as_deref())
            .unwrap_or_default()
    }

    /// What the words mean by themselves. Quota goes first: it comes as a kind of rate limit,
    /// but no wait helps.
    fn class(&self) -> Option<FailureClass> {
        let mut found = None;
        for class in self.words().filter_map(of_word) {
            if class == FailureClass::Quota {
                return Some(class);
            }
            found = found.or(Some(class));
        }
        found
    }

    /// What an error inside a 2xx answer means. One that says nothing known is the server's: it
    /// had accepted the request.
    fn in_band(&self) -> Failure {
        let status = self
            .code
            .as_deref()
            .and_then(|code| StatusCode::from_bytes(code).ok());
        let class = match (status, self.class()) {
            (Some(status), told) if !status.is_success() => narrow(status, of_status(status), told),
            (_, Some(told)) => told,
            (_, None) if self.words().any(|word| word == b"invalid_request_error") => {
                FailureClass::Caller
            }
            (_, None) => FailureClass::Server,
        };
        Failure::new(class).with_code(self.name())
    }
}

fn of_status(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        404 => FailureClass::ModelGone,
        413 => FailureClass::ContextTooLong,
        // Groq: the flex tier has no capacity.
        498 => FailureClass::Overloaded,
        _ => FailureClass::of_status(status),
    }
}

/// What a code, a type or a status word of an error means. Words that only repeat the HTTP
/// status, such as `invalid_request_error`, are not here.
fn of_word(word: &[u8]) -> Option<FailureClass> {
    Some(match word {
        b"insufficient_quota"
        | b"credit_balance_exhausted"
        | b"organization_spend_limit_exceeded"
        | b"project_spend_limit_exceeded"
        | b"organization_usage_limit_exceeded"
        | b"billing_hard_limit_reached"
        | b"billing_not_active" => FailureClass::Quota,
        b"content_policy_violation"
        | b"content_filter"
        | b"invalid_prompt"
        | b"bio_policy"
        | b"moderation_blocked" => FailureClass::ContentPolicy,
        // The second is llama.cpp's.
        b"context_length_exceeded" | b"exceed_context_size_error" => FailureClass::ContextTooLong,
        b"model_not_found" | b"model_decommissioned" | b"DeploymentNotFound" => {
            FailureClass::ModelGone
        }
        b"rate_limit_exceeded"
        | b"rate_limit_error"
        | b"too_many_requests"
        | b"RESOURCE_EXHAUSTED" => FailureClass::RateLimit,
        b"slow_down"
        | b"server_is_overloaded"
        | b"overloaded_error"
        | b"engine_overloaded"
        | b"engine_overloaded_error"
        | b"capacity_exceeded"
        | b"UNAVAILABLE" => FailureClass::Overloaded,
        b"invalid_api_key"
        | b"authentication_error"
        | b"permission_error"
        | b"account_deactivated"
        | b"unsupported_country_region_territory" => FailureClass::Authentication,
        b"timeout" | b"timeout_error" | b"DEADLINE_EXCEEDED" => FailureClass::Timeout,
        _ => return None,
    })
}
