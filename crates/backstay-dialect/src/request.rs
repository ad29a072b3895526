//! Where a request names its model.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::json::Cursor;
use crate::json_string::unescape;

/// What a request says about itself.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Where in the body the JSON string literal of the model lies, quotes included. `None` if
    /// the dialect carries no model there.
    pub model: Option<Range<usize>>,
    /// Where in the path the segment, or the part of one, that names the model lies, percent-encoded as
    /// it is. Where there is one it decides, whatever the body says.
    pub path_model: Option<Range<usize>>,
    /// Whether the answer is asked for as a stream.
    pub stream: bool,
}

/// Why a request does not say which model it asks for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The first byte of the body, white space aside, is not `{`.
    NotAnObject,
    /// There is no top-level `model`.
    NoModel,
    /// There is more than one top-level `model`, and servers differ in which one they obey.
    SecondModel,
    /// A top-level key differs from `model` in case alone. Some servers fold case, and take it
    /// for the model; which one is asked for depends on the server.
    ModelInOtherCase,
    /// The top-level `model` is not a string.
    ModelNotAString,
    /// The document breaks off, or is no JSON, at this offset in bytes.
    #[non_exhaustive]
    Malformed {
        /// Offset from the start of the body, in bytes.
        position: usize,
    },
    /// The path does not name the model where this dialect has it.
    NoModelInPath,
}

/// The text of a JSON string literal, quotes included or not. What is no text becomes U+FFFD.
#[must_use]
pub fn model_name(literal: &[u8]) -> Cow<'_, str> {
    let inner = literal.strip_prefix(b"\"").unwrap_or(literal);
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    if memchr::memchr(b'\\', inner).is_none() {
        return String::from_utf8_lossy(inner);
    }
    Cow::Owned(String::from_utf8_lossy(&unescape(inner)).into_owned())
}

/// The JSON string literal of a model's name, quotes included.
#[must_use]
pub fn model_literal(name: &str) -> Bytes {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut literal = Vec::with_capacity(name.len() + 2);
    literal.push(b'"');
    for &byte in name.as_bytes() {
        match byte {
            b'"' | b'\\' => literal.extend([b'\\', byte]),
            0..0x20 => literal.extend([
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 0xf)],
            ]),
            _ => literal.push(byte),
        }
    }
    literal.push(b'"');
    literal.into()
}

/// Reads the top level of a request whose `model` and `stream` are members of one JSON object, in one
/// pass.
///
/// A key counts as what it spells, with escapes or without; what is nested, or stands in a string, does
/// not count. `stream` is the last one that is spelled so. The cost is that of finding where strings
/// end: about 10 GB/s in escaped prose, 40 in plain text, less where quotes come every few bytes.
pub(crate) fn read_top_level(body: &[u8]) -> Result<RequestFacts, RequestError> {
    let mut cursor = Cursor::new(body);
    if cursor.peek() != Some(b'{') {
        return Err(RequestError::NotAnObject);
    }

    let mut model = None;
    let mut stream = false;
    // The first complaint is kept, yet the scan goes on: that a document breaks off is the more
    // useful thing to know.
    let mut complaint = None;
    let scanned = cursor.object(|cursor, key| {
        let first = cursor.peek();
        let start = cursor.position();
        cursor.skip_from(first)?;
        let span = start..cursor.position();
        match key {
            b"model" => {
                if model.is_some() {
                    complaint = Some(RequestError::SecondModel);
                } else if first != Some(b'"') {
                    complaint = complaint.or(Some(RequestError::ModelNotAString));
                }
                model = Some(span);
            }
            b"stream" => stream = body.get(span) == Some(b"true"),
            _ if key.eq_ignore_ascii_case(b"model") => {
                complaint = complaint.or(Some(RequestError::ModelInOtherCase));
            }
            _ => {}
        }
        Ok(())
    });

    if let Err(stopped) = scanned {
        return Err(RequestError::Malformed {
            position: stopped.at,
        });
    }
    if let Some(complaint) = complaint {
        return Err(complaint);
    }
    if model.is_none() {
        return Err(RequestError::NoModel);
    }
    Ok(RequestFacts {
        model,
        path_model: None,
        stream,
    })
}

// === impl RequestError ===

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str(
                "the request body is not a JSON object: send one, uncompressed and without a byte \
                 order mark, or use the plain dialect for calls without a model",
            ),
            Self::NoModel => f.write_str(
                "the request body has no top-level `model`: add one, or use the plain dialect for \
                 calls without a model",
            ),
            Self::SecondModel => f.write_str(
                "the request body has more than one top-level `model`: keep one of them",
            ),
            Self::ModelInOtherCase => f.write_str(
                "the request body has a top-level key that is `model` in another case: write it in \
                 lower case, or leave it out",
            ),
            Self::ModelNotAString => f.write_str(
                "the top-level `model` of the request body is not a string: name the model as one",
            ),
            Self::Malformed { position } => write!(
                f,
                "the request body breaks off or is not JSON at byte {position}: send the whole \
                 document",
            ),
            Self::NoModelInPath => f.write_str(
                "the request's path names no model where this dialect has it: write the path as the \
                 provider documents it, with the model percent-encoded as one segment",
            ),
        }
    }
}

impl std::error::Error for RequestError {}
