//! Streams cut anywhere, against the same stream in one frame and against a plain reader of it.

#![no_main]

use std::alloc::System;
use std::mem;

use backstay_dialect::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, Framing,
    MAX_EVENT_NAME_BYTES, RequestError, RequestFacts, Seen, StreamObserver,
};
use backstay_fuzz::{Cut, DIALECTS};
use http::HeaderName;
use libfuzzer_sys::fuzz_target;
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Says nothing about any event, and writes all of them down.
#[derive(Debug, Default)]
struct Recorder {
    events: Mutex<Vec<Written>>,
}

/// An event's name and data.
type Written = (Vec<u8>, Vec<u8>);

fuzz_target!(|input: &[u8]| {
    let Some((&[limit, dialect], rest)) = input.split_first_chunk() else {
        return;
    };
    let Some(cut) = Cut::read(rest) else { return };
    let limit = match limit {
        255 => 1 << 20,
        small => usize::from(small),
    };

    // One of them: each input through all takes so long that few inputs are tried.
    let dialect = DIALECTS[usize::from(dialect) % DIALECTS.len()];
    let whole = observe(dialect, limit, [cut.whole]);
    assert_eq!(observe(dialect, limit, cut.pieces()), whole);
    assert_eq!(observe(dialect, limit, cut.whole.chunks(1)), whole);

    let expected = read_plainly(cut.whole, limit);
    assert_eq!(record(limit, [cut.whole]), expected);
    assert_eq!(record(limit, cut.pieces()), expected);
    assert_eq!(record(limit, cut.whole.chunks(1)), expected);
});

/// What all frames say together.
fn observe<'a>(
    dialect: &dyn Dialect,
    limit: usize,
    frames: impl IntoIterator<Item = &'a [u8]>,
) -> Seen {
    let mut all = Seen::default();
    let before = Region::new(ALLOCATOR);
    let mut observer = StreamObserver::with_limit(Framing::ServerSent, limit);
    for frame in frames {
        add(&mut all, observer.observe(dialect, frame));
        let change = before.change();
        let held = change
            .bytes_allocated
            .saturating_sub(change.bytes_deallocated);
        assert!(
            held <= most_held(limit),
            "{held} bytes held with a limit of {limit}"
        );
    }
    all
}

/// A line, an event's data and a buffer to take turns with, each of which may have grown to twice
/// of what it holds; an event's name; and what `all` took over.
fn most_held(limit: usize) -> usize {
    3 * 2 * (limit.max(MAX_EVENT_NAME_BYTES) + 8) + 2 * MAX_EVENT_NAME_BYTES + 512
}

fn add(all: &mut Seen, seen: Seen) {
    all.progress = all.progress.max(seen.progress);
    all.ended |= seen.ended;
    all.finished |= seen.finished;
    all.error = all.error.take().or(seen.error);
    all.response_id = all.response_id.take().or(seen.response_id);
    if let Some(usage) = seen.usage {
        all.usage.get_or_insert_default().update(usage);
    }
    all.events += seen.events;
}

fn record<'a>(limit: usize, frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<Written> {
    let recorder = Recorder::default();
    let mut observer = StreamObserver::with_limit(Framing::ServerSent, limit);
    let mut events = 0;
    for frame in frames {
        events += observer.observe(&recorder, frame).events as usize;
    }
    let written = recorder.events.into_inner();
    assert_eq!(written.len(), events);
    written
}

/// The events of a stream, as WHATWG HTML, section 9.2.6, has them; of those over the limit, the name that they
/// had by then.
fn read_plainly(stream: &[u8], limit: usize) -> Vec<Written> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut events = Vec::new();
    let mut name = Vec::new();
    let mut data: Option<Vec<u8>> = None;
    for line in ended_lines(stream) {
        if line.is_empty() {
            let name = mem::take(&mut name);
            match data.take() {
                Some(data) if data.len() <= limit => events.push((name, data)),
                Some(_) if !name.is_empty() => events.push((name, Vec::new())),
                _ => {}
            }
            continue;
        }
        if data.as_ref().is_some_and(|data| data.len() > limit) {
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (field, &mut data) {
            (b"event", _) => name = value[..value.len().min(MAX_EVENT_NAME_BYTES)].to_vec(),
            (b"data", None) => data = Some(value.to_vec()),
            (b"data", Some(data)) => *data = [data, &b"\n"[..], value].concat(),
            _ => {}
        }
    }
    events
}

/// The lines without their ends. What has no end is no line.
fn ended_lines(stream: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = stream;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        lines.push(&rest[..end]);
        let width = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + width..];
    }
    lines
}

// === impl Recorder ===

impl Dialect for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn provider(&self) -> &'static str {
        ""
    }

    fn carries_model(&self) -> bool {
        false
    }

    fn read_request(&self, _path: &str, _body: &[u8]) -> Result<RequestFacts, RequestError> {
        Ok(RequestFacts::default())
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        &[]
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &[]
    }

    fn classify(&self, _answer: &Answer<'_>) -> Failure {
        Failure::new(FailureClass::Unknown)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        let written = (event.name.to_vec(), event.data.to_vec());
        self.events.lock().push(written);
        EventFacts::default()
    }

    fn read_answer(&self, _body: &[u8]) -> AnswerFacts {
        AnswerFacts::default()
    }
}
