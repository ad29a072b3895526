//! Server-sent events are those that the standard's own steps find (WHATWG HTML, section 9.2.6), however
//! the stream is cut.

use backstay_dialect::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, Framing, Plain, RequestError,
    RequestFacts, StreamObserver,
};
use parking_lot::Mutex;
use proptest::prelude::*;

/// The names and the data of events.
type Events = Vec<(Vec<u8>, Vec<u8>)>;

/// Keeps all events.
#[derive(Debug, Default)]
struct Record(Mutex<Events>);

impl Dialect for Record {
    fn name(&self) -> &'static str {
        "record"
    }
    fn provider(&self) -> &'static str {
        "record"
    }
    fn carries_model(&self) -> bool {
        false
    }
    fn read_request(&self, _: &str, _: &[u8]) -> Result<RequestFacts, RequestError> {
        Ok(RequestFacts::default())
    }
    fn portable_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }
    fn credential_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }
    fn classify(&self, a: &Answer<'_>) -> Failure {
        Plain.classify(a)
    }
    fn read_event<'a>(&self, e: &Event<'a>) -> EventFacts<'a> {
        self.0.lock().push((e.name.to_vec(), e.data.to_vec()));
        EventFacts::default()
    }
    fn read_answer(&self, _: &[u8]) -> AnswerFacts {
        AnswerFacts::default()
    }
}

/// One byte after the other, as the standard goes.
fn standard(bytes: &[u8]) -> Events {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = vec![];
    let mut line = vec![];
    let mut i = 0;
    while i < text.len() {
        match text[i] {
            b'\r' => {
                if text.get(i + 1) == Some(&b'\n') {
                    i += 1;
                }
                lines.push(std::mem::take(&mut line));
            }
            b'\n' => lines.push(std::mem::take(&mut line)),
            b => line.push(b),
        }
        i += 1;
    }
    let (mut name, mut data, mut out) = (vec![], vec![], vec![]);
    for l in lines {
        if l.is_empty() {
            if !data.is_empty() {
                data.pop();
                out.push((std::mem::take(&mut name), std::mem::take(&mut data)));
            }
            name.clear();
            data.clear();
            continue;
        }
        let (f, v) = match l.iter().position(|b| *b == b':') {
            Some(0) => continue,
            Some(p) => (
                &l[..p],
                l[p + 1..].strip_prefix(b" ").unwrap_or(&l[p + 1..]),
            ),
            None => (&l[..], &b""[..]),
        };
        match f {
            b"event" => name = v.to_vec(),
            b"data" => {
                data.extend_from_slice(v);
                data.push(b'\n');
            }
            _ => {}
        }
    }
    out
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_stream_is_read_as_the_standard_reads_it(
        words in proptest::collection::vec(prop::sample::select(&["data", "data:", "data: ", "event", "event: ", "event:", ":", " ", "\r", "\n", "\r\n", "\n\n", "\r\r", "\u{feff}", "id: 1", "retry", "dat", "a", "\u{2028}", "é", "\0", "xx: y"][..]), 0..40),
        size in 1..20_usize,
    ) {
        let stream = words.concat();
        for size in [1, size, stream.len() + 1] {
            let record = Record::default();
            let mut observer = StreamObserver::new(Framing::ServerSent);
            for piece in stream.as_bytes().chunks(size) {
                observer.observe(&record, piece);
            }
            prop_assert_eq!(record.0.into_inner(), standard(stream.as_bytes()));
        }
    }
}
