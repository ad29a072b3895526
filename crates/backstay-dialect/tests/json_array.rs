//! Streams that are a JSON array: elements cut anywhere, nested without end, or no JSON at all.

#![allow(clippy::unwrap_used, reason = "only tests")]

use backstay_dialect::{
    Answer, AnswerFacts, BROKEN_FRAMING, Dialect, Event, EventFacts, Failure, FailureClass,
    Framing, Plain, RequestError, RequestFacts, StreamObserver,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::Value;

/// Says of every event that it finishes the answer, and writes it down.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

/// What came of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Came {
    events: Vec<String>,
    finished: bool,
    ended: bool,
    error: Option<String>,
}

fn read<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Came {
    let recorder = Recorder::default();
    let mut observer = StreamObserver::with_limit(Framing::JsonArray, limit);
    let mut came = Came::default();
    for piece in pieces {
        let seen = observer.observe(&recorder, piece);
        came.finished |= seen.finished;
        came.ended |= seen.ended;
        came.error = came
            .error
            .or(seen.error.and_then(|error| error.code.map(String::from)));
    }
    came.events = recorder.0.into_inner();
    came
}

/// However it is cut, a stream is read the same.
#[track_caller]
fn check(stream: &str, limit: usize, events: &[&str], ended: bool) {
    let stream = stream.as_bytes();
    let came = read(limit, [stream]);
    assert_eq!(came.events, events);
    assert_eq!(
        (came.finished, came.ended, came.error.as_deref()),
        (ended, ended, None)
    );
    for size in 1..9 {
        assert_eq!(
            read(limit, stream.chunks(size)),
            came,
            "in pieces of {size}"
        );
    }
    for cut in 0..=stream.len() {
        let (left, right) = stream.split_at(cut);
        assert_eq!(read(limit, [left, right]), came, "cut at {cut}");
    }
}

