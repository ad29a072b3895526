//! What gRPC has in its headers beside the status.

use backstay::deadline::TimeForm;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Duration;

/// How long the caller waits (PROTOCOL-HTTP2.md, "Requests").
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How often the call was sent before (gRFC A6, "Exposed Retry Metadata").
pub(crate) const PREVIOUS_ATTEMPTS: HeaderName =
    HeaderName::from_static("grpc-previous-rpc-attempts");
/// When to come back, or not to (gRFC A6, "Pushback").
pub(crate) const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// The code of an answer.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Its details, as base64.
pub(crate) const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// What a server asks for before the call is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    /// After this long.
    After(Duration),
    /// Not at all: a negative number, or none.
    Never,
}

/// Reads a `grpc-timeout`: one to eight digits and a unit (`H`, `M`, `S`, `m`, `u`, `n`). `None` for anything
/// else, which is to be treated as if it were not there.
///
/// ```
/// use backstay_tonic::parse_grpc_timeout;
/// use tokio::time::Duration;
///
/// assert_eq!(parse_grpc_timeout(b"250m"), Some(Duration::from_millis(250)));
/// assert_eq!(parse_grpc_timeout(b"123456789m"), None);
/// ```
pub fn parse_grpc_timeout(value: &[u8]) -> Option<Duration> {
    TimeForm::Grpc.parse(value)
}

/// Writes a `grpc-timeout`: in the finest unit that needs no more than eight digits, rounded down, so that
/// the server never believes in more time than there is. More than 99,999,999 hours are as many.
///
/// ```
/// use backstay_tonic::format_grpc_timeout;
/// use tokio::time::Duration;
///
/// assert_eq!(format_grpc_timeout(Duration::from_millis(250)), "250000u");
/// assert_eq!(format_grpc_timeout(Duration::from_secs(20)), "20000000u");
/// ```
pub fn format_grpc_timeout(left: Duration) -> HeaderValue {
    TimeForm::Grpc.format(left)
}

// === impl Pushback ===

impl Pushback {
    /// A value that cannot be read means "never", as gRFC A6 has it.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(PUSHBACK)?;
        let millis = value
            .to_str()
            .ok()
            .and_then(|text| text.parse::<i32>().ok());
        Some(match millis.and_then(|millis| u64::try_from(millis).ok()) {
            Some(millis) => Self::After(Duration::from_millis(millis)),
            None => Self::Never,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_unit_is_read() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("4m", 4_000_000),
            ("5u", 5_000),
            ("6n", 6),
            ("00000007n", 7),
            ("0m", 0),
        ] {
            assert_eq!(
                parse_grpc_timeout(text.as_bytes()),
                Some(Duration::from_nanos(nanos)),
                "{text}"
            );
        }
        for bad in [
            "",
            "m",
            "1",
            "1s",
            "1x",
            "-1m",
            "+1m",
            " 1m",
            "1.5S",
            "123456789n",
        ] {
            assert_eq!(parse_grpc_timeout(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_pushback_that_is_negative_or_unreadable_is_never() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(PUSHBACK, HeaderValue::from_static(text));
            Pushback::of(&headers)
        };
        assert_eq!(of("0"), Some(Pushback::After(Duration::ZERO)));
        assert_eq!(of("150"), Some(Pushback::After(Duration::from_millis(150))));
        for never in ["-1", "", "soon", "1.5", "99999999999"] {
            assert_eq!(of(never), Some(Pushback::Never), "{never}");
        }
        assert_eq!(Pushback::of(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_never_longer(seconds: u64, nanos in 0..1_000_000_000u32) {
            let left = Duration::new(seconds, nanos);
            let value = format_grpc_timeout(left);
            prop_assert!(value.len() <= 9);
            let read = parse_grpc_timeout(value.as_bytes()).unwrap();
            prop_assert!(read <= left);
            // Eight digits are kept: no more than one part in ten million is lost.
            if seconds < 99_999_999 * 3_600 {
                let lost = left - read;
                prop_assert!(lost.as_secs_f64() <= left.as_secs_f64() / 1e5, "{left:?} {read:?}");
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            if let Some(read) = parse_grpc_timeout(&bytes) {
                prop_assert!(bytes.len() <= 9);
                let again = parse_grpc_timeout(format_grpc_timeout(read).as_bytes()).unwrap();
                prop_assert!(again <= read);
            }
        }
    }
}
