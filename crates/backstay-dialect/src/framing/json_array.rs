//! A JSON array of which each element is an event, on pieces cut anywhere: Gemini's stream where nobody
//! asked for server-sent events.
//!
//! An element that lies whole in one piece is read in place; of one that is cut, at most the limit is held,
//! and one over the limit is passed over. Brackets are counted, not matched by kind, so that no nesting
//! costs memory. Another value in the place of the array is its only element.

use crate::Event;
use crate::framing::{Cut, Held};

/// Cuts a stream into events.
#[derive(Debug)]
pub(crate) struct Framer {
    /// The most bytes that an element may have.
    limit: usize,
    place: Place,
    /// Brackets that are open in the current element.
    depth: u64,
    /// The document is no array but a single value.
    single: bool,
    /// The start of the element that the last piece broke off in.
    held: Held,
    /// The current element is over the limit.
    skip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the document.
    Start,
    /// Before an element, or the end of the array.
    Before,
    Inside,
    InString,
    /// Right behind a backslash in a string.
    Escape,
    /// In a number, `true`, `false` or `null`.
    Bare,
    /// Behind an element.
    Behind,
    /// Behind the document.
    End,
    /// This is no JSON.
    Astray,
}

// === impl Framer ===

impl Framer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            place: Place::Start,
            depth: 0,
            single: false,
            held: Held::default(),
            skip: false,
        }
    }

    /// As [`framing::Framer::feed`](crate::framing::Framer::feed).
    pub(super) fn feed(
        &mut self,
        piece: &[u8],
        mut on_event: impl FnMut(&Event<'_>) -> bool,
    ) -> Cut {
        // Where the current element starts in this piece.
        let mut start = 0;
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            match self.place {
                Place::Inside => match byte {
                    b'"' => self.place = Place::InString,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                },
                Place::InString => {
                    let Some(found) = memchr::memchr2(b'"', b'\\', &piece[at..]) else {
                        break;
                    };
                    at += found;
                    self.place = match piece[at] {
                        b'"' => Place::Inside,
                        _ => Place::Escape,
                    };
                }
                Place::Escape => self.place = Place::InString,
                // The byte behind a bare value belongs to it no more.
                Place::Bare => match byte {
                    b',' | b']' | b' ' | b'\t' | b'\n' | b'\r' => {
                        if !self.element(&piece[start..at], &mut on_event) {
                            return Cut::Open;
                        }
                        continue;
                    }
                    _ => {}
                },
                Place::Start | Place::Before | Place::Behind => {
                    start = at;
                    self.place = self.between(byte);
                }
                Place::End => return Cut::Closed,
                Place::Astray => return Cut::Broken,
            }
            at += 1;
            if self.place == Place::Inside
                && self.depth == 0
                && !self.element(&piece[start..at], &mut on_event)
            {
                return Cut::Open;
            }
        }
        self.hold(&piece[start..]);
        match self.place {
            Place::End => Cut::Closed,
            Place::Astray => Cut::Broken,
            _ => Cut::Open,
        }
    }

    /// Where a byte leads to that is in no element.
    fn between(&mut self, byte: u8) -> Place {
        match (byte, self.place) {
            (b' ' | b'\t' | b'\n' | b'\r', place) => place,
            (b'[', Place::Start) => Place::Before,
            (b']', Place::Before | Place::Behind) => Place::End,
            (b',', Place::Behind) => Place::Before,
            (_, Place::Behind) => Place::Astray,
            (first, place) => {
                self.single = place == Place::Start;
                self.depth = 0;
                match first {
                    b'{' | b'[' => {
                        self.depth = 1;
                        Place::Inside
                    }
                    b'"' => Place::InString,
                    b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Place::Bare,
                    _ => Place::Astray,
                }
            }
        }
    }

    /// The current element ends with these bytes. Whether to go on is for `on_event` to say.
    fn element(&mut self, last: &[u8], on_event: &mut impl FnMut(&Event<'_>) -> bool) -> bool {
        self.place = if self.single {
            Place::End
        } else {
            Place::Behind
        };
        let in_place = self.held.0.is_empty() && !self.skip;
        if !in_place || last.len() > self.limit {
            self.keep(last);
        }
        let data = if in_place { last } else { &self.held.0 };
        let go_on = std::mem::take(&mut self.skip)
            || on_event(&Event {
                data,
                ..Event::default()
            });
        self.held.0.clear();
        go_on
    }

    /// Copies what the next piece may still need.
    fn hold(&mut self, last: &[u8]) {
        if let Place::Inside | Place::InString | Place::Escape | Place::Bare = self.place {
            self.keep(last);
        }
    }

    fn keep(&mut self, more: &[u8]) {
        self.skip |= more.len() > self.limit.saturating_sub(self.held.0.len());
        if self.skip {
            self.held.0.clear();
        } else {
            self.held.0.extend_from_slice(more);
        }
    }
}
