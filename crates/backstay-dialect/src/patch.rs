//! Changes that a target makes to the top-level fields of a request.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value};

use crate::json::Cursor;
use crate::{Edits, RequestError};

/// Changes to the top-level fields of a JSON request: a value overrides, `null` removes, what is
/// not named is kept.
///
/// It is one level deep: a value takes the place of the whole field, and a `null` further down is a
/// value like any other. Every hop patches the original request, so changes of one target never
/// reach the next. Keys are compared as they are meant, with escapes or without, and case counts.
/// `model` cannot be patched: a target has its own setting for it. Values are sent as they are
/// written here.
///
/// Parse one when the targets are configured: that reads and checks its text. Applying it crosses the
/// top level of the body once.
///
/// ```
/// use backstay_dialect::Patch;
/// use bytes::Bytes;
///
/// let patch: Patch = r#"{"temperature": 1, "logit_bias": null}"#.parse()?;
///
/// let body = Bytes::from_static(br#"{"messages": [], "temperature": 0.2, "logit_bias": {}}"#);
/// let sent: Vec<Bytes> = patch.edits(&body)?.slices(&body).collect();
/// assert_eq!(sent.concat(), br#"{"messages": [], "temperature": 1}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Patch {
    fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Eq)]
struct Field {
    /// Without escapes.
    key: Box<[u8]>,
    /// As the patch spells it, quotes included.
    key_literal: Bytes,
    /// `None` removes the field.
    value: Option<Bytes>,
}

/// Why a text is no patch.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// It is no JSON object.
    #[non_exhaustive]
    NotAnObject {
        /// Where reading stopped: the line, from 1.
        line: usize,
        /// Where reading stopped: the column in bytes, from 1; 0 if the text is another kind of value.
        column: usize,
    },
    /// It names the model, in this spelling or another.
    NamesModel,
    /// It names a field twice.
    #[non_exhaustive]
    Repeated {
        /// The field.
        key: Box<str>,
    },
}

/// A member of the body.
struct Member {
    key_start: usize,
    value: Range<usize>,
    /// Which field of the patch names it.
    field: Option<usize>,
}

// === impl Patch ===

