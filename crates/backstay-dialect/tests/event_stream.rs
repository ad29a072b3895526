//! Amazon's event streams: frames cut anywhere, wrong, endless or lying.

#![allow(clippy::unwrap_used, reason = "only tests")]

mod frames;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::DateTime;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use backstay_dialect::{
    BROKEN_FRAMING, BedrockConverse, Dialect, Event, EventFacts, FailureClass, Framing,
    MAX_EVENT_NAME_BYTES, Plain, Progress, Seen, StreamObserver,
};
use frames::{event, exception, frame, header, prelude, text};
use parking_lot::Mutex;
use proptest::prelude::*;

/// Writes down the events that reach it.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Written>>);

/// An event's name and data, and whether it is an exception.
type Written = (Vec<u8>, Vec<u8>, bool);

/// The events of a stream, and the code of its first error.
fn read<'a>(
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Written>, Option<String>) {
    let recorder = Recorder::default();
    let mut observer = StreamObserver::with_limit(Framing::EventStream, limit);
    let mut error = None;
    for piece in pieces {
        let seen = observer.observe(&recorder, piece);
        error = error.or(seen.error.and_then(|error| error.code.map(String::from)));
    }
    (recorder.0.into_inner(), error)
}

fn written(name: &str, data: &[u8], exception: bool) -> Written {
    (name.into(), data.into(), exception)
}

