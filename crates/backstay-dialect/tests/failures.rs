//! What holds for the failures of every dialect. The rows of the providers' tables are in `providers`.

use std::time::{Duration, SystemTime};

use backstay_dialect::{
    Action, Answer, AnthropicMessages, AzureOpenAi, Cooling, Dialect, Failure, FailureClass, Groq,
    Mistral, OVERLOADED_LEAST_WAIT, OpenAiChat, OpenAiCompatible, OpenAiResponses, OpenRouter,
    Plain,
};
use http::{HeaderMap, HeaderValue, StatusCode};

fn classify(dialect: &dyn Dialect, status: u16, body: &str) -> Failure {
    dialect.classify(&Answer {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
        now: SystemTime::UNIX_EPOCH,
    })
}

fn check(dialect: &dyn Dialect, rows: &[(u16, &str, FailureClass, Option<&str>)]) {
    for &(status, body, class, code) in rows {
        let failure = classify(dialect, status, body);
        assert_eq!(failure.class, class, "{status} {body}");
        assert_eq!(failure.code.as_deref(), code, "{status} {body}");
    }
}

#[test]
fn plain_reads_the_status_only() {
    use FailureClass::*;
    let quota = r#"{"error":{"code":"insufficient_quota"}}"#;
    check(
        &Plain,
        &[
            (400, quota, Caller, None),
            (401, quota, Authentication, None),
            (404, quota, Caller, None),
            (408, quota, Timeout, None),
            (409, quota, Server, None),
            (413, quota, Caller, None),
            (429, quota, RateLimit, None),
            (500, quota, Server, None),
            (503, quota, Overloaded, None),
            (504, quota, Timeout, None),
            (302, quota, Unknown, None),
        ],
    );
}

#[test]
fn what_a_class_calls_for() {
    use FailureClass::*;
    for (class, action, cooling, only_by_rule) in [
        (RateLimit, Action::Retry, Cooling::Short, false),
        (Overloaded, Action::Retry, Cooling::Short, false),
        (Server, Action::Retry, Cooling::None, false),
        (Timeout, Action::Retry, Cooling::None, false),
        (Quota, Action::Skip, Cooling::Long, false),
        (Authentication, Action::Skip, Cooling::Long, false),
        (ModelGone, Action::Skip, Cooling::Long, false),
        (Unknown, Action::Skip, Cooling::None, false),
        (ContextTooLong, Action::Stop, Cooling::None, true),
        (ContentPolicy, Action::Stop, Cooling::None, true),
        (Caller, Action::Stop, Cooling::None, false),
    ] {
        assert_eq!(class.action(), action, "{class}");
        assert_eq!(class.cooling(), cooling, "{class}");
        assert_eq!(class.only_by_rule(), only_by_rule, "{class}");
        assert_eq!(Failure::new(class).cooling(), cooling, "{class}");
        assert!(Failure::new(class).least_wait().is_zero(), "{class}");
    }
}

#[test]
fn a_dialect_may_know_better_than_the_class() {
    let mut failure = Failure::new(FailureClass::Server)
        .with_cooling(Cooling::Short)
        .with_least_wait(OVERLOADED_LEAST_WAIT);
    assert_eq!(failure.cooling(), Cooling::Short);
    assert_eq!(failure.least_wait(), OVERLOADED_LEAST_WAIT);

    // Whoever changes the class changes what it calls for, unless a dialect said so.
    failure.class = FailureClass::Quota;
    assert_eq!(failure.cooling(), Cooling::Short);
    let mut failure = Failure::new(FailureClass::Server);
    failure.class = FailureClass::Quota;
    assert_eq!(failure.cooling(), Cooling::Long);
}

#[test]
fn every_dialect_reads_the_hint() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    headers.insert("x-should-retry", HeaderValue::from_static("true"));
    for dialect in [
        &OpenAiChat as &dyn Dialect,
        &OpenAiResponses,
        &AzureOpenAi,
        &Mistral,
        &Groq,
        &OpenRouter,
        &OpenAiCompatible::SELF_HOSTED,
        &AnthropicMessages,
        &Plain,
    ] {
        let hint = dialect
            .classify(&Answer {
                status: StatusCode::BAD_REQUEST,
                headers: &headers,
                body: b"",
                now: SystemTime::UNIX_EPOCH,
            })
            .hint;
        assert_eq!(hint.after, Some(Duration::from_secs(7)));
        assert_eq!(hint.should_retry, Some(true));
    }
}

#[test]
fn debug_shows_no_body_and_no_header() {
    let mut headers = HeaderMap::new();
    headers.insert("set-cookie", HeaderValue::from_static("s3cret"));
    let answer = Answer {
        status: StatusCode::BAD_REQUEST,
        headers: &headers,
        body: b"s3cret",
        now: SystemTime::UNIX_EPOCH,
    };
    assert!(!format!("{answer:?}").contains("s3cret"));
}