impl Patch {
    /// Reads a JSON object. The same as [`FromStr`].
    ///
    /// # Errors
    ///
    /// When the text is no JSON object, names the model, or names a field twice.
    pub fn parse(text: &str) -> Result<Self, PatchError> {
        // Checks the whole text; the values are then taken as they are written.
        serde_json::from_str::<Map<String, Value>>(text)?;

        let text = Bytes::copy_from_slice(text.as_bytes());
        let mut fields: Vec<Field> = Vec::new();
        let mut refused = None;
        let read = Cursor::new(&text).members(|cursor, start, literal| {
            let key = literal.text();
            let value = cursor.span()?;
            if key.eq_ignore_ascii_case(b"model") {
                refused = Some(PatchError::NamesModel);
            } else if fields.iter().any(|field| *field.key == *key) {
                let key = String::from_utf8_lossy(&key).into();
                refused = Some(PatchError::Repeated { key });
            }
            fields.push(Field {
                key: key.as_ref().into(),
                key_literal: text.slice(start..start + literal.raw.len() + 2),
                value: (text[value.clone()] != *b"null").then(|| text.slice(value)),
            });
            Ok(())
        });
        match (refused, read) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(Self { fields }),
            (None, Err(_)) => Err(PatchError::NotAnObject { line: 0, column: 0 }),
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// What becomes of `stream`: `None` if it is kept as the caller has it. Else the answer may be a
    /// stream where the caller asked for none, or the other way round.
    #[must_use]
    pub fn stream(&self) -> Option<bool> {
        let field = self.fields.iter().find(|field| *field.key == *b"stream")?;
        Some(field.value.as_deref() == Some(b"true"))
    }

    /// What to change in a body. Fields that it does not have yet go to its start; one that it has
    /// more than once is changed wherever it is.
    ///
    /// # Errors
    ///
    /// When the body is no JSON object or breaks off. It is not validated otherwise.
    pub fn edits(&self, body: &[u8]) -> Result<Edits, RequestError> {
        let mut cursor = Cursor::new(body);
        if cursor.peek() != Some(b'{') {
            return Err(RequestError::NotAnObject);
        }
        let open = cursor.position();
        let members = self.members(&mut cursor)?;
        let mut edits = Edits::new();
        let kept = members
            .iter()
            .filter(|member| !self.removes(member))
            .count();
        self.add_missing(&members, kept, open + 1, &mut edits);
        self.change(&members, &mut edits);
        Ok(edits)
    }

    fn members(&self, cursor: &mut Cursor<'_>) -> Result<Vec<Member>, RequestError> {
        let mut members = Vec::new();
        let read = cursor.members(|cursor, key_start, key| {
            let field = self.fields.iter().position(|field| key.spells(&field.key));
            let value = cursor.span()?;
            members.push(Member {
                key_start,
                value,
                field,
            });
            Ok(())
        });
        match read {
            Ok(()) => Ok(members),
            Err(stopped) => Err(RequestError::Malformed {
                position: stopped.at,
            }),
        }
    }

    fn removes(&self, member: &Member) -> bool {
        self.field_of(member)
            .is_some_and(|field| field.value.is_none())
    }

    fn field_of(&self, member: &Member) -> Option<&Field> {
        self.fields.get(member.field?)
    }

    /// Puts the fields that no member has behind the opening brace, in one piece.
    fn add_missing(&self, members: &[Member], kept: usize, at: usize, edits: &mut Edits) {
        let mut added = BytesMut::new();
        for (index, field) in self.fields.iter().enumerate() {
            let Some(value) = &field.value else { continue };
            if members.iter().any(|member| member.field == Some(index)) {
                continue;
            }
            if !added.is_empty() {
                added.put_u8(b',');
            }
            added.put_slice(&field.key_literal);
            added.put_u8(b':');
            added.put_slice(value);
        }
        if added.is_empty() {
            return;
        }
        if kept > 0 {
            added.put_u8(b',');
        }
        edits.replace(at..at, added.freeze());
    }

    /// Replaces the values of members, and removes members with one comma each.
    fn change(&self, members: &[Member], edits: &mut Edits) {
        // The end of the last member that stays.
        let mut kept_before = false;
        for (index, member) in members.iter().enumerate() {
            let Some(field) = self.field_of(member) else {
                kept_before = true;
                continue;
            };
            if let Some(value) = &field.value {
                kept_before = true;
                edits.replace(member.value.clone(), value.clone());
                continue;
            }
            let before = index.checked_sub(1).and_then(|before| members.get(before));
            let after = members.get(index + 1);
            let span = match (kept_before, before, after) {
                // The comma before it goes with it.
                (true, Some(before), _) => before.value.end..member.value.end,
                // None stays before it: the comma behind it goes with it.
                (_, _, Some(after)) => member.key_start..after.key_start,
                (_, _, None) => member.key_start..member.value.end,
            };
            edits.replace(span, Bytes::new());
        }
    }
}

impl FromStr for Patch {
    type Err = PatchError;

    fn from_str(text: &str) -> Result<Self, PatchError> {
        Self::parse(text)
    }
}

/// Prints the keys only: values may be anything.
impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.fields.iter().map(|field| {
            let sign = if field.value.is_some() { '+' } else { '-' };
            format!("{sign}{}", String::from_utf8_lossy(&field.key))
        });
        f.debug_tuple("Patch")
            .field(&keys.collect::<Vec<_>>())
            .finish()
    }
}

// === impl PatchError ===

impl From<serde_json::Error> for PatchError {
    fn from(error: serde_json::Error) -> Self {
        Self::NotAnObject {
            line: error.line(),
            column: error.column(),
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject { line, column } => write!(
                f,
                "the patch is not a JSON object (line {line}, column {column}): write one, such as \
                 {{\"temperature\": 1, \"logit_bias\": null}}",
            ),
            Self::NamesModel => f.write_str(
                "the patch names the model: leave that out, and give the target a model instead",
            ),
            Self::Repeated { key } => {
                write!(
                    f,
                    "the patch names {key:?} more than once: keep one of them"
                )
            }
        }
    }
}

impl std::error::Error for PatchError {}
