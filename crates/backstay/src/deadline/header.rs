//! The headers in which a caller tells how long it will wait.

use super::TimeForm;
use http::{HeaderMap, HeaderName};
use tokio::time::Duration;

/// A header in which a caller tells how long it will wait for the whole answer. No standard has one:
///
/// | | form | source |
/// |---|---|---|
/// | `grpc-timeout` | [`Grpc`](TimeForm::Grpc) | gRPC over HTTP/2, "Requests" |
/// | `connect-timeout-ms` | [`Millis`](TimeForm::Millis) | Connect protocol, "Unary-Request" |
/// | `x-envoy-expected-rq-timeout-ms` | [`Millis`](TimeForm::Millis) | Envoy writes it into what it sends on |
/// | `request-timeout` | [`Seconds`](TimeForm::Seconds) | drafts that expired (2010, 2011), and in use |
///
/// Each is relative, so that clocks need not agree, and counts from its arrival: what the way there took is
/// not in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeadlineHeader {
    name: HeaderName,
    form: TimeForm,
}

/// A header in which an SDK tells how long it waits for the next byte: `x-stainless-timeout` and
/// `x-stainless-read-timeout` of the official OpenAI and Anthropic SDKs, in seconds.
///
/// It is no deadline: each byte restarts it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadLimitHeader(HeaderName);

// === impl DeadlineHeader ===

impl DeadlineHeader {
    /// `grpc-timeout`.
    pub const GRPC_TIMEOUT: Self =
        Self::new(HeaderName::from_static("grpc-timeout"), TimeForm::Grpc);
    /// `connect-timeout-ms`.
    pub const CONNECT_TIMEOUT_MS: Self = Self::new(
        HeaderName::from_static("connect-timeout-ms"),
        TimeForm::Millis,
    );
    /// `x-envoy-expected-rq-timeout-ms`.
    pub const ENVOY_EXPECTED_RQ_TIMEOUT_MS: Self = Self::new(
        HeaderName::from_static("x-envoy-expected-rq-timeout-ms"),
        TimeForm::Millis,
    );
    /// `request-timeout`.
    pub const REQUEST_TIMEOUT: Self = Self::new(
        HeaderName::from_static("request-timeout"),
        TimeForm::Seconds,
    );
    /// All of these.
    pub const KNOWN: [Self; 4] = [
        Self::GRPC_TIMEOUT,
        Self::CONNECT_TIMEOUT_MS,
        Self::ENVOY_EXPECTED_RQ_TIMEOUT_MS,
        Self::REQUEST_TIMEOUT,
    ];

    /// One of another name, or in another form.
    pub const fn new(name: HeaderName, form: TimeForm) -> Self {
        Self { name, form }
    }

    /// The known one of this name.
    pub fn of(name: &HeaderName) -> Option<Self> {
        Self::KNOWN.into_iter().find(|known| known.name == *name)
    }

    /// Its name.
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// How it writes a duration.
    pub const fn form(&self) -> TimeForm {
        self.form
    }

    /// What these headers say: the shortest, if there are several of its name. What cannot be understood was
    /// not said.
    pub fn read(&self, headers: &HeaderMap) -> Option<Duration> {
        shortest(headers, &self.name, self.form)
    }
}

// === impl ReadLimitHeader ===

impl ReadLimitHeader {
    /// `x-stainless-timeout`. The JavaScript SDKs write whole seconds, rounded down.
    pub const STAINLESS_TIMEOUT: Self = Self(HeaderName::from_static("x-stainless-timeout"));
    /// `x-stainless-read-timeout`, of the Python SDKs.
    pub const STAINLESS_READ_TIMEOUT: Self =
        Self(HeaderName::from_static("x-stainless-read-timeout"));
    /// Both.
    pub const KNOWN: [Self; 2] = [Self::STAINLESS_TIMEOUT, Self::STAINLESS_READ_TIMEOUT];

    /// One of another name, in seconds.
    pub const fn new(name: HeaderName) -> Self {
        Self(name)
    }

    /// The known one of this name.
    pub fn of(name: &HeaderName) -> Option<Self> {
        Self::KNOWN.into_iter().find(|known| known.0 == *name)
    }

    /// Its name.
    pub const fn name(&self) -> &HeaderName {
        &self.0
    }

    /// What these headers say: the shortest, if there are several of its name. What cannot be understood was
    /// not said.
    pub fn read(&self, headers: &HeaderMap) -> Option<Duration> {
        shortest(headers, &self.0, TimeForm::Seconds)
    }
}

fn shortest(headers: &HeaderMap, name: &HeaderName, form: TimeForm) -> Option<Duration> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| form.parse(value.as_bytes()))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn of_several_values_the_shortest_counts_and_of_no_good_one_none() {
        let header = DeadlineHeader::REQUEST_TIMEOUT;
        let mut headers = HeaderMap::new();
        assert_eq!(header.read(&headers), None);
        headers.append(header.name(), HeaderValue::from_static("soon"));
        headers.append(header.name(), HeaderValue::from_bytes(b"\xff1").unwrap());
        assert_eq!(header.read(&headers), None);
        for value in ["3", "2.5", "-1", "60"] {
            headers.append(header.name(), HeaderValue::from_static(value));
        }
        assert_eq!(header.read(&headers), Some(Duration::from_millis(2500)));
    }

    #[test]
    fn each_known_one_is_found_by_its_name_and_no_sdks_limit_is_a_deadline() {
        for header in DeadlineHeader::KNOWN {
            assert_eq!(DeadlineHeader::of(header.name()), Some(header));
        }
        for header in ReadLimitHeader::KNOWN {
            assert_eq!(DeadlineHeader::of(header.name()), None);
            assert_eq!(ReadLimitHeader::of(header.name()), Some(header));
        }
    }
}
