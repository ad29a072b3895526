//! Framing of server-sent events (WHATWG HTML, section 9.2.6), on pieces cut anywhere.
//!
//! An event that lies whole in one piece is read in place. Of an event that the piece breaks off
//! in, only its name and data are kept, and only up to a limit; comments and unknown fields never
//! pile up. An event over the limit has no data, and is none if it has no name either.

use std::{fmt, mem};

use memchr::memchr2;

use crate::Event;

/// The most bytes of an event's name that are kept.
pub const MAX_EVENT_NAME_BYTES: usize = 256;

/// Cuts a stream into events.
pub(crate) struct Framer {
    /// The most bytes that an event's data may have.
    limit: usize,
    /// How much of the byte order mark was seen; its length once the stream is past it.
    mark: usize,
    /// The last piece ended with a carriage return: a line feed now belongs to it.
    after_return: bool,
    /// The rest of the line is of no interest.
    skip_line: bool,
    /// The rest of the event is of no interest: it is over the limit. Its name, if it has one by then, is all
    /// that is told of it.
    skip_event: bool,
    /// The start of the line that the last piece broke off in.
    line: Vec<u8>,
    name: Vec<u8>,
    /// `None` as long as the event has no data field, or has its only one in the current piece.
    data: Option<Vec<u8>>,
    /// An empty buffer to take for `data`, so that a stream allocates one and no more.
    spare: Vec<u8>,
}

/// The values of the current event that lie in the current piece.
#[derive(Default)]
struct InPlace<'f> {
    name: Option<&'f [u8]>,
    data: Option<&'f [u8]>,
}

