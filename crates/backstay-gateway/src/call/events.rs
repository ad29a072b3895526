//! An event stream on its way through, cut between events and nowhere else.
//!
//! An upstream can break off in the middle of an event. What came of it is of no use to anybody, and in
//! front of the event that tells of the failure it would spoil that one too. So the start of an event that
//! is not complete yet waits for the rest of it; whole events, which is what nearly every frame ends with,
//! pass untouched.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// The most bytes of an event that wait for its end. A longer one is passed on as it comes.
const MAX_WAITING: usize = 64 * 1024;

/// The start of an event, whose end has not come.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: BytesMut,
    /// A part of an event has been passed on: it was too long to wait.
    torn: bool,
}

// === impl Events ===

impl Events {
    /// What may go out now; empty when all of it has to wait.
    pub(super) fn pass(&mut self, data: Bytes) -> Bytes {
        if self.waiting.is_empty() && ends_event(&data) {
            self.torn = false;
            return data;
        }
        // An end may lie across the seam: its longest form has four bytes.
        let seam = self.waiting.len().saturating_sub(3);
        if self.waiting.is_empty() {
            return match last_end(&data) {
                Some(end) => {
                    self.torn = false;
                    let mut whole = data;
                    let rest = whole.split_off(end);
                    self.wait(&rest, whole)
                }
                None => self.wait(&data, Bytes::new()),
            };
        }
        self.waiting.extend_from_slice(&data);
        match last_end(self.waiting.get(seam..).unwrap_or_default()) {
            Some(end) => {
                self.torn = false;
                let whole = self.waiting.split_to(seam + end).freeze();
                self.wait(&[], whole)
            }
            None => self.wait(&[], Bytes::new()),
        }
    }

    /// What still waits, at the end of the stream.
    pub(super) fn rest(&mut self) -> Bytes {
        self.waiting.split().freeze()
    }

    /// Forgets what waits, for the stream broke off. What must stand in front of an event of our own.
    pub(super) fn broke_off(&mut self) -> &'static [u8] {
        self.waiting.clear();
        if self.torn { b"\n\n" } else { b"" }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn wait(&mut self, rest: &[u8], whole: Bytes) -> Bytes {
        self.waiting.extend_from_slice(rest);
        if self.waiting.len() <= MAX_WAITING {
            return whole;
        }
        self.torn = true;
        let mut all = BytesMut::from(whole);
        all.unsplit(self.waiting.split());
        all.freeze()
    }
}

/// Whether the bytes end with an empty line (WHATWG HTML, section 9.2.6: CRLF, LF or CR).
fn ends_event(data: &[u8]) -> bool {
    ENDS.iter().any(|end| data.ends_with(end))
}

/// Behind the last empty line.
fn last_end(data: &[u8]) -> Option<usize> {
    ENDS.iter()
        .filter_map(|end| Some(memmem::rfind(data, end)? + end.len()))
        .max()
}

/// The second is also the end of CRLF CRLF, and of a line that ends otherwise than the empty one.
const ENDS: [&[u8]; 3] = [b"\n\n", b"\n\r\n", b"\r\r"];

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(events: &mut Events, text: &str) -> String {
        let out = events.pass(Bytes::copy_from_slice(text.as_bytes()));
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn whole_events_pass_untouched() {
        let mut events = Events::default();
        for text in ["data: 1\n\n", "data: 2\r\n\r\n", ": ping\n\ndata: 3\n\n"] {
            let data = Bytes::copy_from_slice(text.as_bytes());
            let out = events.pass(data.clone());
            assert_eq!(out.as_ptr(), data.as_ptr());
            assert_eq!(out, data);
        }
    }

    #[test]
    fn the_start_of_an_event_waits_for_its_end_wherever_it_is_cut() {
        for text in [
            "data: a\n\ndata: b\n\n",
            "event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n",
            "data: a\r\rdata: b\r\r",
            "data: a\n\r\ndata: b\n\r\n",
        ] {
            for cut in 1..text.len() {
                let mut events = Events::default();
                let (first, second) = text.split_at(cut);
                let mut out = pass(&mut events, first);
                assert!(
                    out.is_empty() || ends_event(out.as_bytes()),
                    "{cut}: {out:?}"
                );
                out += &pass(&mut events, second);
                assert_eq!(out, text, "{cut}");
                assert!(!events.is_waiting());
            }
        }
    }

    #[test]
    fn byte_by_byte_nothing_is_lost() {
        let text = "data: one\n\ndata: two\n\n: c\n\ndata: [DONE]\n\n";
        let mut events = Events::default();
        let out: String = (0..text.len())
            .map(|at| pass(&mut events, &text[at..=at]))
            .collect();
        assert_eq!(out, text);
    }

    #[test]
    fn what_broke_off_is_forgotten_and_a_clean_end_is_not() {
        let mut events = Events::default();
        assert_eq!(pass(&mut events, "data: a\n\ndata: {\"b"), "data: a\n\n");
        assert_eq!(events.broke_off(), b"");
        assert!(!events.is_waiting());
        pass(&mut events, "data: [DONE]\n");
        assert_eq!(events.rest(), "data: [DONE]\n");
    }

    #[test]
    fn an_event_that_is_too_long_to_wait_is_passed_on_and_closed_when_it_breaks_off() {
        let mut events = Events::default();
        let long = "x".repeat(MAX_WAITING);
        assert_eq!(pass(&mut events, &long), "");
        assert_eq!(pass(&mut events, "y").len(), MAX_WAITING + 1);
        assert_eq!(events.broke_off(), b"\n\n");
        assert_eq!(pass(&mut events, "z\n\n"), "z\n\n");
        assert_eq!(events.broke_off(), b"");
    }
}
