//! What a server asks for: the `Retry-After` family, `RetryInfo`, and the families of resets.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use backstay_dialect::{
    Answer, Dialect, Event, Gemini, Hint, HintSource, MAX_BELIEVED_WAIT, MAX_WAIT, OpenAiChat,
    VertexAnthropic, VertexGemini,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

const NAMES: [&str; 14] = [
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "retry-after",
    "x-should-retry",
    "x-ratelimit-reset",
    "x-ratelimit-remaining",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-unified-reset",
    "anthropic-ratelimit-unified-status",
];

/// 2024-01-01T00:00:00Z.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200)
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        map.append(HeaderName::from_static(name), value);
    }
    map
}

fn read(headers: &[(&'static str, &str)]) -> Hint {
    Hint::read(&map(headers), now())
}

fn of(status: u16, headers: &[(&'static str, &str)]) -> Hint {
    Hint::of(&Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &map(headers),
        body: b"",
        now: now(),
    })
}

fn seconds(seconds: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(seconds))
}

#[test]
fn retry_after() {
    let seconds = |s: u64| Some(Duration::from_secs(s));
    for (value, after) in [
        // openai-python's list, short of its caps: what is too long is the policy's to say.
        ("20", seconds(20)),
        ("60", seconds(60)),
        ("61", seconds(61)),
        ("120", seconds(120)),
        ("-10", None),
        ("Fri, 29 Sep 2023 16:26:57 GMT", None),
        (" 20 ", seconds(20)),
        ("0.5", Some(Duration::from_millis(500))),
        ("121", seconds(121)),
        ("90000", Some(MAX_WAIT)),
        ("0", None),
        ("-1", None),
        ("-0", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e300", None),
        ("99999999999999", None),
        ("1704067200", None),
        ("", None),
        ("soon", None),
        ("Mon, 01 Jan 2024 00:00:30 GMT", seconds(30)),
        ("Monday, 01-Jan-24 00:00:30 GMT", seconds(30)),
        ("Mon Jan  1 00:00:30 2024", seconds(30)),
        ("Wed, 03 Jan 2024 00:00:00 GMT", Some(MAX_WAIT)),
        ("Mon, 01 Jan 2024 00:00:00 GMT", None),
        ("Sun, 31 Dec 2023 23:59:59 GMT", None),
        ("Zun, 31 Dec 2024 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 100000 23:59:59 GMT", None),
    ] {
        let hint = read(&[("retry-after", value)]);
        assert_eq!(hint.after, after, "{value}");
        assert_eq!(
            hint.source,
            after.map(|_| HintSource::RetryAfter),
            "{value}"
        );
    }
}

#[test]
fn the_most_exact_source_that_is_believed_wins() {
    let all = [
        ("retry-after-ms", "1500.5"),
        ("x-ms-retry-after-ms", "2500"),
        ("retry-after", "3"),
    ];
    let hint = read(&all);
    assert_eq!(hint.after, Some(Duration::from_micros(1_500_500)));
    assert_eq!(hint.source, Some(HintSource::RetryAfterMs));

    let hint = read(&all[1..]);
    assert_eq!(hint.after, Some(Duration::from_millis(2500)));
    assert_eq!(hint.source, Some(HintSource::XMsRetryAfterMs));

    let hint = read(&[
        ("retry-after-ms", "-1"),
        ("x-ms-retry-after-ms", "x"),
        ("retry-after", "3"),
    ]);
    assert_eq!(hint.after, Some(Duration::from_secs(3)));
    assert_eq!(hint.source, Some(HintSource::RetryAfter));
}

#[test]
fn a_value_that_cannot_be_meant_hides_no_other() {
    let hint = read(&[("retry-after", "soon"), ("retry-after", "7")]);
    assert_eq!(hint.after, seconds(7.0));

    let used_up = [
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6s"),
    ];
    for bad in [
        "0",
        "-5",
        "nan",
        "inf",
        "1e300",
        "99999999999999",
        "soon",
        "Zun, 31 Dec 2024 23:59:59 GMT",
        "Fri, 31 Dec 100000 23:59:59 GMT",
        "\u{e9}",
    ] {
        let hint = read(&[
            ("retry-after-ms", bad),
            ("retry-after", bad),
            used_up[0],
            used_up[1],
        ]);
        assert_eq!(hint.after, seconds(6.0), "{bad}");
        assert_eq!(hint.source, Some(HintSource::RateLimitReset), "{bad}");
    }
}

#[test]
fn a_reset_is_told_in_every_form() {
    for (value, after) in [
        ("12ms", seconds(0.012)),
        ("6s", seconds(6.0)),
        ("6m0s", seconds(360.0)),
        ("1h2m3.5s", seconds(3723.5)),
        ("500\u{b5}s", seconds(0.0005)),
        ("7", seconds(7.0)),
        ("0.25", seconds(0.25)),
        // Up to 30 days it is seconds, then an epoch; from the year 5138 on it would be milliseconds.
        ("2591999", Some(MAX_WAIT)),
        ("1704067230", seconds(30.0)),
        ("1704067230500", seconds(30.5)),
        ("2024-01-01T00:00:30Z", seconds(30.0)),
        ("2024-01-01T00:00:30.5+00:00", seconds(30.5)),
        ("36h", Some(MAX_WAIT)),
        ("0s", None),
        ("-6s", None),
        ("6 s", None),
        ("999999h", None),
        ("1704067200", None),
        ("1704067199000", None),
        ("2023-12-31T23:59:59Z", None),
        ("2024-02-01T00:00:00Z", None),
        ("9999999999", None),
        ("99999999999999", None),
        ("nan", None),
        ("-inf", None),
        ("1e308", None),
        ("", None),
    ] {
        for (name, remaining, source) in [
            (
                "x-ratelimit-reset",
                "x-ratelimit-remaining",
                HintSource::RateLimitReset,
            ),
            (
                "x-ratelimit-reset-requests",
                "x-ratelimit-remaining-requests",
                HintSource::RateLimitReset,
            ),
            (
                "anthropic-ratelimit-input-tokens-reset",
                "anthropic-ratelimit-input-tokens-remaining",
                HintSource::AnthropicReset,
            ),
        ] {
            let hint = read(&[(name, value), (remaining, "0")]);
            assert_eq!(hint.after, after, "{name}: {value}");
            assert_eq!(hint.source, after.map(|_| source), "{name}: {value}");
        }
    }
}

#[test]
fn a_reset_counts_for_what_is_used_up() {
    const REQUESTS: (&str, &str) = ("x-ratelimit-reset-requests", "8.64s");
    const TOKENS: (&str, &str) = ("x-ratelimit-reset-tokens", "2s");
    // Good answers carry them too.
    assert_eq!(read(&[REQUESTS, TOKENS]).after, None);
    for (requests, tokens, any, refused) in [
        // What is left of each; the wait, whatever the status; the wait with 429.
        ("0", "100", seconds(8.64), seconds(8.64)),
        ("5", "0", seconds(2.0), seconds(2.0)),
        ("0", "0", seconds(8.64), seconds(8.64)),
        // One request takes one request, but may take more tokens than remain.
        ("5", "100", None, seconds(2.0)),
        // Azure does not know.
        ("-1", "-1", None, seconds(8.64)),
        ("-1", "100", None, seconds(8.64)),
    ] {
        let headers = [
            REQUESTS,
            TOKENS,
            ("x-ratelimit-remaining-requests", requests),
            ("x-ratelimit-remaining-tokens", tokens),
        ];
        assert_eq!(of(500, &headers).after, any, "{requests} {tokens}");
        assert_eq!(read(&headers), of(200, &headers));
        assert_eq!(of(429, &headers).after, refused, "{requests} {tokens}");
    }
    assert_eq!(of(429, &[REQUESTS, TOKENS]).after, seconds(8.64));
    assert_eq!(of(503, &[REQUESTS, TOKENS]).after, None);
    let only = [REQUESTS, ("x-ratelimit-remaining-requests", "5")];
    assert_eq!(of(429, &only).after, None);
}

#[test]
fn the_longer_names_are_read_too() {
    for (reset, remaining) in [
        (
            "x-ratelimit-reset-tokens-minute",
            "x-ratelimit-remaining-tokens-minute",
        ),
        (
            "x-ratelimit-reset-requests-day",
            "x-ratelimit-remaining-requests-day",
        ),
        (
            "x-ratelimit-reset-project-tokens",
            "x-ratelimit-remaining-project-tokens",
        ),
    ] {
        assert_eq!(
            read(&[(reset, "3.5"), (remaining, "0")]).after,
            seconds(3.5),
            "{reset}"
        );
    }
    assert_eq!(of(429, &[("x-ratelimit-resets", "3")]).after, None);
}

#[test]
fn anthropic_says_by_status_what_is_used_up() {
    let headers = [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", "1704067260"),
        ("anthropic-ratelimit-unified-7d-status", "allowed_warning"),
        ("anthropic-ratelimit-unified-7d-reset", "1704600000"),
        ("anthropic-ratelimit-tokens-remaining", "1000"),
        ("anthropic-ratelimit-tokens-reset", "2024-01-01T00:02:00Z"),
    ];
    for hint in [read(&headers), of(429, &headers)] {
        assert_eq!(hint.after, seconds(60.0));
        assert_eq!(hint.source, Some(HintSource::AnthropicReset));
    }
    // Not refused for seven days that are allowed, so for tokens.
    assert_eq!(of(429, &headers[2..]).after, seconds(120.0));
    assert_eq!(read(&headers[2..]).after, None);
}

#[test]
fn the_families_of_resets_are_trusted_last() {
    let headers = [
        ("anthropic-ratelimit-tokens-reset", "2024-01-01T00:00:10Z"),
        ("x-ratelimit-reset", "1704067220000"),
        ("retry-after", "30"),
    ];
    assert_eq!(of(429, &headers).source, Some(HintSource::RetryAfter));
    let hint = of(429, &headers[..2]);
    assert_eq!(hint.after, seconds(20.0));
    assert_eq!(hint.source, Some(HintSource::RateLimitReset));

    let delay = br#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"5s"}]}}"#;
    let added = hint.with_retry_info(delay);
    assert_eq!(
        (added.after, added.source),
        (seconds(5.0), Some(HintSource::RetryInfo))
    );
    let kept = of(429, &headers).with_retry_info(delay);
    assert_eq!(kept, of(429, &headers));
}

#[test]
fn retry_info_is_read_as_far_as_the_body_goes() {
    const INFO: &str =
        r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"0.5s"}"#;
    let body = |details: &str| {
        format!(r#"{{"error":{{"code":429,"message":"x","details":[{details}],"status":"y"}}}}"#)
    };
    let quota = r#"{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"PerDay"}]}"#;
    for (details, after) in [
        (INFO.to_owned(), seconds(0.5)),
        (format!("{quota},{INFO}"), seconds(0.5)),
        (
            r#"{"retryDelay":"36s","@type":"type.googleapis.com/google.rpc.RetryInfo"}"#.to_owned(),
            seconds(36.0),
        ),
        (
            format!(r#"{{"@type":"google.rpc.RetryInfo","retryDelay":"0s"}},{INFO}"#),
            seconds(0.5),
        ),
        (
            r#"{"@type":"google.rpc.RetryInfo","retryDelay":"36000s"}"#.to_owned(),
            seconds(36000.0),
        ),
        (
            r#"{"@type":"google.rpc.RetryInfo","retryDelay":"-3s"}"#.to_owned(),
            None,
        ),
        (
            r#"{"@type":"google.rpc.RetryInfo","retryDelay":"nans"}"#.to_owned(),
            None,
        ),
        (
            r#"{"@type":"google.rpc.RetryInfo","retryDelay":"99999999999s"}"#.to_owned(),
            None,
        ),
        (
            r#"{"@type":"google.rpc.RetryInfo","retryDelay":36}"#.to_owned(),
            None,
        ),
        (
            r#"{"@type":"google.rpc.RetryInfo","retryDelay":"36"}"#.to_owned(),
            None,
        ),
        (
            r#"{"@type":"google.rpc.Help","retryDelay":"36s"}"#.to_owned(),
            None,
        ),
        (quota.to_owned(), None),
        (String::new(), None),
    ] {
        let body = body(&details);
        for body in [body.clone(), format!("[{body}]")] {
            let hint = Hint::default().with_retry_info(body.as_bytes());
            assert_eq!(hint.after, after, "{body}");
            assert_eq!(hint.source, after.map(|_| HintSource::RetryInfo), "{body}");
        }
    }

    // Cut anywhere behind the object that holds it.
    let whole = body(INFO);
    let end = whole.find("0.5s\"}").unwrap() + 6;
    for cut in 0..=whole.len() {
        let hint = Hint::default().with_retry_info(&whole.as_bytes()[..cut]);
        assert_eq!(hint.after.is_some(), cut >= end, "{cut}");
    }
    for body in [
        "",
        "<html>",
        "null",
        "\"retryDelay\"",
        r#"{"error":"busy"}"#,
    ] {
        assert_eq!(
            Hint::default().with_retry_info(body.as_bytes()),
            Hint::default()
        );
    }
}

#[test]
fn should_retry() {
    for (value, expected) in [
        ("true", Some(true)),
        ("True", Some(true)),
        ("false", Some(false)),
        ("1", None),
        ("", None),
    ] {
        assert_eq!(read(&[("x-should-retry", value)]).should_retry, expected);
    }
    assert_eq!(read(&[]), Hint::default());
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[0-9.:hmsdunTZ+-]{0,24}".prop_map(String::into_bytes),
        Just(b"0".to_vec()),
        Just(b"rejected".to_vec()),
    ]
}

proptest! {
    #[test]
    fn nothing_panics_and_every_wait_is_bounded(
        values in proptest::collection::vec((0..NAMES.len(), value()), 0..8),
        refused in any::<bool>(),
        body in proptest::collection::vec(any::<u8>(), 0..60),
        since in 0..u64::MAX / 4,
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since)).unwrap_or(SystemTime::UNIX_EPOCH);
        let status = if refused { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
        let hint = Hint::of(&Answer { status, headers: &map, body: &body, now });
        if !refused {
            prop_assert_eq!(hint, Hint::read(&map, now));
        }
        prop_assert_eq!(hint.with_retry_info(&body).should_retry, hint.should_retry);
        prop_assert_eq!(hint.after.is_some(), hint.source.is_some());
        prop_assert!(hint.after.is_none_or(|after| !after.is_zero() && after <= MAX_WAIT));
    }

    #[test]
    fn numbers_are_read_as_such(seconds in any::<f64>()) {
        let expected = Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|wait| !wait.is_zero() && *wait <= MAX_BELIEVED_WAIT)
            .map(|wait| wait.min(MAX_WAIT));
        prop_assert_eq!(read(&[("retry-after", &format!("{seconds}"))]).after, expected);
    }
}

#[test]
fn the_wait_in_the_body_is_read_wherever_google_answers() {
    const ERROR: &str = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}"#;
    let expected = (seconds(36.0), Some(HintSource::RetryInfo));
    for body in [ERROR.to_owned(), format!("[{ERROR}]")] {
        // Gemini's endpoint of OpenAI's shape wraps its error in an array.
        let failure = OpenAiChat.classify(&Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
            now: SystemTime::UNIX_EPOCH,
        });
        let hint = failure.hint;
        assert_eq!((hint.after, hint.source), expected, "{body}");
    }
    let dialects: [&dyn Dialect; 4] = [&Gemini, &VertexGemini, &VertexAnthropic, &OpenAiChat];
    for dialect in dialects {
        let event = Event {
            data: ERROR.as_bytes(),
            ..Event::default()
        };
        let in_stream = dialect.read_event(&event).error;
        let in_answer = dialect.read_answer(ERROR.as_bytes()).error;
        for failure in [in_stream, in_answer] {
            let hint = failure.unwrap().hint;
            let name = dialect.name();
            assert_eq!((hint.after, hint.source), expected, "{name}");
        }
    }
}
