//! Replays a recorded stream, kept as a file, and checks what no cut may change.
//!
//! ```ignore
//! mod replay;
//! use replay::{Expected, Fixture, Success, replay};
//!
//! replay(
//!     &Fixture {
//!         file: "openai_chat.sse",
//!         dialect: &OpenAiChat,
//!         framing: Framing::ServerSent,
//!         // The event that carries this text is the first end evidence; `Success::After(b"…")` where a frame
//!         // ends with the text itself, `Success::Never` for a stream that fails or is cut off.
//!         success: Success::AfterEvent(r#""finish_reason":"stop""#),
//!     },
//!     &Expected { progress: Progress::Content, ended: true, events: 6, ..Expected::default() },
//! );
//! ```
//!
//! For each fixture: the whole stream says what is expected; cut in two at every byte, fed byte by byte and
//! in random pieces, the same events reach the dialect and the same facts come out; a stream that ends at any
//! byte before its end evidence is no success, and one that ends behind it is.

#![allow(clippy::expect_used, clippy::panic, reason = "only tests use it")]

use std::fs;
use std::path::Path;

use backstay_dialect::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, Framing, Progress,
    RequestError, RequestFacts, Seen, StreamObserver, Usage,
};
use http::HeaderName;
use parking_lot::Mutex;
use proptest::test_runner::{Config, TestRunner};

/// A stream as a provider sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixture {
    /// The name of a file in `tests/fixtures`.
    pub(crate) file: &'static str,
    pub(crate) dialect: &'static dyn Dialect,
    pub(crate) framing: Framing,
    pub(crate) success: Success,
}

/// From where on the end of the stream is a success.
#[allow(dead_code, reason = "not every test that replays needs each of them")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Success {
    /// It never is: the stream carries an error, or no end evidence.
    Never,
    /// Behind the first server-sent event that carries this text: at the first byte of its blank line.
    AfterEvent(&'static str),
    /// Behind the first occurrence of these bytes.
    After(&'static [u8]),
    /// At this offset in bytes.
    At(usize),
}

/// What a whole stream says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) progress: Progress,
    pub(crate) finished: bool,
    pub(crate) ended: bool,
    pub(crate) refused: bool,
    /// The class and the code of the first error.
    pub(crate) error: Option<(FailureClass, Option<&'static str>)>,
    pub(crate) response_id: Option<&'static str>,
    /// Tokens in and out.
    pub(crate) usage: Option<(u64, u64)>,
    pub(crate) events: u32,
}

/// Runs every check on one fixture.
#[track_caller]
pub(crate) fn replay(fixture: &Fixture, expected: &Expected) {
    let bytes = read(fixture.file);
    let file = fixture.file;

    let (events, seen) = observe(fixture, [&bytes[..]]);
    assert_eq!(Said::of(&seen), Said::from(expected), "{file}");

    assert_eq!(
        observe(fixture, bytes.chunks(1)),
        (events.clone(), seen.clone()),
        "{file}, byte by byte"
    );
    for cut in 0..=bytes.len() {
        let (left, right) = bytes.split_at(cut);
        let (cut_events, cut_seen) = observe(fixture, [left, right]);
        assert!(cut_events == events, "{file}, cut at {cut}: other events");
        assert_eq!(cut_seen, seen, "{file}, cut at {cut}");
    }
    in_random_pieces(&bytes, |pieces| {
        let (cut_events, cut_seen) = observe(fixture, pieces.iter().copied());
        assert!(cut_events == events, "{file}, in pieces: other events");
        assert_eq!(cut_seen, seen, "{file}, in pieces");
    });

    let from = fixture.success.offset(&bytes);
    for end in 0..=bytes.len() {
        let (_, seen) = observe(fixture, [&bytes[..end]]);
        let success = seen.error.is_none() && (seen.ended || seen.finished);
        let wanted = from.is_some_and(|from| end >= from);
        assert_eq!(success, wanted, "{file}, broken off at {end}");
    }
}

/// What the events of a stream said, merged as an observer's user merges it.
pub(crate) fn merge(all: &mut Seen, seen: Seen) {
    all.progress = all.progress.max(seen.progress);
    all.ended |= seen.ended;
    all.finished |= seen.finished;
    all.refused |= seen.refused;
    all.error = all.error.take().or(seen.error);
    all.response_id = all.response_id.take().or(seen.response_id);
    if let Some(usage) = seen.usage {
        all.usage.get_or_insert_default().update(usage);
    }
    all.events += seen.events;
}

fn read(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The events that reached the dialect, and what they said.
fn observe<'a>(
    fixture: &Fixture,
    frames: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Reached>, Seen) {
    let recorder = Recorder {
        dialect: fixture.dialect,
        reached: Mutex::default(),
    };
    let mut observer = StreamObserver::new(fixture.framing);
    let mut all = Seen::default();
    for frame in frames {
        merge(&mut all, observer.observe(&recorder, frame));
    }
    (recorder.reached.into_inner(), all)
}

fn in_random_pieces(bytes: &[u8], check: impl Fn(&[&[u8]])) {
    let cuts = proptest::collection::vec(0..=bytes.len(), 0..24);
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let ran = runner.run(&cuts, |mut cuts| {
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts
            .windows(2)
            .map(|pair| &bytes[pair[0]..pair[1]])
            .collect();
        check(&pieces);
        Ok(())
    });
    if let Err(failed) = ran {
        panic!("{failed}");
    }
}

/// [`Seen`] without its hint, in words that a test can write down.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    progress: Progress,
    finished: bool,
    ended: bool,
    refused: bool,
    error: Option<(FailureClass, Option<String>)>,
    response_id: Option<String>,
    usage: Option<Usage>,
    events: u32,
}

