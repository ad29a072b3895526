//! How a row of each table is checked.

use std::time::{Duration, SystemTime};

use backstay_dialect::{
    Action, Answer, Cooling, Dialect, Event, FailureClass, Progress, Usage, model_name,
};
use http::{HeaderMap, StatusCode};

/// A page of a proxy's.
pub(crate) const HTML: &str =
    "\r\n<!DOCTYPE html>\r\n<html><head><title>Bad gateway</title></head></html>";

/// What an answer outside of 2xx means: the row, its status and body; the class, the code that is
/// kept, what is to be done by default, and for how long the target is passed over.
pub(crate) type Failed = (
    &'static str,
    u16,
    &'static str,
    FailureClass,
    Option<&'static str>,
    Action,
    Cooling,
);

#[track_caller]
pub(crate) fn failures(dialect: &dyn Dialect, title: &str, rows: &[Failed]) {
    for &(row, status, body, class, code, action, cooling) in rows {
        let failure = dialect.classify(&Answer {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
            now: SystemTime::UNIX_EPOCH,
        });
        assert_eq!(failure.class, class, "{row}");
        assert_eq!(failure.code.as_deref(), code, "{row}");
        assert_eq!(failure.class.action(), action, "{row}");
        assert_eq!(failure.cooling(), cooling, "{row}");
    }
    documented(
        dialect,
        title,
        rows.iter().map(|row| {
            let (row, status, _, class, _, action, cooling) = row;
            format!(
                "| {row} | {status} | `{class}` | {} | {} |",
                format!("{action:?}").to_lowercase(),
                passed_over(*cooling)
            )
        }),
    );
}

/// The least wait before a retry that the answer calls for.
pub(crate) fn least_wait(dialect: &dyn Dialect, status: u16, body: &str) -> Duration {
    let answer = Answer {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
        now: SystemTime::UNIX_EPOCH,
    };
    dialect.classify(&answer).least_wait()
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    Reasoning,
    Content,
    /// Why it stopped; the end of the stream is a success now.
    Finished,
    /// Content, and why it stopped, in one.
    Last,
    /// The end: nothing after it is waited for.
    Ended,
    /// Why it stopped, and the end, in one.
    FinishedAndEnded,
    /// It stopped because it was withheld.
    Withheld,
    /// The same, and the end.
    WithheldAndEnded,
    Error(FailureClass, Option<&'static str>),
}

/// The row, the event's name and its data.
pub(crate) type Said = (&'static str, &'static str, &'static str, Says);

#[track_caller]
pub(crate) fn events(dialect: &dyn Dialect, title: &str, rows: &[Said]) {
    for &(row, name, data, says) in rows {
        let facts = dialect.read_event(&Event {
            name: name.as_bytes(),
            data: data.as_bytes(),
            ..Event::default()
        });
        let error = facts.error.map(|error| (error.class, error.code));
        let found = (
            facts.progress,
            facts.finished,
            facts.ended,
            facts.refused,
            error
                .as_ref()
                .map(|(class, code)| (*class, code.as_deref())),
        );
        let (none, some, thinking) = (Progress::None, Progress::Content, Progress::Reasoning);
        let expected = match says {
            Says::Nothing => (none, false, false, false, None),
            Says::Reasoning => (thinking, false, false, false, None),
            Says::Content => (some, false, false, false, None),
            Says::Finished => (none, true, false, false, None),
            Says::Last => (some, true, false, false, None),
            Says::Ended => (none, false, true, false, None),
            Says::FinishedAndEnded => (none, true, true, false, None),
            Says::Withheld => (none, true, false, true, None),
            Says::WithheldAndEnded => (none, true, true, true, None),
            Says::Error(class, code) => (none, false, false, false, Some((class, code))),
        };
        assert_eq!(found, expected, "{row}");
    }
    documented(
        dialect,
        title,
        rows.iter().map(|(row, _, _, says)| {
            let says = match says {
                Says::Nothing => "nothing",
                Says::Reasoning => "reasoning",
                Says::Content => "content",
                Says::Finished => "finished",
                Says::Last => "content, finished",
                Says::Ended => "ended",
                Says::FinishedAndEnded => "finished, ended",
                Says::Withheld => "finished, withheld",
                Says::WithheldAndEnded => "finished, ended, withheld",
                Says::Error(class, _) => return format!("| {row} | error `{class}` |"),
            };
            format!("| {row} | {says} |")
        }),
    );
}

/// The id and the tokens, in and out, of one event or of a whole answer.
pub(crate) type Ids<'a> = (Option<&'a str>, Option<(u64, u64)>);

#[track_caller]
pub(crate) fn event_ids(dialect: &dyn Dialect, name: &str, data: &str, expected: Ids<'_>) {
    let facts = dialect.read_event(&Event {
        name: name.as_bytes(),
        data: data.as_bytes(),
        ..Event::default()
    });
    assert_eq!((facts.response_id, counts(facts.usage)), expected, "{data}");
}

/// What a whole 2xx answer says: whether it was withheld, its error, its id and its tokens.
pub(crate) type Answered = (
    &'static str,
    &'static str,
    bool,
    Option<FailureClass>,
    Ids<'static>,
);

#[track_caller]
pub(crate) fn answers(dialect: &dyn Dialect, title: &str, rows: &[Answered]) {
    for &(row, body, refused, error, ids) in rows {
        let facts = dialect.read_answer(body.as_bytes());
        assert_eq!(facts.refused, refused, "{row}");
        assert_eq!(facts.error.map(|error| error.class), error, "{row}");
        let found = (facts.response_id.as_deref(), counts(facts.usage));
        assert_eq!(found, ids, "{row}");
        // A document that is cut says nothing.
        let cut = &body.as_bytes()[..body.len() - 1];
        assert_eq!(dialect.read_answer(cut), Default::default(), "{row}");
    }
    documented(
        dialect,
        title,
        rows.iter().map(|(row, _, refused, error, _)| {
            let error = error.map_or("none".to_owned(), |class| format!("`{class}`"));
            format!(
                "| {row} | {} | {error} |",
                if *refused { "yes" } else { "no" }
            )
        }),
    );
}

/// Checks that `docs/providers.md` has this table, to the letter, below the heading of this title.
#[track_caller]
pub(crate) fn documented(dialect: &dyn Dialect, title: &str, rows: impl Iterator<Item = String>) {
    let heading = format!("### {}: {title}", dialect.name());
    let table: Vec<&str> = include_str!("../../../../docs/providers.md")
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .skip_while(|line| line.is_empty())
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    let rows: Vec<String> = rows.collect();
    assert_eq!(table, rows, "docs/providers.md, below `{heading}`");
}

pub(crate) fn passed_over(cooling: Cooling) -> &'static str {
    match cooling {
        Cooling::None => "no",
        Cooling::Short => "short",
        Cooling::Long => "long",
    }
}

