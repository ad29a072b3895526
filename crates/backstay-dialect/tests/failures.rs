//! What holds for the failures of every dialect. The rows of the providers' tables are in `providers`.

use std::time::{Duration, SystemTime};

use backstay_dialect::{
    Action, Answer, AnthropicMessages, AzureOpenAi, Cooling, Dialect, Failure, FailureClass, Groq,
    Mistral, OVERLOADED_LEAST_WAIT, OpenAiChat, OpenAiCompatible, OpenAiResponses, OpenRouter,
    Plain,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

const EVERY: [&dyn Dialect; 13] = [
    &OpenAiChat,
    &OpenAiResponses,
    &AzureOpenAi,
    &Mistral,
    &Groq,
    &OpenRouter,
    &OpenAiCompatible::SELF_HOSTED,
    &OpenAiCompatible::TOGETHER,
    &OpenAiCompatible::CEREBRAS,
    &OpenAiCompatible::XAI,
    &OpenAiCompatible::DEEPSEEK,
    &AnthropicMessages,
    &Plain,
];

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
    for dialect in EVERY {
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

/// Words that mean something to one dialect or another, where an error says them.
fn error_document() -> impl Strategy<Value = String> {
    let word = || {
        prop::sample::select(
            &[
                "insufficient_quota",
                "context_length_exceeded",
                "content_filter",
                "invalid_api_key",
                "model_not_found",
                "NotFoundError",
                "invalid_image",
                "rate_limit_error",
                "server_is_overloaded",
                "billing_error",
                "not_found_error",
                "request_too_large",
                "blocked_api_access",
                "invalid_model",
                "timeout",
                "400",
                "413",
                "",
            ][..],
        )
    };
    let sentence = prop::sample::select(
        &[
            "This model's maximum context length is 1",
            "prompt is too long",
            "Your credit balance is too low",
            "Incorrect API key provided",
            "Prompt contains 1",
        ][..],
    );
    let metadata = prop::sample::select(
        &[
            r#"{"limit_source":"openrouter_key_limit"}"#,
            r#"{"reasons":["a"],"raw":"{\"error\":{\"code\":\"content_filter\"}}"}"#,
            "null",
        ][..],
    );
    let shape = prop::sample::select(&[0, 1, 2][..]);
    (word(), word(), word(), sentence, metadata, shape).prop_map(
        |(code, kind, inner, message, metadata, shape)| {
            let members = format!(
                r#""code":"{code}","type":"{kind}","message":"{message}","innererror":{{"code":"{inner}"}},"param":"input_tokens","metadata":{metadata}"#
            );
            match shape {
                0 => format!(r#"{{"error":{{{members}}}}}"#),
                1 => format!(r#"{{"object":"error",{members}}}"#),
                _ => format!(r#"{{"error":"{message}",{members}}}"#),
            }
        },
    )
}

proptest! {
    #[test]
    fn an_outage_is_never_somebody_elses_fault(status in 500..600_u16, body in error_document(), cut in any::<prop::sample::Index>()) {
        use FailureClass::*;
        for dialect in EVERY {
            for body in [&body[..], &body[..cut.index(body.len())]] {
                let class = classify(dialect, status, body).class;
                let fair = matches!(class, RateLimit | Overloaded | Server | Timeout)
                    || (class == Unknown && matches!(status, 501 | 505));
                prop_assert!(fair, "{} {status} {body}: {class}", dialect.name());
            }
        }
    }

    #[test]
    fn quota_is_told_before_rate_limit(body in error_document(), place in 0..2_usize) {
        // Wherever else the error says something, one word of quota is enough.
        let member = ["\"code\":\"", "\"type\":\""][place];
        let body = body.replacen(member, &format!("{member}insufficient_quota\",\"was\":\""), 1);
        for dialect in [EVERY[0], EVERY[2], EVERY[3], EVERY[4], EVERY[6]] {
            let failure = classify(dialect, 429, &body);
            prop_assert_eq!(failure.class, FailureClass::Quota, "{} {}", dialect.name(), body);
        }
    }

    #[test]
    fn no_answer_panics(status in 100..1000_u16, body in proptest::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\ error code"[..])], 0..96)) {
        for dialect in EVERY {
            dialect.classify(&Answer {
                status: StatusCode::from_u16(status).unwrap_or_default(),
                headers: &HeaderMap::new(),
                body: &body,
                now: SystemTime::UNIX_EPOCH,
            });
            dialect.read_answer(&body);
        }
    }
}
