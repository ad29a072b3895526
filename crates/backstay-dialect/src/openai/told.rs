//! What an error document says about itself.

use std::borrow::Cow;

use crate::json::{Cursor, Stopped};

/// What an error says about itself.
#[derive(Default)]
pub(super) struct Told<'a> {
    code: Option<Cow<'a, [u8]>>,
    kind: Option<Cow<'a, [u8]>>,
    status: Option<Cow<'a, [u8]>>,
    param: Option<Cow<'a, [u8]>>,
    /// The code of the error behind this one: Azure's `innererror`, OpenRouter's `raw`.
    inner: Option<Cow<'a, [u8]>>,
    /// Which of OpenRouter's limits was met.
    pub(super) limit: Option<Cow<'a, [u8]>>,
    /// There is an object of OpenRouter's that says more.
    pub(super) metadata: bool,
    /// Read for the few facts that are told in no other way; never kept.
    message: Option<Cow<'a, [u8]>>,
}

// === impl Told ===

impl<'a> Told<'a> {
    pub(super) fn read_member(
        &mut self,
        cursor: &mut Cursor<'a>,
        key: &[u8],
    ) -> Result<(), Stopped> {
        match key {
            b"code" => self.code = read_code(cursor)?,
            // Text Generation Inference.
            b"http_status_code" if self.code.is_none() => self.code = cursor.digits()?,
            b"type" | b"error_type" => self.kind = cursor.text()?,
            b"status" => self.status = cursor.text()?,
            b"param" => self.param = cursor.text()?,
            b"message" => self.message = cursor.text()?,
            b"innererror" => cursor.object(|cursor, key| {
                match key {
                    b"code" => self.inner = read_code(cursor)?,
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            b"metadata" => {
                self.metadata |= cursor.peek() == Some(b'{');
                cursor.object(|cursor, key| self.read_metadata(cursor, key))?;
            }
            _ => cursor.skip()?,
        }
        Ok(())
    }

    /// An error that is a bare string (xAI, Ollama).
    pub(super) fn read_text(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        self.message = cursor.text()?;
        Ok(())
    }

    fn read_metadata(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Stopped> {
        match key {
            b"limit_source" => self.limit = cursor.text()?,
            b"error_type" => self.inner = cursor.text()?,
            b"raw" if cursor.peek() == Some(b'"') => {
                // What the provider behind said, as text within the text.
                let raw = cursor.text()?.unwrap_or_default();
                self.inner = self.inner.take().or_else(|| code_of(&raw).map(Cow::Owned));
            }
            _ => cursor.skip()?,
        }
        Ok(())
    }

    /// The words of the error, the most exact first.
    pub(super) fn words(&self) -> impl Iterator<Item = &[u8]> {
        [&self.code, &self.inner, &self.kind, &self.status]
            .into_iter()
            .filter_map(|word| word.as_deref())
    }

    /// The word to report: the first that is no number.
    pub(super) fn name(&self) -> &[u8] {
        self.words()
            .find(|word| !is_number(word))
            .or(self.code.as_deref())
            .unwrap_or_default()
    }

    /// The code, if it repeats an HTTP status.
    pub(super) fn number(&self) -> Option<&[u8]> {
        self.code.as_deref().filter(|code| is_number(code))
    }

    pub(super) fn param(&self) -> &[u8] {
        self.param.as_deref().unwrap_or_default()
    }

    pub(super) fn message(&self) -> &[u8] {
        self.message.as_deref().unwrap_or_default()
    }

    /// Whether it says anything by which it can be told from others.
    pub(super) fn is_empty(&self) -> bool {
        self.words().next().is_none() && self.message.is_none()
    }
}

fn read_code<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, [u8]>>, Stopped> {
    match cursor.peek() {
        Some(b'"') => cursor.text(),
        _ => cursor.digits(),
    }
}

fn is_number(word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_digit)
}

/// The code, or else the type, of an error document within a string.
fn code_of(document: &[u8]) -> Option<Vec<u8>> {
    let mut told = Told::default();
    let read = Cursor::new(document).object(|cursor, key| match key {
        b"error" => cursor.object(|cursor, key| told.read_word(cursor, key)),
        _ => told.read_word(cursor, key),
    });
    // A provider's answer may have been cut: what was understood counts.
    let _ = read;
    Some(told.name().to_vec()).filter(|word| !word.is_empty())
}

impl<'a> Told<'a> {
    /// A member that needs no look further inside.
    fn read_word(&mut self, cursor: &mut Cursor<'a>, key: &[u8]) -> Result<(), Stopped> {
        match key {
            b"code" | b"type" | b"status" => self.read_member(cursor, key),
            _ => cursor.skip(),
        }
    }
}
