//! What a server asks for, whatever its headers hold.

#![no_main]

use std::time::{Duration, SystemTime};

use backstay_dialect::{Answer, Hint, HintSource, MAX_WAIT};
use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;

/// The line of the input that each header's value is in. The line before them is the time, in
/// seconds since 1970; what is behind them is the body.
const NAMES: [&str; 17] = [
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-should-retry",
    "retry-after",
    "retry-after",
    "x-ratelimit-reset",
    "x-ratelimit-remaining",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-unified-reset",
    "anthropic-ratelimit-unified-status",
];

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(NAMES.len() + 2, |&byte| byte == b'\n');
    let now = lines.next().and_then(number).unwrap_or(0);
    // The widest time that headers can name is the year 9999; clocks may be off by more.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now % (1 << 40));
    let mut headers = HeaderMap::new();
    for (name, line) in NAMES.into_iter().zip(&mut lines) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            headers.append(name, value);
        }
    }
    let body = lines.next().unwrap_or_default();

    let hint = Hint::read(&headers, now);
    assert_meant(&hint, &headers);
    plain_numbers(&headers, &hint);

    let answer = |status| Answer {
        status,
        headers: &headers,
        body,
        now,
    };
    assert_eq!(Hint::of(&answer(StatusCode::SERVICE_UNAVAILABLE)), hint);
    let refused = Hint::of(&answer(StatusCode::TOO_MANY_REQUESTS));
    assert_meant(&refused, &headers);
    // A 429 adds what is trusted least, or another of its kind, and takes nothing away.
    assert!(refused.source.is_some() || hint.source.is_none());
    if hint
        .source
        .is_some_and(|source| source < HintSource::RateLimitReset)
    {
        assert_eq!(refused, hint);
    }

    let with_body = refused.with_retry_info(body);
    if with_body != refused {
        assert_eq!(with_body.source, Some(HintSource::RetryInfo));
        assert!(
            refused
                .source
                .is_none_or(|source| source > HintSource::RetryInfo)
        );
        assert!(!body.is_empty());
        assert_bounded(&with_body);
    }
});

/// A wait is bounded, and read from a header that is there.
fn assert_meant(hint: &Hint, headers: &HeaderMap) {
    assert_bounded(hint);
    let there = |starts: &str| headers.keys().any(|name| name.as_str().starts_with(starts));
    let found = match hint.source {
        None => true,
        Some(HintSource::RetryAfterMs) => there("retry-after-ms"),
        Some(HintSource::XMsRetryAfterMs) => there("x-ms-retry-after-ms"),
        Some(HintSource::RetryAfter) => headers.contains_key("retry-after"),
        Some(HintSource::RateLimitReset) => there("x-ratelimit-reset"),
        Some(HintSource::AnthropicReset) => there("anthropic-ratelimit-"),
        Some(other) => panic!("{other:?} is not known here"),
    };
    assert!(found, "{hint:?}");
    let told = headers
        .get("x-should-retry")
        .map(|v| v.as_bytes().trim_ascii().to_ascii_lowercase());
    let expected = match told.as_deref() {
        Some(b"true") => Some(true),
        Some(b"false") => Some(false),
        _ => None,
    };
    assert_eq!(hint.should_retry, expected);
}

fn assert_bounded(hint: &Hint) {
    assert_eq!(hint.after.is_some(), hint.source.is_some());
    if let Some(after) = hint.after {
        assert!(!after.is_zero() && after <= MAX_WAIT, "{after:?}");
    }
}

/// A plain whole number is believed to the unit, and goes before what comes after it.
fn plain_numbers(headers: &HeaderMap, hint: &Hint) {
    let plain = |name, unit: u64, source| {
        let value = number(headers.get(name)?.as_bytes())?;
        let wait = Duration::from_millis(value.checked_mul(unit)?);
        (!wait.is_zero() && wait <= MAX_WAIT).then_some((wait, source))
    };
    let exact = plain("retry-after-ms", 1, HintSource::RetryAfterMs);
    let from_azure = plain("x-ms-retry-after-ms", 1, HintSource::XMsRetryAfterMs);
    let standard = plain("retry-after", 1000, HintSource::RetryAfter);
    let found = hint.after.zip(hint.source);
    if exact.is_some() {
        assert_eq!(found, exact);
    } else if from_azure.is_some() {
        assert!(found == from_azure || hint.source == Some(HintSource::RetryAfterMs));
    } else if standard.is_some() {
        assert!(found == standard || hint.source != Some(HintSource::RetryAfter));
        assert!(found.is_some());
    }
}

/// The number that the digits write; `None` if they are not only digits.
fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}