/// However it is cut, a stream has these events, and breaks or does not.
#[track_caller]
fn check(stream: &[u8], limit: usize, events: &[Written], broken: bool) {
    let expected = (events.to_vec(), broken.then(|| BROKEN_FRAMING.to_owned()));
    assert_eq!(read(limit, [stream]), expected);
    assert_eq!(read(limit, stream.chunks(1)), expected);
    for cut in 0..=stream.len() {
        let (left, right) = stream.split_at(cut);
        assert_eq!(read(limit, [left, right]), expected, "cut at {cut}");
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let hex: Vec<_> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn the_published_vectors_are_read() {
    // Smithy's event stream specification: an empty message, a payload alone, one header of text.
    check(
        &from_hex("00000010 00000000 05c248eb 7d98c8ff"),
        100,
        &[written("", b"", false)],
        false,
    );
    check(
        &from_hex("0000001d 00000000 fd528c5a 7b27666f6f273a27626172277d c3653936"),
        100,
        &[written("", b"{'foo':'bar'}", false)],
        false,
    );
    check(
        &from_hex(
            "0000003d 00000020 07fd8396 0c636f6e74656e742d74797065 07 0010 \
             6170706c69636174696f6e2f6a736f6e 7b27666f6f273a27626172277d 8d9c08b1",
        ),
        100,
        &[written("", b"{'foo':'bar'}", false)],
        false,
    );
}

#[test]
fn headers_of_every_kind_are_passed() {
    let headers = [
        header("true", 0, &[]),
        header("false", 1, &[]),
        header("byte", 2, &[1]),
        header("short", 3, &[1; 2]),
        header("int", 4, &[1; 4]),
        header("long", 5, &[1; 8]),
        header("bytes", 6, &[0, 3, 1, 1, 1]),
        text(":event-type", "chunk"),
        header("time", 8, &[1; 8]),
        header("uuid", 9, &[1; 16]),
        // No text, hence no name.
        header(":exception-type", 6, &[0, 1, b'x']),
        header("", 0, &[]),
    ];
    check(
        &frame(&headers.concat(), b"{}"),
        100,
        &[written("chunk", b"{}", false)],
        false,
    );
}

#[test]
fn exceptions_and_errors_are_told_from_events() {
    let error = [
        text(":message-type", "error"),
        text(":error-code", "InternalError"),
        text(":error-message", "m"),
    ];
    let unnamed = text(":message-type", "exception");
    let stream = [
        event("messageStart", "{}"),
        exception("throttlingException", "{}"),
        frame(&error.concat(), b""),
        frame(&unnamed, b""),
        frame(&text(":exception-type", "x"), b""),
    ];
    check(
        &stream.concat(),
        100,
        &[
            written("messageStart", b"{}", false),
            written("throttlingException", b"{}", true),
            written("InternalError", b"", true),
            written("", b"", true),
            written("x", b"", true),
        ],
        false,
    );
}

#[test]
fn a_long_name_is_cut() {
    let long = "n".repeat(1000);
    let (events, _) = read(10, [&event(&long, "{}")[..]]);
    assert_eq!(events[0].0, vec![b'n'; MAX_EVENT_NAME_BYTES]);
}

#[test]
fn an_event_over_the_limit_is_passed_over() {
    let stream = [
        event("a", "123456"),
        event("b", "12345"),
        event("c", "1234567"),
    ];
    check(&stream.concat(), 5, &[written("b", b"12345", false)], false);
    check(&frame(b"", b""), 0, &[written("", b"", false)], false);
    check(
        &frame(b"", b"1"),
        usize::MAX,
        &[written("", b"1", false)],
        false,
    );
}

#[test]
fn a_bit_that_is_wrong_anywhere_breaks_the_stream() {
    let first = event("a", "1");
    let second = event("b", "2");
    let stream = [&first[..], &second, &event("c", "3")].concat();
    for at in first.len()..first.len() + second.len() {
        for bit in 0..8 {
            let mut wrong = stream.clone();
            wrong[at] ^= 1 << bit;
            let (events, error) = read(100, [&wrong[..]]);
            assert_eq!(events, [written("a", b"1", false)], "byte {at}, bit {bit}");
            assert_eq!(
                error.as_deref(),
                Some(BROKEN_FRAMING),
                "byte {at}, bit {bit}"
            );
            assert_eq!(
                read(100, wrong.chunks(7)),
                (events, error),
                "byte {at}, bit {bit}"
            );
        }
    }
}

#[test]
fn lengths_that_cannot_be_break_the_stream() {
    for (total, headers) in [
        (0, 0),
        (15, 0),
        (16, 1),
        (20, 5),
        (100, u32::MAX),
        (u32::MAX, u32::MAX),
        (u32::MAX, u32::MAX - 15),
    ] {
        let stream = [prelude(total, headers), event("a", "1")].concat();
        check(&stream, 100, &[], true);
    }
}

#[test]
fn headers_that_do_not_fit_break_the_stream() {
    for headers in [
        // A name, a value, a length and a kind that break off.
        &b"\x05abc"[..],
        b"\x01a",
        b"\x01a\x04\0\0",
        b"\x01a\x07\0",
        b"\x01a\x07\0\x05abc",
        b"\x01a\x0a",
        b"\x01a\x07\xff\xff",
        b"\0",
    ] {
        let stream = [event("a", "1"), frame(headers, b"2"), event("c", "3")].concat();
        check(&stream, 100, &[written("a", b"1", false)], true);
    }
}

#[test]
fn a_stream_of_something_else_breaks_at_once() {
    check(b"HTTP/1.1 502 Bad Gateway", 100, &[], true);
    check(b"data: {}\n\ndata: {}\n\n", 100, &[], true);
    // Too short to tell.
    check(b"<html>", 100, &[], false);
}

#[test]
fn a_broken_stream_is_the_servers_fault_and_told_once() {
    let mut wrong = event("contentBlockDelta", r#"{"delta":{"text":"a"}}"#);
    *wrong.last_mut().unwrap() ^= 1;
    let mut observer = StreamObserver::new(Framing::EventStream);
    let error = observer.observe(&BedrockConverse, &wrong).error.unwrap();
    assert_eq!(error.class, FailureClass::Server);
    assert_eq!(error.code.as_deref(), Some(BROKEN_FRAMING));
    let after = observer.observe(
        &BedrockConverse,
        &event("messageStop", r#"{"stopReason":"end_turn"}"#),
    );
    assert_eq!(after, Seen::default());
}

#[test]
fn a_frame_of_four_gigabytes_is_passed_over_in_constant_memory() {
    // Its end never comes here; that it holds nothing is shown by what Debug prints.
    for start in [
        prelude(u32::MAX, 0),
        prelude(u32::MAX, u32::MAX - 16),
        prelude(200_000, 150_000),
    ] {
        let mut observer = StreamObserver::with_limit(Framing::EventStream, 1000);
        let block = vec![b'x'; 1 << 16];
        for piece in start.chunks(5).chain([&block[..100_000 / 2], &block[..9]]) {
            assert_eq!(observer.observe(&Plain, piece), Seen::default());
            let printed = format!("{observer:?}");
            let held = (0..=12).any(|bytes| printed.contains(&format!("held: {bytes} bytes")));
            assert!(held, "{printed}");
        }
    }
}

#[test]
fn what_is_behind_a_frame_that_was_passed_over_is_read() {
    let long = frame(&vec![0; 150_000], b"x");
    let stream = [&long[..], &event("a", "1")].concat();
    let events = vec![written("a", b"1", false)];
    for size in [1 << 20, 65_536, 1000, 13] {
        assert_eq!(
            read(100, stream.chunks(size)),
            (events.clone(), None),
            "{size}"
        );
    }
}

#[test]
fn a_plain_stream_of_frames_fails_at_an_exception() {
    let stream = [event("chunk", "x"), exception("oops", "y")].concat();
    let seen = StreamObserver::new(Framing::EventStream).observe(&Plain, &stream);
    assert_eq!(seen.progress, Progress::Content);
    let error = seen.error.unwrap();
    assert_eq!(
        (error.class, error.code.as_deref()),
        (FailureClass::Server, Some("oops"))
    );
}

#[test]
fn debug_shows_no_content() {
    let mut observer = StreamObserver::new(Framing::EventStream);
    let stream = event("a", "s3cret");
    observer.observe(&Plain, &stream[..stream.len() - 2]);
    let printed = format!("{observer:?}");
    assert!(
        !printed.contains("s3c") && !printed.contains("115"),
        "{printed}"
    );
}

fn any_header() -> impl Strategy<Value = Header> {
    let value = prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i8>().prop_map(HeaderValue::Byte),
        any::<i16>().prop_map(HeaderValue::Int16),
        any::<i32>().prop_map(HeaderValue::Int32),
        any::<i64>().prop_map(HeaderValue::Int64),
        any::<Vec<u8>>().prop_map(|bytes| HeaderValue::ByteArray(bytes.into())),
        ".{0,20}".prop_map(|text| HeaderValue::String(text.into())),
        (0..4_000_000_000_i64).prop_map(|secs| HeaderValue::Timestamp(DateTime::from_secs(secs))),
        any::<u128>().prop_map(HeaderValue::Uuid),
    ];
    ("[a-z-]{1,20}", value).prop_map(|(name, value)| Header::new(name, value))
}

proptest! {
    /// Amazon's own crate is the judge of what a frame is.
    #[test]
    fn what_amazon_writes_is_read(
        messages in proptest::collection::vec((proptest::collection::vec(any_header(), 0..6), "[a-zA-Z]{1,30}", any::<bool>(), any::<Vec<u8>>()), 1..5),
        size in 1..100_usize,
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (headers, name, exception, payload) in messages {
            let kind = if exception { ":exception-type" } else { ":event-type" };
            let mut message = Message::new(payload.clone());
            for header in headers {
                message = message.add_header(header);
            }
            message = message.add_header(Header::new(kind, HeaderValue::String(name.clone().into())));
            write_message_to(&message, &mut stream).unwrap();
            expected.push(written(&name, &payload, exception));
        }
        prop_assert_eq!(read(1 << 20, [&stream[..]]), (expected.clone(), None));
        prop_assert_eq!(read(1 << 20, stream.chunks(size)), (expected, None));
    }

    /// The encoder of these tests and Amazon's agree, so that what else it writes can be believed.
    #[test]
    fn the_encoder_of_these_tests_is_right(name in "[a-zA-Z]{1,30}", payload in ".{0,60}") {
        let string = |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
        let message = Message::new(payload.clone().into_bytes())
            .add_header(string(":event-type", &name))
            .add_header(string(":content-type", "application/json"))
            .add_header(string(":message-type", "event"));
        let mut theirs = Vec::new();
        write_message_to(&message, &mut theirs).unwrap();
        prop_assert_eq!(event(&name, &payload), theirs);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), total in any::<u32>(), headers in any::<u32>(), limit in 0..50_usize) {
        read(limit, bytes.chunks(7));
        let lied = [prelude(total, headers), bytes].concat();
        let whole = read(limit, [&lied[..]]);
        prop_assert_eq!(read(limit, lied.chunks(5)), whole);
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

    fn read_request(
        &self,
        path: &str,
        body: &[u8],
    ) -> Result<backstay_dialect::RequestFacts, backstay_dialect::RequestError> {
        Plain.read_request(path, body)
    }

    fn portable_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }

    fn credential_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }

    fn classify(&self, answer: &backstay_dialect::Answer<'_>) -> backstay_dialect::Failure {
        Plain.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        let written = (event.name.into(), event.data.into(), event.exception);
        self.0.lock().push(written);
        EventFacts::default()
    }

    fn read_answer(&self, body: &[u8]) -> backstay_dialect::AnswerFacts {
        Plain.read_answer(body)
    }
}
