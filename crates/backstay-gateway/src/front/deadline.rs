//! What callers tell in headers of how long they will wait.
//!
//! [`DeadlineHeader`] has their forms. The SDKs' own two are no deadline: they bound each read, so they shorten
//! `headers` and `idle`. All are only ever earlier than what the configuration says.

use backstay::deadline::{DeadlineHeader, TimeForm};
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
        // Hardly any call tells something: to look at what is there costs less than to look for each.
        for (name, value) in headers {
            if !believed.contains(name) {
                continue;
            }
            let (slot, form) = match DeadlineHeader::of(name) {
                Some(header) => (&mut told.whole, header.form()),
                None => (&mut told.read, TimeForm::Seconds),
            };
            if let Some(value) = form.parse(value.as_bytes()) {
                *slot = Some(slot.map_or(value, |other| other.min(value)));
            }
        }
        told
    }
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
