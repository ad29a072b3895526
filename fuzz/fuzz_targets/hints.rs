//! What a server asks for, whatever its headers hold.

#![no_main]

use std::iter;
use std::time::{Duration, SystemTime};

use backstay_dialect::{Hint, HintSource, MAX_WAIT};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

/// The line of the input that each header's value is in. The line before them is the time, in
/// seconds since 1970; lines after them are further values of the last header.
const NAMES: [&str; 4] = [
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-should-retry",
    "retry-after",
];

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&byte| byte == b'\n');
    let now = lines.next().and_then(number).unwrap_or(0);
    // The widest time that headers can name is the year 9999; clocks may be off by more.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now % (1 << 40));
    let names = NAMES.into_iter().chain(iter::repeat("retry-after"));
    let mut headers = HeaderMap::new();
    for (name, line) in names.zip(lines).take(8) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            headers.append(name, value);
        }
    }

    let hint = Hint::read(&headers, now);
    assert_eq!(hint.after.is_some(), hint.source.is_some());
    if let Some(after) = hint.after {
        assert!(!after.is_zero() && after <= MAX_WAIT, "{after:?}");
    }
    if let Some(source) = hint.source {
        let name = match source {
            HintSource::RetryAfterMs => "retry-after-ms",
            HintSource::XMsRetryAfterMs => "x-ms-retry-after-ms",
            HintSource::RetryAfter => "retry-after",
            other => panic!("{other:?} is not known here"),
        };
        assert!(headers.contains_key(name));
    }
    let told = headers
        .get("x-should-retry")
        .map(|v| v.as_bytes().trim_ascii().to_ascii_lowercase());
    let expected = match told.as_deref() {
        Some(b"true") => Some(true),
        Some(b"false") => Some(false),
        _ => None,
    };
    assert_eq!(hint.should_retry, expected);
    plain_numbers(&headers, &hint);
});

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
