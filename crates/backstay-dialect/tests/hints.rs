//! The `Retry-After` family.

use std::time::{Duration, SystemTime};

use backstay_dialect::{Hint, HintSource, MAX_BELIEVED_WAIT, MAX_WAIT};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

const NAMES: [&str; 4] = [
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "retry-after",
    "x-should-retry",
];

/// 2024-01-01T00:00:00Z.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200)
}

fn read(headers: &[(&'static str, &str)]) -> Hint {
    let map: HeaderMap = headers
        .iter()
        .filter_map(|(name, value)| {
            Some((
                HeaderName::from_static(name),
                value.parse::<HeaderValue>().ok()?,
            ))
        })
        .collect();
    assert_eq!(map.len(), headers.len());
    Hint::read(&map, now())
}

#[test]
fn retry_after() {
    let seconds = |s: u64| Some(Duration::from_secs(s));
    for (value, after) in [
        ("20", seconds(20)),
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

proptest! {
    #[test]
    fn nothing_panics_and_every_wait_is_bounded(
        values in proptest::collection::vec((0..4_usize, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        since in 0..u64::MAX / 4,
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since)).unwrap_or(SystemTime::UNIX_EPOCH);
        let hint = Hint::read(&map, now);
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