// === impl Said ===

impl Said {
    fn of(seen: &Seen) -> Self {
        Self {
            progress: seen.progress,
            finished: seen.finished,
            ended: seen.ended,
            refused: seen.refused,
            error: seen
                .error
                .as_ref()
                .map(|error| (error.class, error.code.as_deref().map(str::to_owned))),
            response_id: seen.response_id.as_deref().map(str::to_owned),
            usage: seen.usage,
            events: seen.events,
        }
    }
}

impl From<&Expected> for Said {
    fn from(expected: &Expected) -> Self {
        let Expected {
            progress,
            finished,
            ended,
            refused,
            error,
            response_id,
            usage,
            events,
        } = expected.clone();
        Self {
            progress,
            finished,
            ended,
            refused,
            error: error.map(|(class, code)| (class, code.map(str::to_owned))),
            response_id: response_id.map(str::to_owned),
            usage: usage.map(|(input, output)| Usage {
                input: Some(input),
                output: Some(output),
            }),
            events,
        }
    }
}

// === impl Success ===

impl Success {
    /// The length that a stream must have to be a success.
    fn offset(self, bytes: &[u8]) -> Option<usize> {
        let behind = |text: &[u8]| {
            let at = bytes.windows(text.len()).position(|found| found == text);
            at.expect("the evidence is in the fixture") + text.len()
        };
        match self {
            Self::Never => None,
            Self::After(text) => Some(behind(text)),
            Self::At(offset) => Some(offset),
            Self::AfterEvent(text) => {
                let from = behind(text.as_bytes());
                let ends: [&[u8]; 3] = [b"\n\n", b"\r\n\r", b"\r\r"];
                (from..=bytes.len()).find(|&at| ends.iter().any(|end| bytes[..at].ends_with(end)))
            }
        }
    }
}

/// An event as it reached the dialect: its name, its data, and whether it is an exception.
type Reached = (Vec<u8>, Vec<u8>, bool);

/// Keeps every event that it passes on.
#[derive(Debug)]
struct Recorder {
    dialect: &'static dyn Dialect,
    reached: Mutex<Vec<Reached>>,
}

// === impl Recorder ===

impl Dialect for Recorder {
    fn name(&self) -> &'static str {
        self.dialect.name()
    }

    fn provider(&self) -> &'static str {
        self.dialect.provider()
    }

    fn carries_model(&self) -> bool {
        self.dialect.carries_model()
    }

    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        self.dialect.read_request(path, body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        self.dialect.portable_headers()
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        self.dialect.credential_headers()
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        self.dialect.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        self.reached
            .lock()
            .push((event.name.to_vec(), event.data.to_vec(), event.exception));
        self.dialect.read_event(event)
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        self.dialect.read_answer(body)
    }
}
