//! String literals of JSON: where one ends, and what it says.
//!
//! A prompt is one long string, so finding its end is what reading a request costs. Two ways are
//! taken, because none is fast on every text. Where quotes are few, `memchr` goes from one to the
//! next; where they come close together, as in code, blocks are looked through for a quote that is
//! not surely escaped. Neither stops at an escape that is no quote.
//!
//! Most strings are no prompts, and a small request is made of nothing else: those are crossed a word or
//! two at a time before either way is taken.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// A string literal without its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) escaped: bool,
}

/// A member's name that was written with escapes, without them.
#[derive(Debug)]
pub(crate) struct Key<'a> {
    raw: &'a [u8],
    buffer: [u8; MAX_KEY_BYTES],
    /// `None` if it does not fit. It keeps its escapes then: nobody asks for so long a key.
    length: Option<usize>,
}

/// No key that a dialect asks for is longer than this.
const MAX_KEY_BYTES: usize = 32;

/// `\u0041` is the longest way to write one byte.
const MAX_ESCAPE_BYTES: usize = 6;

/// A word is what one register holds.
const WORD_BYTES: usize = 8;

/// Literals up to this length are crossed a word at a time: a call of `memchr` costs more than
/// they do.
const SHORT_LITERAL_BYTES: usize = 24;

/// So many double words behind the first word are looked through before `memchr` is called, for the
/// same reason.
const SHORT_STRING_STEPS: usize = 4;

/// After so many escaped quotes `memchr` is left for blocks.
const FEW_QUOTES: usize = 4;

/// So many bytes are looked at together.
const BLOCK_BYTES: usize = 64;

// === impl Literal ===

impl<'a> Literal<'a> {
    /// Reads the literal whose text starts at `start`; its end is the closing quote. `None` if the
    /// bytes break off.
    #[inline(always)]
    pub(crate) fn read(bytes: &'a [u8], start: usize) -> Option<(Self, usize)> {
        // Keys and most values end within a few words.
        let mut at = start;
        while at - start < SHORT_LITERAL_BYTES {
            let Some(word) = chunk(bytes, at) else {
                break;
            };
            let word = u64::from_le_bytes(*word);
            let stops = quotes_and_slashes(word);
            if stops != 0 {
                let bits = stops.trailing_zeros() & !7;
                at += bits as usize / 8;
                if (word >> bits) as u8 != b'"' {
                    break;
                }
                let raw = bytes.get(start..at)?;
                let escaped = false;
                return Some((Self { raw, escaped }, at));
            }
            at += WORD_BYTES;
        }
        Self::read_far(bytes, start, at)
    }

    /// The same, where neither a quote nor a backslash lies before `at`.
    #[inline(never)]
    fn read_far(bytes: &'a [u8], start: usize, mut at: usize) -> Option<(Self, usize)> {
        let mut escaped = false;
        loop {
            at += string_stop(bytes.get(at..)?)?;
            if bytes[at] == b'"' {
                let raw = &bytes[start..at];
                return Some((Self { raw, escaped }, at));
            }
            escaped = true;
            at += 2;
        }
    }

    /// Gives the literal, the name of a member, without its escapes.
    #[inline(always)]
    pub(crate) fn with_key<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        let resolved;
        let key = if self.escaped {
            resolved = Key::resolve(self.raw);
            resolved.as_bytes()
        } else {
            self.raw
        };
        // One call, so that it is compiled in place.
        read(key)
    }

    #[inline]
    pub(crate) fn text(self) -> Cow<'a, [u8]> {
        if self.escaped {
            Cow::Owned(unescape(self.raw))
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// Whether the literal spells `text`, with escapes or without.
    pub(crate) fn spells(self, text: &[u8]) -> bool {
        if !self.escaped {
            return self.raw == text;
        }
        self.raw.len() <= text.len().saturating_mul(MAX_ESCAPE_BYTES) && unescape(self.raw) == text
    }
}

// === impl Key ===

impl<'a> Key<'a> {
    #[cold]
    pub(crate) fn resolve(raw: &'a [u8]) -> Self {
        let mut key = Self {
            raw,
            buffer: [0; MAX_KEY_BYTES],
            length: Some(0),
        };
        if raw.len() > MAX_KEY_BYTES * MAX_ESCAPE_BYTES {
            key.length = None;
            return key;
        }
        unescape_with(raw, |part| key.push(part));
        key
    }

    fn push(&mut self, part: &[u8]) {
        self.length = self.length.and_then(|length| {
            let end = length + part.len();
            self.buffer.get_mut(length..end)?.copy_from_slice(part);
            Some(end)
        });
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self.length {
            Some(length) => &self.buffer[..length],
            None => self.raw,
        }
    }
}

