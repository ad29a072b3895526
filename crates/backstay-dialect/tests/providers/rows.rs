//! Rows of the providers' tables as data, each named by what the table calls it.

#![allow(clippy::unwrap_used, reason = "only tests use it")]

use std::time::{Duration, SystemTime};

use backstay_dialect::{
    Action, Answer, Cooling, Dialect, Event, Failure, FailureClass, Progress, Usage, detect,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::table;

/// A failed answer, and what is to be done about it.
pub(crate) struct Failed {
    pub(crate) row: &'static str,
    pub(crate) status: u16,
    pub(crate) header: Option<(&'static str, &'static str)>,
    pub(crate) body: &'static str,
    pub(crate) class: FailureClass,
    pub(crate) action: Action,
    pub(crate) code: Option<&'static str>,
}

/// An event of a stream, and what it says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) row: &'static str,
    pub(crate) name: &'static str,
    pub(crate) data: &'static str,
    pub(crate) exception: bool,
    pub(crate) progress: Progress,
    pub(crate) finished: bool,
    pub(crate) ended: bool,
    pub(crate) refused: bool,
    pub(crate) error: Option<(FailureClass, Option<&'static str>)>,
    pub(crate) response_id: Option<&'static str>,
    pub(crate) usage: Option<(u64, u64)>,
}

/// A request's path, and what it says.
pub(crate) struct Asked {
    pub(crate) path: &'static str,
    pub(crate) model: &'static str,
    pub(crate) stream: bool,
}

pub(crate) fn classify(
    dialect: &dyn Dialect,
    status: u16,
    header: Option<(&'static str, &'static str)>,
    body: &[u8],
) -> Failure {
    let headers: HeaderMap = header
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    dialect.classify(&Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers,
        body,
        now: SystemTime::UNIX_EPOCH,
    })
}

pub(crate) fn check_failures(dialect: &dyn Dialect, rows: &[Failed]) {
    for row in rows {
        let name = row.row;
        let failure = classify(dialect, row.status, row.header, row.body.as_bytes());
        assert_eq!(failure.class, row.class, "{name}");
        assert_eq!(failure.class.action(), row.action, "{name}");
        assert_eq!(failure.code.as_deref(), row.code, "{name}");
        assert!(cools(&failure), "{name}: {:?}", failure.cooling());

        // The prefix may end anywhere: the worst is that less is known.
        for end in 0..row.body.len() {
            let body = &row.body.as_bytes()[..end];
            let cut = classify(dialect, row.status, row.header, body).class;
            let bare = classify(dialect, row.status, None, b"").class;
            if row.status >= 500 {
                assert!(is_the_servers(cut), "{name}, cut at {end}: {cut}");
            } else if row.header.is_none() {
                let known = [
                    bare,
                    row.class,
                    FailureClass::Caller,
                    FailureClass::RateLimit,
                ];
                assert!(known.contains(&cut), "{name}, cut at {end}: {cut}");
            }
        }
    }
}

/// Checks that `docs/providers.md` has these failures as a table.
#[track_caller]
pub(crate) fn document_failures(dialect: &dyn Dialect, title: &str, rows: &[Failed]) {
    let lines = rows.iter().map(|row| {
        let failure = classify(dialect, row.status, row.header, row.body.as_bytes());
        let action = format!("{:?}", row.action).to_lowercase();
        let passed_over = table::passed_over(failure.cooling());
        let (name, status, class) = (row.row, row.status, row.class);
        format!("| {name} | {status} | `{class}` | {action} | {passed_over} |")
    });
    table::documented(dialect, title, lines);
}

/// Checks that `docs/providers.md` has these events as a table.
#[track_caller]
pub(crate) fn document_events(dialect: &dyn Dialect, title: &str, rows: &[Said]) {
    let lines = rows.iter().map(|row| {
        let mut says = Vec::new();
        match row.progress {
            Progress::None => {}
            Progress::Reasoning => says.push("reasoning".to_owned()),
            Progress::Content => says.push("content".to_owned()),
        }
        for (word, said) in [
            ("finished", row.finished),
            ("ended", row.ended),
            ("withheld", row.refused),
        ] {
            says.extend(said.then(|| word.to_owned()));
        }
        says.extend(row.error.map(|(class, _)| format!("error `{class}`")));
        if says.is_empty() {
            says.push("nothing".to_owned());
        }
        format!("| {} | {} |", row.row, says.join(", "))
    });
    table::documented(dialect, title, lines);
}

