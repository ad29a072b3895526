//! Amazon's event streams cut anywhere, against a plain reader of the same bytes.

#![no_main]

use std::alloc::System;

use backstay_dialect::{
    Answer, AnswerFacts, BedrockConverse, Dialect, Event, EventFacts, Failure, FailureClass,
    Framing, MAX_EVENT_NAME_BYTES, RequestError, RequestFacts, StreamObserver,
};
use backstay_fuzz::Cut;
use http::HeaderName;
use libfuzzer_sys::fuzz_target;
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most bytes of headers in a frame that is read.
const MAX_HEADER_BYTES: usize = 128 * 1024;

/// Says nothing about any event, and writes all of them down.
#[derive(Debug, Default)]
struct Recorder {
    events: Mutex<Vec<Written>>,
}

/// An event's name and data, and whether it is an exception.
type Written = (Vec<u8>, Vec<u8>, bool);

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else {
        return;
    };
    let limit = match first {
        255 => 1 << 20,
        small => usize::from(small),
    };
    let stream = write(rest);
    // The places to cut at are the input's start: any will do.
    let lengths = [&rest[..rest.len().min(16)], &stream].concat();
    let Some(cut) = Cut::read(&lengths) else {
        return;
    };

    let expected = read_plainly(cut.whole, limit);
    assert_eq!(record(limit, [cut.whole]), expected);
    assert_eq!(record(limit, cut.pieces()), expected);
    assert_eq!(record(limit, cut.whole.chunks(1)), expected);

    // What a dialect makes of it must not panic.
    StreamObserver::with_limit(Framing::EventStream, limit).observe(&BedrockConverse, &stream);
});

/// The events, and whether the stream broke.
fn record<'a>(limit: usize, frames: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Written>, bool) {
    let recorder = Recorder::default();
    let before = Region::new(ALLOCATOR);
    let mut observer = StreamObserver::with_limit(Framing::EventStream, limit);
    let mut broken = false;
    let mut events = 0;
    for frame in frames {
        let seen = observer.observe(&recorder, frame);
        events += seen.events as usize;
        assert!(!broken || seen.events == 0, "an event of a broken stream");
        broken |= seen.error.is_some();

        let change = before.change();
        let written: usize = {
            let all = recorder.events.lock();
            let bytes = all.iter().map(|(name, data, _)| name.len() + data.len());
            bytes.sum::<usize>() + 4 * all.capacity() * size_of::<Written>()
        };
        let held = change
            .bytes_allocated
            .saturating_sub(change.bytes_deallocated)
            .saturating_sub(written);
        // A vector may have grown to twice of what it holds.
        let most = 2 * (limit + MAX_HEADER_BYTES + 16) + 512;
        assert!(held <= most, "{held} bytes held with a limit of {limit}");
    }
    let written = recorder.events.into_inner();
    assert_eq!(written.len(), events);
    (written, broken)
}

/// Makes a stream of the input. Each record starts with a byte for its kind and two for lengths.
fn write(input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut rest = input;
    while let Some((&[kind, first, second], after)) = rest.split_first_chunk() {
        let (one, after) = after.split_at(usize::from(first).min(after.len()));
        let (two, after) = after.split_at(usize::from(second).min(after.len()));
        rest = after;
        match kind % 5 {
            // Headers and a payload as they are.
            0 => stream.extend(frame(one, two)),
            // A header with a value of text, and a payload.
            1 | 2 => {
                let names: [&[u8]; 4] = [
                    b":event-type",
                    b":exception-type",
                    b":message-type",
                    b":error-code",
                ];
                let name = names[usize::from(kind / 5) % names.len()];
                let mut headers = vec![name.len() as u8];
                headers.extend_from_slice(name);
                headers.push(7);
                headers.extend_from_slice(&(one.len() as u16).to_be_bytes());
                headers.extend_from_slice(one);
                stream.extend(frame(&headers, two));
            }
            // Lengths that say anything, with a checksum that is right.
            3 => {
                let mut lengths = [0; 8];
                let known = one.len().min(8);
                lengths[..known].copy_from_slice(&one[..known]);
                stream.extend_from_slice(&lengths);
                stream.extend_from_slice(&checksum(&lengths).to_be_bytes());
                stream.extend_from_slice(two);
            }
            // Anything.
            _ => {
                stream.extend_from_slice(one);
                stream.extend_from_slice(two);
            }
        }
    }
    stream
}

fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = (headers.len() + payload.len() + 16) as u32;
    let mut frame = total.to_be_bytes().to_vec();
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(checksum(&frame).to_be_bytes());
    frame.extend_from_slice(headers);
    frame.extend_from_slice(payload);
    frame.extend(checksum(&frame).to_be_bytes());
    frame
}

/// CRC-32 (ISO 3309), bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut sum: u32, &byte| {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ (sum & 1) * 0xedb8_8320;
        }
        sum
    })
}

/// The events of a stream short of those over a limit, up to where it breaks.
fn read_plainly(stream: &[u8], limit: usize) -> (Vec<Written>, bool) {
    let mut events = Vec::new();
    let mut at = 0;
    let number = |at: usize| {
        let bytes = stream.get(at..at + 4)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    loop {
        let (Some(total), Some(headers), Some(sum)) = (number(at), number(at + 4), number(at + 8))
        else {
            return (events, false);
        };
        let (total, headers) = (total as usize, headers as usize);
        if checksum(&stream[at..at + 8]) != sum || total < headers + 16 {
            return (events, true);
        }
        let payload = total - headers - 16;
        if headers > MAX_HEADER_BYTES || payload > limit {
            at += total;
            continue;
        }
        let Some(frame) = stream.get(at..at + total) else {
            return (events, false);
        };
        if Some(checksum(&frame[..total - 4])) != number(at + total - 4) {
            return (events, true);
        }
        let Some(mut event) = read_headers(&frame[12..12 + headers]) else {
            return (events, true);
        };
        event.1 = frame[12 + headers..total - 4].to_vec();
        events.push(event);
        at += total;
    }
}

fn read_headers(headers: &[u8]) -> Option<Written> {
    let mut named: [Vec<u8>; 4] = Default::default();
    let mut at = 0;
    while at < headers.len() {
        let name = headers.get(at + 1..at + 1 + usize::from(headers[at]))?;
        at += 1 + name.len();
        let kind = *headers.get(at)?;
        at += 1;
        let length = match kind {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            6 | 7 => {
                let length = headers.get(at..at + 2)?;
                at += 2;
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
            9 => 16,
            _ => return None,
        };
        let value = headers.get(at..at + length)?;
        at += length;
        let place = match name {
            b":message-type" => 0,
            b":event-type" => 1,
            b":exception-type" => 2,
            b":error-code" => 3,
            _ => continue,
        };
        if kind == 7 {
            named[place] = value.to_vec();
        }
    }
    let [message, event, exception, error] = named;
    let is_exception = message == b"exception"
        || message == b"error"
        || !exception.is_empty()
        || !error.is_empty();
    let mut name = if !exception.is_empty() {
        exception
    } else if !error.is_empty() {
        error
    } else {
        event
    };
    name.truncate(MAX_EVENT_NAME_BYTES);
    Some((name, Vec::new(), is_exception))
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
        let written = (event.name.to_vec(), event.data.to_vec(), event.exception);
        self.events.lock().push(written);
        EventFacts::default()
    }

    fn read_answer(&self, _body: &[u8]) -> AnswerFacts {
        AnswerFacts::default()
    }
}