#[test]
fn elements_are_cut_out_as_they_stand() {
    check("[]", 100, &[], false);
    check(" [ \n] ", 100, &[], false);
    check(r#"[{"a":1}]"#, 100, &[r#"{"a":1}"#], true);
    check(
        "[{\"a\": 1}\n,\r\n {\"b\":[ ]}\n]\n",
        100,
        &["{\"a\": 1}", "{\"b\":[ ]}"],
        true,
    );
    check("[[],[[]],{}]", 100, &["[]", "[[]]", "{}"], true);
    check(
        r#"[1,-2.5e3 ,true,null,"a"]"#,
        100,
        &["1", "-2.5e3", "true", "null", "\"a\""],
        true,
    );
}

#[test]
fn brackets_and_quotes_in_strings_are_text() {
    for element in [
        r#"{"a":"]"}"#,
        r#"{"a":"\"]},{"}"#,
        r#"{"a\\":"\\"}"#,
        r#""],[\"""#,
        r#"{"[":"{","\\\"":"]]"}"#,
        "{\"a\":\"\u{e9}\u{2028}]\"}",
    ] {
        check(
            &format!("[{element},{element}]"),
            100,
            &[element, element],
            true,
        );
    }
}

#[test]
fn a_value_in_the_place_of_the_array_is_its_only_element() {
    check(
        r#" {"error":{"code":500}} "#,
        100,
        &[r#"{"error":{"code":500}}"#],
        true,
    );
    check("\"[1]\"", 100, &["\"[1]\""], true);
}

#[test]
fn what_is_cut_off_finishes_nothing() {
    let stream = r#"[{"finishReason":"STOP"} , {"a":"]"}] "#;
    let end = stream.rfind(']').unwrap();
    for cut in 0..=end {
        let came = read(100, [&stream.as_bytes()[..cut]]);
        assert!(!came.finished && !came.ended, "broken off at {cut}");
    }
    let came = read(100, [&stream.as_bytes()[..=end]]);
    assert!(came.finished && came.ended);
}

#[test]
fn nothing_is_read_after_the_end() {
    check("[1]]", 100, &["1"], true);
    check("[1] [2]", 100, &["1"], true);
    check("[1]<html>", 100, &["1"], true);
}

#[test]
fn an_element_over_the_limit_is_passed_over() {
    check(
        r#"[{"a":"123456"},{"a":1},"12345678","]"]"#,
        8,
        &[r#"{"a":1}"#, "\"]\""],
        true,
    );
    check("[12345678,123456789,1]", 8, &["12345678", "1"], true);
    check("[1,2]", 0, &[], false);
    check("[1]", usize::MAX, &["1"], true);
}

#[test]
fn what_is_no_json_breaks_the_stream() {
    for (stream, events) in [
        ("<html>[1]</html>", 0),
        ("data: [1]\n\n", 0),
        ("\u{feff}[1]", 0),
        ("[,1]", 0),
        ("[<]", 0),
        ("[{} {}]", 1),
        ("[{}}", 1),
    ] {
        let came = read(100, [stream.as_bytes()]);
        assert_eq!(came.error.as_deref(), Some(BROKEN_FRAMING), "{stream}");
        assert_eq!(came.events.len(), events, "{stream}");
        assert_eq!(read(100, stream.as_bytes().chunks(1)), came, "{stream}");
    }
}

#[test]
fn nesting_without_end_costs_no_memory() {
    let mut observer = StreamObserver::with_limit(Framing::JsonArray, 1000);
    for block in [
        vec![b'['; 1 << 20],
        vec![b'{'; 1 << 20],
        [&b"[\""[..], &[b'a'; 1 << 20]].concat(),
    ] {
        for piece in block.chunks(1 << 16) {
            assert_eq!(observer.observe(&Plain, piece), Default::default());
            let printed = format!("{observer:?}");
            assert!(printed.contains("held: 0 bytes"), "{printed}");
        }
    }
}

#[test]
fn a_bare_value_without_end_costs_no_memory() {
    let mut observer = StreamObserver::with_limit(Framing::JsonArray, 1000);
    observer.observe(&Plain, b"[");
    for _ in 0..20 {
        observer.observe(&Plain, &[b'1'; 1 << 16]);
        let printed = format!("{observer:?}");
        assert!(printed.contains("held: 0 bytes"), "{printed}");
    }
}

#[test]
fn debug_shows_no_content() {
    let mut observer = StreamObserver::new(Framing::JsonArray);
    observer.observe(&Plain, br#"[{"a":"s3cret"#);
    let printed = format!("{observer:?}");
    assert!(
        !printed.contains("s3c") && !printed.contains("115"),
        "{printed}"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[\\[\\]{}\",\\\\a\u{e9} ]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[\\]}\",a]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_a_parser(elements in proptest::collection::vec(any_json(), 0..6), pretty in any::<bool>(), size in 1..20_usize) {
        let document = Value::from(elements.clone());
        let text = if pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() };
        let came = read(1 << 20, [text.as_bytes()]);
        let read_back: Vec<Value> = came.events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        prop_assert_eq!(&read_back, &elements);
        prop_assert_eq!(came.ended, !elements.is_empty());
        prop_assert_eq!(read(1 << 20, text.as_bytes().chunks(size)), came);
    }

    #[test]
    fn cuts_change_nothing_in_any_soup(
        words in proptest::collection::vec(prop::sample::select(&["[", "]", "{", "}", "\"", "\\", ",", ":", " ", "1", "true", "a", "\n"][..]), 0..40),
        limit in 0..12_usize,
        size in 1..7_usize,
    ) {
        let stream = words.concat();
        let whole = read(limit, [stream.as_bytes()]);
        prop_assert!(whole.events.iter().all(|event| event.len() <= limit));
        prop_assert_eq!(read(limit, stream.as_bytes().chunks(size)), whole);
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

    fn portable_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }

    fn credential_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }

    fn classify(&self, _answer: &Answer<'_>) -> Failure {
        Failure::new(FailureClass::Unknown)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        let text = String::from_utf8_lossy(event.data).into_owned();
        self.0.lock().push(text);
        let mut facts = EventFacts::default();
        facts.finished = true;
        facts
    }

    fn read_answer(&self, _body: &[u8]) -> AnswerFacts {
        AnswerFacts::default()
    }
}
