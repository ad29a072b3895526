//! A cursor over JSON that finds spans and skips the rest.
//!
//! Nothing is validated beyond what finding the end of a value takes, nothing is copied, and
//! skipping does not recurse. Strings are crossed with `memchr`, since prompts can be large.

use std::borrow::Cow;
use std::ops::Range;

/// A position in a JSON document.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The document broke off, or is no JSON, here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) at: usize,
}

/// A string literal without its quotes.
#[derive(Clone, Copy, Debug)]
struct Literal<'a> {
    raw: &'a [u8],
    escaped: bool,
}

/// No key that anybody asks for is longer than this; longer ones are not unescaped.
const MAX_KEY_BYTES: usize = 32;

/// `\u0041` is the longest way to write one byte.
const MAX_ESCAPE_BYTES: usize = 6;

/// Strings up to this length are crossed a word at a time: a call of `memchr` costs more than
/// they do.
const SHORT_STRING_BYTES: usize = 24;

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The first byte of what comes next; white space is passed over.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Calls `member` with each key of the object that comes next; it must move past the value.
    /// Anything else than an object is skipped.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.peek() != Some(b'{') {
            return self.skip();
        }
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.stopped());
            }
            let literal = self.literal()?;
            if self.peek() != Some(b':') {
                return Err(self.stopped());
            }
            self.at += 1;
            member(self, &literal.key())?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.stopped()),
            }
        }
    }

    /// Calls `element` at each element of the array that comes next; it must move past it.
    /// Anything else than an array is skipped.
    #[inline]
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        if self.peek() != Some(b'[') {
            return self.skip();
        }
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.stopped()),
            }
        }
    }

    /// The text of the string that comes next. Anything else is skipped.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Option<Cow<'a, [u8]>>, Stopped> {
        if self.peek() != Some(b'"') {
            self.skip()?;
            return Ok(None);
        }
        let literal = self.literal()?;
        Ok(Some(if literal.escaped {
            Cow::Owned(unescape(literal.raw))
        } else {
            Cow::Borrowed(literal.raw)
        }))
    }

    /// The digits of the whole number that comes next. Anything else is skipped.
    pub(crate) fn digits(&mut self) -> Result<Option<Cow<'a, [u8]>>, Stopped> {
        let span = self.span()?;
        let digits = self.bytes.get(span).unwrap_or_default();
        Ok(digits
            .iter()
            .all(u8::is_ascii_digit)
            .then_some(Cow::Borrowed(digits)))
    }

    /// The whole number that comes next. Anything else is skipped.
    pub(crate) fn number(&mut self) -> Result<Option<u64>, Stopped> {
        let span = self.span()?;
        let digits = self.bytes.get(span).unwrap_or_default();
        Ok(std::str::from_utf8(digits)
            .ok()
            .and_then(|d| d.parse().ok()))
    }

    /// Skips one value, and tells whether it holds something: `null`, `false`, `""`, `[]` and
    /// `{}` do not.
    #[inline]
    pub(crate) fn holds(&mut self) -> Result<bool, Stopped> {
        let bracket = matches!(self.peek(), Some(b'[' | b'{'));
        let span = self.span()?;
        let value = self.bytes.get(span).unwrap_or_default();
        Ok(if bracket {
            let inner = value.get(1..value.len() - 1).unwrap_or_default();
            !inner.iter().all(u8::is_ascii_whitespace)
        } else {
            !matches!(value, b"null" | b"false" | b"\"\"")
        })
    }

    /// Skips one value, and tells whether it is anything but `null`.
    #[inline]
    pub(crate) fn is_set(&mut self) -> Result<bool, Stopped> {
        let null = self.peek() == Some(b'n');
        self.skip()?;
        Ok(!null)
    }

    /// Skips one value, and tells where it lies.
    #[inline]
    pub(crate) fn span(&mut self) -> Result<Range<usize>, Stopped> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(start..self.at)
    }

    /// Skips one value, whatever it is.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<(), Stopped> {
        match self.peek() {
            Some(b'"') => self.literal().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.skip_scalar(),
        }
    }

    /// Only brackets are counted: which kind closes which is for the upstream to judge.
    fn skip_nested(&mut self) -> Result<(), Stopped> {
        let mut depth = 0_usize;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.literal()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(self.stopped())
    }

    fn skip_scalar(&mut self) -> Result<(), Stopped> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.') =
            self.bytes.get(self.at)
        {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.stopped());
        }
        Ok(())
    }

    /// Crosses the string whose opening quote is next.
    #[inline]
    fn literal(&mut self) -> Result<Literal<'a>, Stopped> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            let Some(found) = self.bytes.get(at..).and_then(string_stop) else {
                self.at = self.bytes.len();
                return Err(self.stopped());
            };
            at += found;
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Literal {
                    raw: &self.bytes[start..at],
                    escaped,
                });
            }
            escaped = true;
            at += 2;
        }
    }

    fn stopped(&self) -> Stopped {
        Stopped { at: self.at }
    }
}

// === impl Literal ===

impl<'a> Literal<'a> {
    #[inline]
    fn key(self) -> Cow<'a, [u8]> {
        if self.escaped && self.raw.len() <= MAX_KEY_BYTES * MAX_ESCAPE_BYTES {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// Where the next quote or backslash is.
#[inline]
fn string_stop(bytes: &[u8]) -> Option<usize> {
    let mut crossed = 0;
    while let (Some(word), true) = (bytes[crossed..].first_chunk(), crossed < SHORT_STRING_BYTES) {
        let word = u64::from_le_bytes(*word);
        let stops = zero_bytes(word ^ every_byte(b'"')) | zero_bytes(word ^ every_byte(b'\\'));
        if stops != 0 {
            return Some(crossed + stops.trailing_zeros() as usize / 8);
        }
        crossed += 8;
    }
    Some(crossed + memchr::memchr2(b'"', b'\\', &bytes[crossed..])?)
}

const fn every_byte(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Sets the top bit of the lowest zero byte. Bits above that one mean nothing.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(every_byte(1)) & !word & every_byte(0x80)
}

/// Resolves the escapes of a string literal (RFC 8259, section 7). Half a surrogate pair becomes
/// U+FFFD; what is no escape stays as it is.
pub(crate) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..slash]);
        rest = &rest[slash + 1..];
        let Some((&kind, after)) = rest.split_first() else {
            text.push(b'\\');
            break;
        };
        let plain = match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, used) = unicode(after);
                let mut buffer = [0; 4];
                text.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
                rest = &after[used..];
                continue;
            }
            _ => {
                text.push(b'\\');
                kind
            }
        };
        text.push(plain);
        rest = after;
    }
    text.extend_from_slice(rest);
    text
}

/// The character of the hexadecimal digits behind `\u`, and how many bytes it took.
fn unicode(digits: &[u8]) -> (char, usize) {
    let Some(first) = four_digits(digits) else {
        return (char::REPLACEMENT_CHARACTER, 0);
    };
    if let (0xd800..0xdc00, Some([b'\\', b'u'])) = (first, digits.get(4..6)) {
        if let Some(second @ 0xdc00..0xe000) = digits.get(6..).and_then(four_digits) {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return (
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                10,
            );
        }
    }
    (
        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
        4,
    )
}

fn four_digits(bytes: &[u8]) -> Option<u32> {
    bytes.get(..4)?.iter().try_fold(0, |code, &byte| {
        Some(code << 4 | char::from(byte).to_digit(16)?)
    })
}