/// Where the closing quote is of the string whose text starts at `start`, or the end of the bytes if
/// they break off before it: an `Option` would cost a branch more for each string that is crossed.
#[inline(always)]
pub(crate) fn closing_quote(bytes: &[u8], start: usize) -> usize {
    // Few strings are prompts: most end within a word, and a sentence within a few more.
    let Some(word) = chunk(bytes, start) else {
        return closing_quote_near_end(bytes, start, start);
    };
    let word = u64::from_le_bytes(*word);
    let found = quotes(word);
    if found != 0 {
        let bits = found.trailing_zeros() & !7;
        let quote = start + bits as usize / 8;
        // The byte before the quote, or zero where that is the opening one.
        if (word << 8 >> bits) as u8 != b'\\' {
            return quote;
        }
        return closing_quote_far(bytes, start, quote).unwrap_or(bytes.len());
    }
    let mut at = start + WORD_BYTES;
    for _ in 0..SHORT_STRING_STEPS {
        let Some(words) = chunk(bytes, at) else {
            return closing_quote_near_end(bytes, start, at);
        };
        if has_quote(words) {
            let words = u128::from_le_bytes(*words);
            let mut found = quotes(words as u64);
            if found == 0 {
                found = quotes((words >> 64) as u64);
                at += WORD_BYTES;
            }
            at += found.trailing_zeros() as usize / 8;
            if bytes.get(at - 1) != Some(&b'\\') {
                return at;
            }
            break;
        }
        at += 2 * WORD_BYTES;
    }
    closing_quote_far(bytes, start, at).unwrap_or(bytes.len())
}

/// The same, where no quote lies before `at`, and so few bytes are left that a call of `memchr` costs more
/// than they do.
#[inline(never)]
fn closing_quote_near_end(bytes: &[u8], start: usize, mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' && !is_escaped(&bytes[start..at]) {
            break;
        }
        at += 1;
    }
    at
}

/// The same, where no quote lies before `at`. `None` if the bytes break off.
#[inline(never)]
fn closing_quote_far(bytes: &[u8], start: usize, mut at: usize) -> Option<usize> {
    for _ in 0..FEW_QUOTES {
        let quote = at + memchr(b'"', bytes.get(at..)?)?;
        if !is_escaped(&bytes[start..quote]) {
            return Some(quote);
        }
        at = quote + 1;
    }

    // Behind an escaped quote, two bytes before the block are of this string.
    while let (Some(block), Some(before), Some(before_that)) = (
        bytes.get(at..).and_then(<[u8]>::first_chunk),
        bytes.get(at - 1..).and_then(<[u8]>::first_chunk),
        bytes.get(at - 2..).and_then(<[u8]>::first_chunk),
    ) {
        if may_close(block, before, before_that) {
            for (offset, _) in block.iter().enumerate().filter(|(_, b)| **b == b'"') {
                if !is_escaped(&bytes[start..at + offset]) {
                    return Some(at + offset);
                }
            }
        }
        at += BLOCK_BYTES;
    }
    loop {
        let quote = at + memchr(b'"', bytes.get(at..)?)?;
        if !is_escaped(&bytes[start..quote]) {
            return Some(quote);
        }
        at = quote + 1;
    }
}

/// How far behind `at` the next quote or bracket is, if it is within a word; some other bytes pass for
/// one too.
#[inline(always)]
pub(crate) fn next_mark(bytes: &[u8], at: usize) -> usize {
    let Some(word) = chunk(bytes, at) else {
        return 0;
    };
    let word = u64::from_le_bytes(*word);
    // The four brackets are `0x7f` but for these bits.
    let brackets = zero_bytes((word | every_byte(0x26)) ^ every_byte(0x7f));
    ((quotes(word) | brackets).trailing_zeros() / 8) as usize
}

/// The bytes from `at` on, as many as are asked for.
#[inline(always)]
fn chunk<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<&[u8; BYTES]> {
    bytes.get(at..at + BYTES)?.first_chunk()
}

/// Sets the top bit of the lowest byte that is a quote. Bits above that one mean nothing.
const fn quotes(word: u64) -> u64 {
    zero_bytes(word ^ every_byte(b'"'))
}

/// Whether there is a quote. No branches, as in [`may_close`].
#[inline(always)]
fn has_quote(words: &[u8; 2 * WORD_BYTES]) -> bool {
    words
        .iter()
        .fold(0, |found, byte| found | u8::from(*byte == b'"'))
        != 0
}

/// Whether a quote in the block may be a closing one: not if exactly one backslash precedes it. No
/// branches, so that the compiler makes it a handful of vector instructions.
#[inline]
fn may_close(
    block: &[u8; BLOCK_BYTES],
    before: &[u8; BLOCK_BYTES],
    before_that: &[u8; BLOCK_BYTES],
) -> bool {
    let mut found = 0;
    for at in 0..BLOCK_BYTES {
        found |= u8::from(block[at] == b'"')
            & (u8::from(before[at] != b'\\') | u8::from(before_that[at] == b'\\'));
    }
    found != 0
}

