//! A cursor over JSON that finds spans and skips the rest.
//!
//! Nothing is validated beyond what finding the end of a value takes, nothing is copied, and
//! skipping does not recurse.

use std::borrow::Cow;
use std::ops::Range;

use crate::json_string::{Literal, closing_quote};

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

/// The bytes of numbers and of `true`, `false` and `null`.
const SCALAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.');
        byte += 1;
    }
    table
};

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the cursor is, in bytes from the start.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to where the cursor was.
    pub(crate) fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    /// Moves past these bytes if they are the very next, white space not passed over.
    #[inline(always)]
    pub(crate) fn accept(&mut self, bytes: &[u8]) -> bool {
        let end = self.at.saturating_add(bytes.len());
        let next = self.bytes.get(self.at..end) == Some(bytes);
        if next {
            self.at = end;
        }
        next
    }

    /// Moves past the digits that are the very next; there must be one.
    #[inline]
    pub(crate) fn accept_digits(&mut self) -> bool {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at > start
    }

    /// Moves past the whole number whose first digit is the very next; `None` if it is too large.
    #[inline]
    pub(crate) fn accept_number(&mut self) -> Option<u64> {
        let start = self.at;
        if !self.accept_digits() {
            return None;
        }
        let digits = self.bytes.get(start..self.at)?;
        digits.iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    }

    /// Moves past the string whose opening quote is the very next, and gives its text as it stands.
    #[inline]
    pub(crate) fn accept_string(&mut self) -> Option<&'a [u8]> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        self.skip_string().ok()?;
        self.bytes.get(start..self.at - 1)
    }

    /// The first byte of what comes next; white space is passed over.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => self.peek_far(),
        }
    }

    #[cold]
    fn peek_far(&mut self) -> Option<u8> {
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
        self.members(|cursor, _, literal| literal.with_key(|key| member(cursor, key)))
    }

    /// Like [`object`](Self::object), with the key as it stands and where its opening quote is.
    #[inline]
    pub(crate) fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, usize, Literal<'a>) -> Result<(), Stopped>,
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
            let start = self.at;
            let literal = self.literal()?;
            if self.peek() != Some(b':') {
                return Err(self.stopped());
            }
            self.at += 1;
            member(self, start, literal)?;
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
        Ok(Some(self.literal()?.text()))
    }

    /// The text of the string that comes next, if it has no escapes. Anything else is skipped.
    pub(crate) fn plain_text(&mut self) -> Result<Option<&'a [u8]>, Stopped> {
        if self.peek() != Some(b'"') {
            self.skip()?;
            return Ok(None);
        }
        let literal = self.literal()?;
        Ok((!literal.escaped).then_some(literal.raw))
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
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Option<u64>, Stopped> {
        let span = self.span()?;
        let digits = self.bytes.get(span).unwrap_or_default();
        Ok(digits.iter().try_fold(0_u64, |number, &digit| {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number.checked_mul(10)?.checked_add(u64::from(digit))
        }))
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
    pub(crate) fn skip(&mut self) -> Result<(), Stopped> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.skip_scalar(),
        }
    }

    /// Only brackets are counted: which kind closes which is for the upstream to judge.
    #[inline(never)]
    fn skip_nested(&mut self) -> Result<(), Stopped> {
        let mut depth = 0_usize;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.skip_string()?;
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

    #[inline(always)]
    fn skip_scalar(&mut self) -> Result<(), Stopped> {
        let start = self.at;
        let mut at = start;
        while let Some(&byte) = self.bytes.get(at) {
            if !SCALAR[usize::from(byte)] {
                break;
            }
            at += 1;
        }
        self.at = at;
        if at == start {
            return Err(self.stopped());
        }
        Ok(())
    }

    /// Reads the string whose opening quote is next.
    #[inline]
    fn literal(&mut self) -> Result<Literal<'a>, Stopped> {
        match Literal::read(self.bytes, self.at + 1) {
            Some((literal, end)) => {
                self.at = end + 1;
                Ok(literal)
            }
            None => Err(self.broken_off()),
        }
    }

    /// Crosses the string whose opening quote is next.
    #[inline(always)]
    fn skip_string(&mut self) -> Result<(), Stopped> {
        match closing_quote(self.bytes, self.at + 1) {
            Some(end) => {
                self.at = end + 1;
                Ok(())
            }
            None => Err(self.broken_off()),
        }
    }

    #[cold]
    fn broken_off(&mut self) -> Stopped {
        self.at = self.bytes.len();
        self.stopped()
    }

    fn stopped(&self) -> Stopped {
        Stopped { at: self.at }
    }
}
