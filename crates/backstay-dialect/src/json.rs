//! A cursor over JSON that finds spans and skips the rest.
//!
//! Nothing is validated beyond what finding the end of a value takes, nothing is copied, and
//! skipping does not recurse.

use std::borrow::Cow;
use std::ops::Range;

use crate::json_string::{Literal, closing_quote, next_mark};

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
        self.at = string_end(self.bytes, self.at).ok()?;
        self.bytes.get(start..self.at - 1)
    }

    /// The first byte of what comes next; white space is passed over.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => {
                self.at = behind_space(self.bytes, self.at);
                self.bytes.get(self.at).copied()
            }
        }
    }

    /// Whether this byte comes next; white space is passed over.
    #[inline(always)]
    fn next_is(&mut self, byte: u8) -> bool {
        self.bytes.get(self.at) == Some(&byte) || self.peek() == Some(byte)
    }

    /// Moves past this byte if it comes next; white space is passed over.
    #[inline(always)]
    fn pass(&mut self, byte: u8) -> bool {
        let next = self.next_is(byte);
        self.at += usize::from(next);
        next
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
        if !self.pass(b'{') {
            return self.skip();
        }
        if self.pass(b'}') {
            return Ok(());
        }
        loop {
            if !self.next_is(b'"') {
                return Err(self.stopped());
            }
            let start = self.at;
            let literal = self.literal()?;
            if !self.pass(b':') {
                return Err(self.stopped());
            }
            member(self, start, literal)?;
            if !self.pass(b',') {
                break;
            }
        }
        if self.pass(b'}') {
            Ok(())
        } else {
            Err(self.stopped())
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

    /// Skips one object, and tells whether any of its members [`holds`](Self::holds) something.
    pub(crate) fn holds_further_in(&mut self) -> Result<bool, Stopped> {
        let mut holds = false;
        self.object(|cursor, _| {
            holds |= cursor.holds()?;
            Ok(())
        })?;
        Ok(holds)
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
        let first = self.peek();
        self.skip_from(first)
    }

    /// The same, where the value's first byte is known from a peek. For the few callers for which a call
    /// is dear.
    #[inline(always)]
    pub(crate) fn skip_from(&mut self, first: Option<u8>) -> Result<(), Stopped> {
        let end = match first {
            Some(b'"') => string_end(self.bytes, self.at),
            Some(b'{' | b'[') => nested_end(self.bytes, self.at),
            _ => scalar_end(self.bytes, self.at),
        };
        match end {
            Ok(end) => {
                self.at = end;
                Ok(())
            }
            Err(stopped) => {
                self.at = stopped.at;
                Err(stopped)
            }
        }
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

    #[cold]
    fn broken_off(&mut self) -> Stopped {
        self.at = self.bytes.len();
        self.stopped()
    }

    fn stopped(&self) -> Stopped {
        Stopped { at: self.at }
    }
}

/// Where the string ends whose opening quote is at `at`.
#[inline(always)]
fn string_end(bytes: &[u8], at: usize) -> Result<usize, Stopped> {
    let quote = closing_quote(bytes, at + 1);
    if quote < bytes.len() {
        Ok(quote + 1)
    } else {
        Err(Stopped { at: quote })
    }
}

/// Where the number or word ends that starts at `start`.
#[inline(always)]
fn scalar_end(bytes: &[u8], start: usize) -> Result<usize, Stopped> {
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        if !SCALAR[usize::from(byte)] {
            break;
        }
        at += 1;
    }
    if at == start {
        return Err(Stopped { at });
    }
    Ok(at)
}

/// Where the object or array ends whose opening bracket is at `at`. Only brackets are counted: which
/// kind closes which is for the upstream to judge.
#[inline(never)]
fn nested_end(bytes: &[u8], mut at: usize) -> Result<usize, Stopped> {
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' {
            at = closing_quote(bytes, at + 1);
        } else if byte >= b'[' {
            // `[` and `]` are `{` and `}` but for one bit.
            match byte | 0x20 {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(at + 1);
                    }
                }
                _ => {}
            }
        } else if byte.is_ascii_digit() {
            // Where one number stands there are often many more.
            at += next_mark(bytes, at + 1);
        }
        at += 1;
    }
    Err(Stopped { at: bytes.len() })
}

/// Where the white space ends that starts at `at`. By value, so that a cursor may stay in registers.
#[cold]
fn behind_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One byte after the other.
    fn plainly(bytes: &[u8]) -> Result<usize, Stopped> {
        let mut depth = 0;
        let mut quoted = false;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match (quoted, byte) {
                (true, b'\\') => at += 1,
                (_, b'"') => quoted = !quoted,
                (false, b'[' | b'{') => depth += 1,
                (false, b']' | b'}') => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return Ok(at);
            }
        }
        Err(Stopped { at: bytes.len() })
    }

    proptest! {
        #[test]
        fn a_nested_value_ends_where_a_plain_reader_finds_its_end(
            pieces in proptest::collection::vec(
                prop::sample::select(vec![
                    "\"", "\"", "\\", "{", "}", "[", "]", ":", ",", " ", "\n", "a", "1", "-12.5e3", "1234567,", "_yY\x7f", "é",
                    "a word or two", "a sentence that is somewhat longer than the others",
                ]),
                0..60,
            ),
        ) {
            let text = format!("[{}", pieces.concat());
            prop_assert_eq!(nested_end(text.as_bytes(), 0), plainly(text.as_bytes()));
        }

        #[test]
        fn numbers_are_crossed_up_to_the_next_mark(before in "[0-9,. ]{0,20}", mark in "[\\[\\]{}\"]", behind in "[\\[\\]{}\", 1a]{0,20}") {
            let text = format!("[{before}{mark}{behind}");
            prop_assert_eq!(nested_end(text.as_bytes(), 0), plainly(text.as_bytes()));
        }
    }
}