/// Whether the target is passed over for as long as the action says: long where a retry is no use, never for
/// the caller's own fault.
fn cools(failure: &Failure) -> bool {
    match (failure.class.action(), failure.class) {
        (Action::Skip, FailureClass::Unknown) => failure.cooling() == Cooling::None,
        (Action::Skip, _) => failure.cooling() == Cooling::Long,
        (Action::Stop, _) => failure.cooling() == Cooling::None,
        (Action::Retry, FailureClass::RateLimit | FailureClass::Overloaded) => {
            failure.cooling() == Cooling::Short
        }
        (Action::Retry, _) => failure.cooling() <= Cooling::Short,
    }
}

fn is_the_servers(class: FailureClass) -> bool {
    use FailureClass::{Overloaded, RateLimit, Server, Timeout, Unknown};
    matches!(class, Overloaded | RateLimit | Server | Timeout | Unknown)
}

/// An outage never looks like somebody else's fault, whatever the body says.
pub(crate) fn check_outages(dialect: &dyn Dialect, rows: &[Failed]) {
    for row in rows {
        for status in [500, 502, 503, 504, 520, 529] {
            let failure = classify(dialect, status, row.header, row.body.as_bytes());
            let (name, class) = (row.row, failure.class);
            assert!(is_the_servers(class), "{status} {name}: {class}");
        }
    }
}

pub(crate) fn check_events(dialect: &dyn Dialect, rows: &[Said]) {
    for row in rows {
        check_event(dialect, row, row.data.as_bytes());
    }
}

pub(crate) fn check_event(dialect: &dyn Dialect, row: &Said, data: &[u8]) {
    let name = row.row;
    let facts = dialect.read_event(&Event {
        name: row.name.as_bytes(),
        data,
        exception: row.exception,
    });
    assert_eq!(facts.progress, row.progress, "{name}");
    assert_eq!(facts.finished, row.finished, "{name}");
    assert_eq!(facts.ended, row.ended, "{name}");
    assert_eq!(facts.refused, row.refused, "{name}");
    let error = facts.error.as_ref();
    assert_eq!(
        error.map(|error| (error.class, error.code.as_deref())),
        row.error,
        "{name}"
    );
    assert_eq!(facts.response_id, row.response_id, "{name}");
    let usage = row.usage.map(|(input, output)| Usage {
        input: Some(input),
        output: Some(output),
    });
    assert_eq!(facts.usage, usage, "{name}");
}

pub(crate) fn check_requests(dialect: &dyn Dialect, rows: &[Asked]) {
    for row in rows {
        let facts = dialect.read_request(row.path, b"{}").unwrap();
        let model = facts.path_model.map(|model| &row.path[model]);
        assert_eq!(model, Some(row.model), "{}", row.path);
        assert_eq!(facts.stream, row.stream, "{}", row.path);
        assert_eq!(facts.model, None, "{}", row.path);
        let found = detect("", row.path);
        assert_eq!(found.name(), dialect.name(), "{}", row.path);
    }
}

/// What must not follow a call elsewhere, and what may.
pub(crate) fn check_credentials(dialect: &dyn Dialect, headers: &[&str], parameters: &[&str]) {
    for name in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).unwrap();
        assert!(dialect.credential_headers().contains(&header), "{name}");
        assert!(!dialect.portable_headers().contains(&header), "{name}");
    }
    for name in parameters {
        assert!(dialect.credential_parameters().contains(name), "{name}");
    }
    for header in dialect.portable_headers() {
        assert!(!dialect.credential_headers().contains(header), "{header}");
    }
}

/// The server's word on when to come back is heard.
pub(crate) fn check_hint(dialect: &dyn Dialect) {
    let failure = classify(dialect, 429, Some(("retry-after", "7")), b"{}");
    assert_eq!(failure.hint.after, Some(Duration::from_secs(7)));
    let failure = classify(dialect, 400, Some(("x-should-retry", "true")), b"{}");
    assert_eq!(failure.hint.should_retry, Some(true));
}

/// Data that is no such event says nothing.
pub(crate) fn check_garbage(dialect: &dyn Dialect, names: &[&str]) {
    for name in names {
        for data in [
            "",
            "hello",
            "{",
            "null",
            "[1]",
            r#"{"delta":{"text":"a"}"#,
            r#"{"error":{"code":"x"}"#,
        ] {
            let facts = dialect.read_event(&Event {
                name: name.as_bytes(),
                data: data.as_bytes(),
                ..Event::default()
            });
            assert_eq!(facts.progress, Progress::None, "{name} {data}");
            assert!(!facts.finished, "{name} {data}");
            assert_eq!(facts.error, None, "{name} {data}");
        }
    }
}