/// Whether an odd number of backslashes ends the text before a byte.
#[inline]
fn is_escaped(text: &[u8]) -> bool {
    let slashes = text.iter().rev().take_while(|byte| **byte == b'\\');
    slashes.count() % 2 == 1
}

/// Where the next quote or backslash is.
#[inline]
fn string_stop(bytes: &[u8]) -> Option<usize> {
    let mut crossed = 0;
    while crossed < SHORT_LITERAL_BYTES {
        let Some(word) = bytes.get(crossed..).and_then(<[u8]>::first_chunk) else {
            let rest = bytes.get(crossed..)?;
            return Some(crossed + rest.iter().position(|b| matches!(b, b'"' | b'\\'))?);
        };
        let stops = quotes_and_slashes(u64::from_le_bytes(*word));
        if stops != 0 {
            return Some(crossed + stops.trailing_zeros() as usize / 8);
        }
        crossed += 8;
    }
    Some(crossed + memchr2(b'"', b'\\', &bytes[crossed..])?)
}

/// Sets the top bit of the lowest byte that is a quote or a backslash. Bits above that one mean nothing.
const fn quotes_and_slashes(word: u64) -> u64 {
    zero_bytes(word ^ every_byte(b'"')) | zero_bytes(word ^ every_byte(b'\\'))
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
    unescape_with(raw, |part| text.extend_from_slice(part));
    text
}

fn unescape_with(raw: &[u8], mut push: impl FnMut(&[u8])) {
    let mut rest = raw;
    while let Some(slash) = memchr(b'\\', rest) {
        push(&rest[..slash]);
        rest = &rest[slash + 1..];
        let Some((&kind, after)) = rest.split_first() else {
            push(b"\\");
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
                push(character.encode_utf8(&mut buffer).as_bytes());
                rest = &after[used..];
                continue;
            }
            _ => {
                push(b"\\");
                kind
            }
        };
        push(&[plain]);
        rest = after;
    }
    push(rest);
}

/// The character of the hexadecimal digits behind `\u`, and how many bytes it took.
fn unicode(digits: &[u8]) -> (char, usize) {
    let Some(first) = four_digits(digits) else {
        return (char::REPLACEMENT_CHARACTER, 0);
    };
    if let (0xd800..0xdc00, Some([b'\\', b'u'])) = (first, digits.get(4..6))
        && let Some(second @ 0xdc00..0xe000) = digits.get(6..).and_then(four_digits)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
            10,
        );
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One byte after the other.
    fn plainly(bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            match bytes.get(at)? {
                b'"' => return Some(at),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }

    fn found(bytes: &[u8]) -> Option<usize> {
        let quote = Some(closing_quote(bytes, 0)).filter(|quote| *quote < bytes.len());
        assert_eq!(Literal::read(bytes, 0).map(|(_, end)| end), quote);
        let inside = [b"\"\\\"", bytes].concat();
        assert_eq!(closing_quote(&inside, 3), 3 + quote.unwrap_or(bytes.len()));
        quote
    }

    #[test]
    fn the_closing_quote_is_found_at_every_distance() {
        for escaped in 0..FEW_QUOTES + 3 {
            for slashes in 0..5 {
                for filling in 0..3 * BLOCK_BYTES {
                    let text = [
                        &b"\\\"".repeat(escaped)[..],
                        &vec![b'a'; filling],
                        &vec![b'\\'; slashes],
                        b"\" \"",
                    ]
                    .concat();
                    assert_eq!(
                        found(&text),
                        plainly(&text),
                        "{escaped} {slashes} {filling}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_closing_quote_is_found_however_much_follows() {
        for following in 0..3 * WORD_BYTES {
            for slashes in 0..3 {
                for filling in 0..SHORT_STRING_STEPS * 2 * WORD_BYTES + 20 {
                    let text = [
                        &vec![b'a'; filling][..],
                        &vec![b'\\'; slashes],
                        b"\"",
                        &vec![b'}'; following],
                    ]
                    .concat();
                    assert_eq!(
                        found(&text),
                        plainly(&text),
                        "{following} {slashes} {filling}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_closing_quote_is_the_one_that_a_plain_reader_finds(
            text in proptest::collection::vec(prop::sample::select(&b"a\\\"\\\\b"[..]), 0..300),
            dense in any::<bool>(),
        ) {
            let start = if dense { b"\\\"".repeat(FEW_QUOTES) } else { Vec::new() };
            let quiet = if dense { b"a\\\"".repeat(40) } else { vec![b'a'; 120] };
            let text = [start, quiet, text].concat();
            prop_assert_eq!(found(&text), plainly(&text));
        }
    }
}