enum Field<'l> {
    Data(&'l [u8]),
    Name(&'l [u8]),
    Other,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The length of `event: `, the longest thing before a value that is kept.
const FIELD_BYTES: usize = 7;

// === impl Framer ===

impl Framer {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            mark: 0,
            after_return: false,
            skip_line: false,
            skip_event: false,
            line: Vec::new(),
            name: Vec::new(),
            data: None,
            spare: Vec::new(),
        }
    }

    /// Takes the next piece and calls `on_event` for each event that it completes, until that
    /// returns `false`; what comes after that is not looked at.
    pub(crate) fn feed(&mut self, piece: &[u8], mut on_event: impl FnMut(&Event<'_>) -> bool) {
        let mut rest = self.pass_mark(piece);
        if rest.is_empty() {
            return;
        }
        if mem::take(&mut self.after_return) && rest[0] == b'\n' {
            rest = &rest[1..];
        }

        let mut here = InPlace::default();
        while let Some(end) = line_end(rest) {
            let line = &rest[..end];
            let returned = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if returned {
                match rest.first() {
                    Some(b'\n') => rest = &rest[1..],
                    Some(_) => {}
                    None => self.after_return = true,
                }
            }

            if self.skip_line || !self.line.is_empty() {
                self.hold(line);
                if !mem::take(&mut self.skip_line) {
                    self.held_line();
                }
            } else if !line.is_empty() {
                self.line_in_place(line, &mut here);
            } else if !self.dispatch(mem::take(&mut here), &mut on_event) {
                return;
            }
        }

        self.keep(here);
        if !rest.is_empty() {
            self.hold(rest);
        }
    }

    /// Passes over the byte order mark at the start of the stream.
    fn pass_mark<'f>(&mut self, piece: &'f [u8]) -> &'f [u8] {
        let mut rest = piece;
        while self.mark < BYTE_ORDER_MARK.len() {
            match rest.split_first() {
                None => break,
                Some((byte, after)) if *byte == BYTE_ORDER_MARK[self.mark] => {
                    self.mark += 1;
                    rest = after;
                }
                Some(_) => {
                    // Half a mark is the start of a line that is no field.
                    self.skip_line = self.mark > 0;
                    self.mark = BYTE_ORDER_MARK.len();
                }
            }
        }
        rest
    }

    fn dispatch(
        &mut self,
        here: InPlace<'_>,
        on_event: &mut impl FnMut(&Event<'_>) -> bool,
    ) -> bool {
        let skipped = mem::take(&mut self.skip_event);
        let mut go_on = true;
        let name = here.name.unwrap_or(&self.name);
        let data = match skipped {
            false => here.data.or(self.data.as_deref()),
            // The last event of an answer may repeat all of it: its name says enough.
            true => (!name.is_empty()).then_some(&b""[..]),
        };
        if let Some(data) = data {
            go_on = on_event(&Event {
                name,
                data,
                exception: false,
            });
        }
        self.name.clear();
        self.drop_data();
        go_on
    }

    /// A line that lies whole in the current piece.
    fn line_in_place<'f>(&mut self, line: &'f [u8], here: &mut InPlace<'f>) {
        if self.skip_event {
            return;
        }
        match Field::of(line) {
            Field::Name(name) => here.name = Some(cut_name(name)),
            Field::Data(value) => {
                if self.data.is_none() && here.data.is_none() && value.len() <= self.limit {
                    here.data = Some(value);
                } else {
                    self.keep_data(here);
                    self.add_data(value);
                }
            }
            Field::Other => {}
        }
    }

    /// The line that was held is complete. It is the first to end in its piece.
    fn held_line(&mut self) {
        let mut line = mem::take(&mut self.line);
        match Field::of(&line) {
            Field::Name(name) => {
                self.name.clear();
                self.name.extend_from_slice(cut_name(name));
            }
            Field::Data(value) => {
                if self.data.is_none() && value.len() <= self.limit {
                    // A large line becomes the data as it is, without a second buffer.
                    let prefix = line.len() - value.len();
                    line.drain(..prefix);
                    let spare = mem::take(&mut self.spare);
                    self.data = Some(mem::replace(&mut line, spare));
                } else {
                    self.add_data(value);
                }
            }
            Field::Other => {}
        }
        line.clear();
        self.line = line;
    }

    /// Data that is not the event's first, or is too large.
    fn add_data(&mut self, value: &[u8]) {
        let joined = self.data.as_ref().map_or(0, |data| data.len() + 1) + value.len();
        if joined > self.limit {
            self.skip_event = true;
            self.drop_data();
        } else if let Some(data) = &mut self.data {
            data.push(b'\n');
            data.extend_from_slice(value);
        }
    }

    /// Copies what the next piece may still need.
    fn keep(&mut self, mut here: InPlace<'_>) {
        if let Some(name) = here.name {
            self.name.clear();
            self.name.extend_from_slice(name);
        }
        self.keep_data(&mut here);
    }

    fn keep_data(&mut self, here: &mut InPlace<'_>) {
        if let Some(first) = here.data.take() {
            let mut data = mem::take(&mut self.spare);
            data.extend_from_slice(first);
            self.data = Some(data);
        }
    }

    fn drop_data(&mut self) {
        if let Some(mut data) = self.data.take() {
            data.clear();
            self.spare = data;
        }
    }

    /// Adds to the line that is broken off, as far as it is of interest.
    fn hold(&mut self, piece: &[u8]) {
        self.skip_line |= self.skip_event;
        if self.skip_line {
            return;
        }
        let (start, rest) =
            piece.split_at(FIELD_BYTES.saturating_sub(self.line.len()).min(piece.len()));
        self.line.extend_from_slice(start);
        if let Some(room) = self.room() {
            if rest.len() <= room {
                self.line.extend_from_slice(rest);
                return;
            }
            if self.line.starts_with(b"event:") {
                self.line.extend_from_slice(&rest[..room]);
                return;
            }
            self.skip_event = true;
            self.drop_data();
        }
        self.skip_line = true;
        self.line.clear();
    }

    /// How many bytes the held line may still grow by; `None` if it is of no interest.
    fn room(&self) -> Option<usize> {
        let most = if starts_like(&self.line, b"data:") {
            self.limit
                .saturating_sub(self.data.as_ref().map_or(0, Vec::len))
        } else if starts_like(&self.line, b"event:") {
            MAX_EVENT_NAME_BYTES
        } else {
            return None;
        };
        Some(
            most.saturating_add(FIELD_BYTES)
                .saturating_sub(self.line.len()),
        )
    }
}

/// Prints lengths only: the buffers hold the answer.
impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer")
            .field("limit", &self.limit)
            .field("line_bytes", &self.line.len())
            .field("data_bytes", &self.data.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

// === impl Field ===

impl<'l> Field<'l> {
    #[inline]
    fn of(line: &'l [u8]) -> Self {
        if let Some(value) = line.strip_prefix(b"data").and_then(value) {
            Self::Data(value)
        } else if let Some(value) = line.strip_prefix(b"event").and_then(value) {
            Self::Name(value)
        } else {
            Self::Other
        }
    }
}

/// What is behind a field's name; a field without a colon has an empty value.
#[inline]
fn value(behind: &[u8]) -> Option<&[u8]> {
    match behind {
        [] => Some(behind),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// Where the line ends. An empty one is seen at once: every event ends with one.
#[inline]
fn line_end(rest: &[u8]) -> Option<usize> {
    match rest.first() {
        Some(b'\n' | b'\r') => Some(0),
        _ => memchr2(b'\n', b'\r', rest),
    }
}

/// Whether a line may turn out to start with `field`.
fn starts_like(line: &[u8], field: &[u8]) -> bool {
    let known = line.len().min(field.len());
    line[..known] == field[..known]
}

fn cut_name(name: &[u8]) -> &[u8] {
    &name[..name.len().min(MAX_EVENT_NAME_BYTES)]
}
