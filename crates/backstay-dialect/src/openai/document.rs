//! A chunk of a chat stream, a whole chat answer, or an error document.

use std::borrow::Cow;

use super::told::Told;
use crate::delta;
use crate::json::{Cursor, Stopped};
use crate::{Failure, FailureClass, Progress, Usage};

/// A chunk of a stream, a whole answer or an error document: their members do not collide.
#[derive(Default)]
pub(super) struct Document<'a> {
    pub(super) progress: Progress,
    pub(super) finished: bool,
    pub(super) refused: bool,
    /// A choice finished with a reason that is a failure.
    failed: Option<Unfinished>,
    pub(super) id: Option<&'a [u8]>,
    pub(super) usage: Option<Usage>,
    pub(super) error: Option<Told<'a>>,
    /// An error document without the `error` around it (Mistral, vLLM).
    pub(super) top: Told<'a>,
    /// `"object": "error"` marks such a document.
    is_error: bool,
}

/// A reason to finish that is none.
#[derive(Clone, Copy)]
enum Unfinished {
    /// Mistral, OpenRouter.
    Error,
    /// vLLM, SGLang: the engine gave the request up.
    Abort,
    /// DeepSeek.
    InsufficientSystemResource,
}

// === impl Document ===

impl<'a> Document<'a> {
    /// Reads the start of a document, which may end anywhere or be no JSON at all: what was understood
    /// counts.
    pub(super) fn prefix(bytes: &'a [u8]) -> Self {
        let mut document = Self::default();
        let mut cursor = Cursor::new(bytes);
        let _ = match cursor.peek() {
            // Gemini's endpoint of this shape wraps its error in an array.
            Some(b'[') => cursor.array(|cursor| document.read(cursor)),
            _ => document.read(&mut cursor),
        };
        document
    }

    /// Reads a whole document; `false` if it is anything else.
    pub(super) fn read_whole(&mut self, bytes: &'a [u8]) -> bool {
        let mut cursor = Cursor::new(bytes);
        self.read(&mut cursor).is_ok() && cursor.peek().is_none()
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
            b"delta" => cursor.object(|cursor, key| self.read_delta(cursor, key)),
            b"finish_reason" => {
                match cursor.text()?.as_deref() {
                    None | Some(b"") => {}
                    Some(b"error") => self.failed = Some(Unfinished::Error),
                    Some(b"abort") => self.failed = Some(Unfinished::Abort),
                    Some(b"insufficient_system_resource") => {
                        self.failed = Some(Unfinished::InsufficientSystemResource);
                    }
                    Some(reason) => {
                        self.finished = true;
                        self.refused |= reason == b"content_filter";
                    }
                }
                Ok(())
            }
            b"error" => self.read_error(cursor),
            _ => cursor.skip(),
        })
    }

    fn read_delta(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Stopped> {
        let progress = match key {
            b"content" if cursor.peek() == Some(b'[') => {
                return cursor.array(|cursor| self.read_part(cursor));
            }
            b"content" | b"tool_calls" | b"refusal" | b"function_call" | b"audio" | b"images" => {
                Progress::Content
            }
            // The last is Groq's: tools that its own models ran on the way to the answer.
            b"reasoning_content" | b"reasoning" | b"reasoning_details" | b"executed_tools" => {
                Progress::Reasoning
            }
            _ => return cursor.skip(),
        };
        if cursor.holds()? {
            self.progress = self.progress.max(progress);
        }
        Ok(())
    }

    /// A part of a content that is a list (Mistral): its thinking comes in the same list as its text.
    fn read_part(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        let mut progress = Progress::Content;
        let mut filled = false;
        cursor.object(|cursor, key| match key {
            b"type" => {
                if cursor.text()?.as_deref() == Some(b"thinking") {
                    progress = Progress::Reasoning;
                }
                Ok(())
            }
            // A list of parts in its turn.
            b"thinking" if cursor.peek() == Some(b'[') => cursor.array(|cursor| {
                cursor.object(|cursor, key| {
                    let holds = cursor.holds()?;
                    filled |= holds && key != b"type";
                    Ok(())
                })
            }),
            _ => {
                filled |= cursor.holds()?;
                Ok(())
            }
        })?;
        if filled {
            self.progress = self.progress.max(progress);
        }
        Ok(())
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
        match cursor.peek() {
            Some(b'{') => {
                let told = self.error.get_or_insert_default();
                cursor.object(|cursor, key| told.read_member(cursor, key))
            }
            Some(b'"') if cursor.accept(b"\"\"") => Ok(()),
            // A sentence; what else there is to say is said beside it.
            Some(b'"') => {
                self.error.get_or_insert_default();
                self.top.read_text(cursor)
            }
            _ => {
                if cursor.holds()? {
                    self.error.get_or_insert_default();
                }
                Ok(())
            }
        }
    }

    /// What speaks of the error: the object in `error`, else the members beside it (xAI, and documents
    /// that are an error themselves).
    pub(super) fn told(&self) -> &Told<'a> {
        match &self.error {
            Some(told) if told.words().next().is_some() || self.top.is_empty() => told,
            _ => &self.top,
        }
    }

    /// Whether the document says that it is an error.
    pub(super) fn is_failure(&self) -> bool {
        self.error.is_some() || self.is_error
    }

    /// The error that this document reports inside a 2xx answer.
    pub(super) fn failure(&self, in_band: impl FnOnce(&Told<'a>) -> Failure) -> Option<Failure> {
        if self.is_failure() {
            return Some(in_band(self.told()));
        }
        self.failed.map(Unfinished::failure)
    }
}

// === impl Unfinished ===

impl Unfinished {
    fn failure(self) -> Failure {
        match self {
            Self::Error => Failure::new(FailureClass::Server).with_code(b"error"),
            Self::Abort => Failure::new(FailureClass::Server).with_code(b"abort"),
            Self::InsufficientSystemResource => {
                Failure::new(FailureClass::Overloaded).with_code(b"insufficient_system_resource")
            }
        }
    }
}
