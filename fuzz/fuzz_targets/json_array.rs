//! JSON arrays cut anywhere, judged by `serde_json`.

#![no_main]

use std::alloc::System;

use backstay_dialect::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, Framing, Gemini,
    RequestError, RequestFacts, StreamObserver,
};
use backstay_fuzz::Cut;
use http::HeaderName;
use libfuzzer_sys::fuzz_target;
use parking_lot::Mutex;
use serde_json::Value;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Says of every event that it finishes the answer, and writes all of them down.
#[derive(Debug, Default)]
struct Recorder {
    events: Mutex<Vec<Vec<u8>>>,
}

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct Came {
    events: Vec<Vec<u8>>,
    finished: bool,
    ended: bool,
    broken: bool,
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else {
        return;
    };
    let Some(cut) = Cut::read(rest) else { return };
    let limit = match first {
        255 => 1 << 20,
        small => usize::from(small),
    };

    let whole = record(limit, [cut.whole]);
    assert_eq!(record(limit, cut.pieces()), whole);
    assert_eq!(record(limit, cut.whole.chunks(1)), whole);
    assert!(whole.events.iter().all(|event| event.len() <= limit));
    // What a dialect makes of it must not panic.
    StreamObserver::with_limit(Framing::JsonArray, limit).observe(&Gemini, cut.whole);

    let Ok(document) = serde_json::from_slice(cut.whole) else {
        return;
    };
    if let Value::Array(elements) = &document {
        assert!(!whole.broken);
        if limit >= cut.whole.len() {
            let read = whole
                .events
                .iter()
                .map(|event| serde_json::from_slice(event));
            let read: Vec<Value> = read
                .map(|value| value.expect("an element is a document"))
                .collect();
            assert_eq!(&read, elements);
            assert_eq!(whole.ended, !elements.is_empty());
        }
        // Whatever the last piece holds but white space belongs to the array.
        let end = cut.whole.trim_ascii_end().len();
        for end in [end - 1, end / 2, end / 3] {
            let broken_off = record(limit, [&cut.whole[..end]]);
            assert!(!broken_off.ended && !broken_off.finished && !broken_off.broken);
        }
    }
});

fn record<'a>(limit: usize, frames: impl IntoIterator<Item = &'a [u8]>) -> Came {
    let recorder = Recorder::default();
    let before = Region::new(ALLOCATOR);
    let mut observer = StreamObserver::with_limit(Framing::JsonArray, limit);
    let (mut finished, mut ended, mut broken) = (false, false, false);
    for frame in frames {
        let seen = observer.observe(&recorder, frame);
        finished |= seen.finished;
        ended |= seen.ended;
        broken |= seen.error.is_some();

        let change = before.change();
        let written: usize = {
            let all = recorder.events.lock();
            all.iter().map(Vec::len).sum::<usize>() + 4 * all.capacity() * size_of::<Vec<u8>>()
        };
        let held = change
            .bytes_allocated
            .saturating_sub(change.bytes_deallocated)
            .saturating_sub(written);
        // A vector may have grown to twice of what it holds.
        assert!(
            held <= 2 * limit + 512,
            "{held} bytes held with a limit of {limit}"
        );
    }
    Came {
        events: recorder.events.into_inner(),
        finished,
        ended,
        broken,
    }
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
        self.events.lock().push(event.data.to_vec());
        let mut facts = EventFacts::default();
        facts.finished = true;
        facts
    }

    fn read_answer(&self, _body: &[u8]) -> AnswerFacts {
        AnswerFacts::default()
    }
}
