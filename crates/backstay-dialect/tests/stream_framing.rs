//! How events lie in a stream: lines, names, limits, and its end.

mod support;

use backstay_dialect::{
    Dialect, Event, Framing, MAX_EVENT_NAME_BYTES, OpenAiChat, OpenAiResponses, Plain,
    StreamObserver,
};
use support::{observe, whole};

#[test]
fn framing() {
    // How many events each stream holds, as the plain dialect counts them.
    for (stream, events) in [
        ("", 0),
        ("data: a\n\n", 1),
        ("data\n\n", 1),
        ("data:\n\n", 1),
        ("dat: a\n\n", 0),
        ("dataa: a\n\n", 0),
        (" data: a\n\n", 0),
        (": data: a\n\n", 0),
        ("event: x\n\n", 0),
        ("\n\n\n", 0),
        ("data: a\ndata: b\n\n", 1),
        ("data: a\r\rdata: b\r\r", 2),
        ("data: a\r\n\r\ndata: b\r\n\r\n", 2),
        ("data: a\n\rdata: b\r\n\n", 2),
        ("data: a\r\ndata: b\r\n\r\n", 1),
        ("data: a\n\ndata: b\n", 1),
        ("data: a\n\ndata: b", 1),
        ("data: a\u{2028}\u{2028}\n", 0),
        ("\u{feff}data: a\n\n", 1),
        ("\u{feff}\u{feff}data: a\n\n", 0),
        ("\n\u{feff}data: a\n\n", 0),
    ] {
        assert_eq!(whole(&Plain, stream).events, events, "{stream:?}");
        let bytes = observe(&Plain, 1 << 20, stream.as_bytes().chunks(1));
        assert_eq!(bytes.events, events, "{stream:?}");
    }
    for half in [&b"\xefdata: a\n\n"[..], b"\xef\xbbdata: a\n\n"] {
        assert_eq!(observe(&Plain, 1 << 20, [half]).events, 0);
        assert_eq!(observe(&Plain, 1 << 20, half.chunks(1)).events, 0);
    }
}

/// Keeps nothing, but fails on any event that is not the one expected.
#[derive(Debug)]
struct Expect(&'static [u8], &'static [u8]);

impl Dialect for Expect {
    fn name(&self) -> &'static str {
        "expect"
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
    fn read_event<'a>(&self, event: &Event<'a>) -> backstay_dialect::EventFacts<'a> {
        assert_eq!((event.name, event.data), (self.0, self.1));
        Plain.read_event(event)
    }
    fn read_answer(&self, body: &[u8]) -> backstay_dialect::AnswerFacts {
        Plain.read_answer(body)
    }
}

#[test]
fn names_and_values_reach_the_dialect() {
    static LONG: [u8; MAX_EVENT_NAME_BYTES] = [b'n'; MAX_EVENT_NAME_BYTES];
    let long = format!("event: {}\ndata: a\n\n", "n".repeat(1000));
    for (stream, expected) in [
        (
            "data: a\ndata:b\ndata\ndata:  c: d\n\n",
            Expect(b"", b"a\nb\n\n c: d"),
        ),
        ("event: x\nid: 1\ndata: a\n\n", Expect(b"x", b"a")),
        ("event: x\nevent: y\ndata: a\n\n", Expect(b"y", b"a")),
        ("event: x\nevent\ndata: a\n\n", Expect(b"", b"a")),
        ("data: a\nevent:y\n\n", Expect(b"y", b"a")),
        ("event: gone\n\ndata: a\n\n", Expect(b"", b"a")),
        (&long, Expect(&LONG, b"a")),
    ] {
        let bytes = stream.as_bytes();
        assert_eq!(observe(&expected, 100, [bytes]).events, 1);
        for size in 1..8 {
            assert_eq!(
                observe(&expected, 100, bytes.chunks(size)).events,
                1,
                "{stream}"
            );
        }
    }
}

#[test]
fn an_event_over_the_limit_is_passed_over() {
    for (stream, events) in [
        ("data: 12345\n\ndata: x\n\n", 2),
        ("data: 123456\n\ndata: x\n\n", 1),
        ("data:123456\n\ndata: x\n\n", 1),
        ("data: 12\ndata: 34\n\ndata: x\n\n", 2),
        ("data: 12\ndata: 345\n\ndata: x\n\n", 1),
        ("data: 123456\ndata: 1\n\ndata: x\n\n", 1),
        (": a very long comment\ndata: x\n\n", 1),
        ("id: a very long field\ndata: x\n\n", 1),
        ("event: a_long_name\ndata: x\n\n", 1),
    ] {
        let bytes = stream.as_bytes();
        assert_eq!(observe(&Plain, 5, [bytes]).events, events, "{stream}");
        for size in 1..12 {
            assert_eq!(
                observe(&Plain, 5, bytes.chunks(size)).events,
                events,
                "{stream} {size}"
            );
        }
    }
    assert_eq!(
        observe(&Plain, 0, [b"data:\n\ndata:1\n\n".as_slice()]).events,
        1
    );
    assert_eq!(
        observe(&Plain, usize::MAX, b"data: 1\n\n".chunks(2)).events,
        1
    );
}

/// The last event of an answer repeats all of it, images too.
#[test]
fn an_event_over_the_limit_keeps_its_name() {
    for (stream, expected) in [
        ("event: x\ndata: 123456\n\n", Expect(b"x", b"")),
        ("event: x\ndata: 12\ndata: 345\n\n", Expect(b"x", b"")),
        // It was over the limit before its other name came.
        ("event: x\ndata: 123456\nevent: y\n\n", Expect(b"x", b"")),
    ] {
        let bytes = stream.as_bytes();
        for size in 1..=bytes.len() {
            let seen = observe(&expected, 5, bytes.chunks(size));
            assert_eq!(seen.events, 1, "{stream} {size}");
        }
    }
    let last = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":\"{}\"}}\n\n",
        "x".repeat(2 << 20)
    );
    assert!(whole(&OpenAiResponses, &last).ended);
    assert!(observe(&OpenAiResponses, 1 << 20, last.as_bytes().chunks(9000)).ended);
    let nameless = last.trim_start_matches("event: response.completed\n");
    assert!(!observe(&OpenAiResponses, 1 << 20, nameless.as_bytes().chunks(9000)).ended);
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut observer = StreamObserver::new(Framing::ServerSent);
    assert!(observer.observe(&OpenAiChat, b"data: [DONE]\n\n").ended);
    let seen = observer.observe(&OpenAiChat, b"data: {\"error\":{}}\n\n");
    assert_eq!((seen.ended, seen.events, seen.error), (true, 0, None));
}

#[test]
fn debug_shows_no_content() {
    let mut observer = StreamObserver::new(Framing::ServerSent);
    observer.observe(&OpenAiChat, b"event: x\ndata: s3cret\ndata: s3c");
    let event = Event {
        name: b"x",
        data: b"s3cret",
        ..Event::default()
    };
    assert!(!format!("{observer:?} {event:?}").contains("s3c"));
    // Nor as a list of numbers.
    assert!(!format!("{observer:?} {event:?}").contains("115"));
}