/// Where a request names its model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Body(String),
    /// In the path, as it is written there.
    Path(String),
    /// In both; the path decides.
    Both(String, String),
    Nowhere,
}

#[track_caller]
pub(crate) fn place(dialect: &dyn Dialect, path: &str, body: &str) -> (Model, bool) {
    let facts = dialect
        .read_request(path, body.as_bytes())
        .unwrap_or_else(|error| panic!("{path} {body}: {error}"));
    let in_body = facts
        .model
        .map(|span| model_name(&body.as_bytes()[span]).into_owned());
    let in_path = facts.path_model.map(|span| path[span].to_owned());
    let model = match (in_path, in_body) {
        (Some(path), Some(body)) => Model::Both(path, body),
        (Some(path), None) => Model::Path(path),
        (None, Some(body)) => Model::Body(body),
        (None, None) => Model::Nowhere,
    };
    (model, facts.stream)
}

/// Names of headers that must be listed, the request's id in the order of trust.
#[track_caller]
pub(crate) fn headers(
    dialect: &dyn Dialect,
    credentials: &[&str],
    portable: &[&str],
    request_id: &[&str],
) {
    for name in credentials {
        let listed = dialect.credential_headers().iter().any(|h| h == name);
        assert!(listed, "{name} is a credential");
    }
    for header in dialect.portable_headers() {
        assert!(!dialect.credential_headers().contains(header), "{header}");
    }
    let names = |list: &'static [http::HeaderName]| -> Vec<&str> {
        list.iter().map(http::HeaderName::as_str).collect()
    };
    assert_eq!(names(dialect.portable_headers()), portable);
    assert_eq!(names(dialect.request_id_headers()), request_id);
    assert!(dialect.credential_parameters().contains(&"key"));
}

fn counts(usage: Option<Usage>) -> Option<(u64, u64)> {
    let usage = usage?;
    Some((usage.input?, usage.output?))
}
