//! The headers in which callers tell how long they will wait.
//!
//! | header | form | source |
//! |---|---|---|
//! | `grpc-timeout` | up to 8 digits and a unit, `H M S m u n` | gRPC over HTTP/2 |
//! | `connect-timeout-ms` | up to 10 digits | Connect protocol |
//! | `x-envoy-expected-rq-timeout-ms` | milliseconds | Envoy |
//! | `request-timeout` | seconds | expired drafts, and in use |
//! | `x-stainless-timeout`, `x-stainless-read-timeout` | seconds between two reads | the OpenAI and Anthropic SDKs |
//!
//! The SDKs' two are no deadline: they bound each read, so they shorten `headers` and `idle`. All are only
//! ever earlier than what the configuration says.

use http::{HeaderMap, HeaderName};
use tokio::time::Duration;

/// What a caller told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How long it waits for the whole answer.
    pub(crate) whole: Option<Duration>,
    /// How long it waits for the next byte.
    pub(crate) read: Option<Duration>,
}

// === impl Told ===

impl Told {
    /// Reads these headers; what cannot be understood was not told.
    pub(crate) fn read(headers: &HeaderMap, believed: &[HeaderName]) -> Self {
        let mut told = Self::default();
        for name in believed {
            let Some(text) = headers.get(name).and_then(|value| value.to_str().ok()) else {
                continue;
            };
            let (slot, value) = match name.as_str() {
                "grpc-timeout" => (&mut told.whole, grpc(text)),
                "connect-timeout-ms" => (&mut told.whole, millis(text, 10)),
                "x-envoy-expected-rq-timeout-ms" => (&mut told.whole, millis(text, 15)),
                "request-timeout" => (&mut told.whole, seconds(text)),
                _ => (&mut told.read, seconds(text)),
            };
            if let Some(value) = value {
                *slot = Some(slot.map_or(value, |other| other.min(value)));
            }
        }
        told
    }
}

/// gRPC over HTTP/2: `Timeout -> TimeoutValue TimeoutUnit`, 1 to 8 digits.
fn grpc(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = digits(number, 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number.checked_mul(3600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn millis(text: &str, most: usize) -> Option<Duration> {
    digits(text, most).map(Duration::from_millis)
}

/// Whole or broken seconds.
fn seconds(text: &str) -> Option<Duration> {
    let sound = text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = sound.then(|| text.parse().ok())??;
    Duration::try_from_secs_f64(number).ok()
}

fn digits(text: &str, most: usize) -> Option<u64> {
    let sound = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 6] = [
        "grpc-timeout",
        "connect-timeout-ms",
        "x-envoy-expected-rq-timeout-ms",
        "request-timeout",
        "x-stainless-timeout",
        "x-stainless-read-timeout",
    ];

    fn told(headers: &[(&'static str, &str)]) -> Told {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Told::read(&map, &ALL.map(HeaderName::from_static))
    }

    #[test]
    fn each_header_has_its_own_form() {
        for (name, text, expected) in [
            ("grpc-timeout", "120m", Some(120)),
            ("grpc-timeout", "2S", Some(2000)),
            ("grpc-timeout", "123456789S", None),
            ("grpc-timeout", "S", None),
            ("grpc-timeout", "", None),
            ("grpc-timeout", "2é", None),
            ("grpc-timeout", "-2S", None),
            ("connect-timeout-ms", "1500", Some(1500)),
            ("connect-timeout-ms", "12345678901", None),
            ("x-envoy-expected-rq-timeout-ms", "120", Some(120)),
            ("request-timeout", "1", Some(1000)),
            ("request-timeout", "0.25", Some(250)),
            ("request-timeout", "inf", None),
            ("request-timeout", "1e3", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(told(&[(name, text)]).whole, expected, "{name}: {text}");
        }
    }

    #[test]
    fn an_sdks_read_timeout_is_no_deadline() {
        let told = told(&[
            ("x-stainless-read-timeout", "600"),
            ("x-stainless-timeout", "30.5"),
        ]);
        assert_eq!(told.whole, None);
        assert_eq!(told.read, Some(Duration::from_millis(30_500)));
    }

    #[test]
    fn of_several_the_earliest_counts_and_of_those_not_believed_none() {
        let told = told(&[("grpc-timeout", "3S"), ("request-timeout", "2")]);
        assert_eq!(told.whole, Some(Duration::from_secs(2)));
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", "1S".parse().unwrap());
        assert_eq!(Told::read(&headers, &[]), Told::default());
    }
}
