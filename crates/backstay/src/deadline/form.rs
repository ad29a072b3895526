//! How a header writes a duration.

use http::HeaderValue;
use tokio::time::Duration;

/// How a header writes a duration. Each is rounded down when it is written, so that nobody believes in more
/// time than there is, and read to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeForm {
    /// One to eight digits and a unit, `H M S m u n` (gRPC over HTTP/2, "Requests"). Written in the finest unit
    /// that needs no more than eight digits.
    Grpc,
    /// Milliseconds, one to ten digits, as the Connect protocol has them.
    Millis,
    /// Seconds, with a fraction where there is one. Written to the millisecond: `1.95`.
    Seconds,
    /// Seconds, for servers that read no fraction. Written as whole ones: `1` for 1.95 s. Read as
    /// [`Seconds`](Self::Seconds).
    WholeSeconds,
}

/// More digits of milliseconds or whole seconds are no time limit any more.
const MAX_DIGITS: usize = 10;
/// The largest number of that many digits.
const MAX_NUMBER: u128 = 9_999_999_999;
/// The digits that gRPC allows, and the largest number of that many.
const MAX_GRPC_DIGITS: usize = 8;
const MAX_GRPC_NUMBER: u128 = 99_999_999;
/// More digits of a fraction are no number that anybody writes. Nine of them count.
const MAX_FRACTION: usize = 20;
const NANO_DIGITS: usize = 9;

const SECOND: u128 = 1_000_000_000;

/// gRPC's units in nanoseconds, the finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', SECOND),
    (b'M', 60 * SECOND),
    (b'H', 3_600 * SECOND),
];

// === impl TimeForm ===

impl TimeForm {
    /// Reads a header's value; `None` for what is not exactly of this form, or absurdly long.
    ///
    /// ```
    /// use backstay::deadline::TimeForm;
    /// use tokio::time::Duration;
    ///
    /// assert_eq!(TimeForm::Grpc.parse(b"250m"), Some(Duration::from_millis(250)));
    /// assert_eq!(TimeForm::Seconds.parse(b"1.5"), Some(Duration::from_millis(1500)));
    /// assert_eq!(TimeForm::Seconds.parse(b"inf"), None);
    /// ```
    pub fn parse(self, value: &[u8]) -> Option<Duration> {
        match self {
            Self::Grpc => {
                let (unit, number) = value.split_last()?;
                let (_, nanos) = UNITS.iter().find(|(name, _)| name == unit)?;
                Some(duration(digits(number, MAX_GRPC_DIGITS)? * nanos))
            }
            Self::Millis => Some(duration(digits(value, MAX_DIGITS)? * 1_000_000)),
            Self::Seconds | Self::WholeSeconds => seconds(value),
        }
    }

    /// Writes a duration, rounded down. What has too many digits is written as the largest number that has not.
    ///
    /// ```
    /// use backstay::deadline::TimeForm;
    /// use tokio::time::Duration;
    ///
    /// let left = Duration::from_micros(1_950_700);
    /// assert_eq!(TimeForm::Grpc.format(left), "1950700u");
    /// assert_eq!(TimeForm::Millis.format(left), "1950");
    /// assert_eq!(TimeForm::Seconds.format(left), "1.95");
    /// assert_eq!(TimeForm::WholeSeconds.format(left), "1");
    /// ```
    pub fn format(self, left: Duration) -> HeaderValue {
        let text = match self {
            Self::Grpc => grpc(left.as_nanos()),
            Self::Millis => left.as_millis().min(MAX_NUMBER).to_string(),
            Self::Seconds => with_millis(left),
            Self::WholeSeconds => u128::from(left.as_secs()).min(MAX_NUMBER).to_string(),
        };
        // Digits, a point and a letter are a header's value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }

    /// The shortest time that it can write but zero, which some take for "no limit".
    pub const fn least(self) -> Duration {
        match self {
            Self::Grpc => Duration::from_nanos(1),
            Self::Millis | Self::Seconds => Duration::from_millis(1),
            Self::WholeSeconds => Duration::from_secs(1),
        }
    }
}

/// Digits, as many as are allowed, and nothing else.
fn digits(text: &[u8], most: usize) -> Option<u128> {
    if text.is_empty() || text.len() > most || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whole or broken seconds. No float: it would round, and up as often as down.
fn seconds(text: &[u8]) -> Option<Duration> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (text.get(..point)?, Some(text.get(point + 1..)?)),
        None => (text, None),
    };
    let mut nanos = digits(whole, MAX_DIGITS)? * SECOND;
    if let Some(fraction) = fraction {
        digits(fraction, MAX_FRACTION)?;
        let mut unit = SECOND;
        for digit in fraction.iter().take(NANO_DIGITS) {
            unit /= 10;
            nanos += u128::from(digit - b'0') * unit;
        }
    }
    Some(duration(nanos))
}

fn grpc(left: u128) -> String {
    let (unit, number) = UNITS
        .iter()
        .map(|(unit, nanos)| (*unit, left / nanos))
        .find(|(_, number)| *number <= MAX_GRPC_NUMBER)
        .unwrap_or((b'H', MAX_GRPC_NUMBER));
    format!("{number}{}", char::from(unit))
}

fn with_millis(left: Duration) -> String {
    let whole = u128::from(left.as_secs()).min(MAX_NUMBER);
    match left.subsec_millis() {
        0 => whole.to_string(),
        millis => format!("{whole}.{millis:03}")
            .trim_end_matches('0')
            .to_owned(),
    }
}

fn duration(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    // A remainder of a second fits.
    Duration::new(seconds, u32::try_from(nanos % SECOND).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [TimeForm; 4] = [
        TimeForm::Grpc,
        TimeForm::Millis,
        TimeForm::Seconds,
        TimeForm::WholeSeconds,
    ];

    #[test]
    fn each_form_is_read_exactly() {
        for (form, text, nanos) in [
            (TimeForm::Grpc, "1H", 3_600_000_000_000),
            (TimeForm::Grpc, "2M", 120_000_000_000),
            (TimeForm::Grpc, "3S", 3_000_000_000),
            (TimeForm::Grpc, "4m", 4_000_000),
            (TimeForm::Grpc, "5u", 5_000),
            (TimeForm::Grpc, "00000007n", 7),
            (TimeForm::Grpc, "0m", 0),
            (TimeForm::Millis, "1500", 1_500_000_000),
            (TimeForm::Millis, "9999999999", 9_999_999_999_000_000),
            (TimeForm::Seconds, "1", 1_000_000_000),
            (TimeForm::Seconds, "0.25", 250_000_000),
            (TimeForm::Seconds, "600.0", 600_000_000_000),
            // A float would make 9007199.254740994 of it, which is later.
            (
                TimeForm::Seconds,
                "9007199.254740993",
                9_007_199_254_740_993,
            ),
            (TimeForm::Seconds, "0.9999999999", 999_999_999),
        ] {
            let expected = Some(Duration::from_nanos(nanos));
            assert_eq!(form.parse(text.as_bytes()), expected, "{form:?}: {text}");
        }
    }

    #[test]
    fn what_is_absurd_or_of_another_form_is_not_read() {
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "-1m",
            "1 ",
            " 1",
            "1,2",
            "1, 2",
            "NaN",
            "nan",
            "inf",
            "-inf",
            "1e3",
            "1e3S",
            "0x10",
            "1s",
            "1x",
            "m",
            ".",
            ".5",
            "5.",
            "1.2.3",
            "1_000",
            "\u{661}",
            "\u{661}S",
            "12345678901",
            "123456789S",
            "99999999999999999999999999",
            "0.123456789012345678901",
        ] {
            for form in ALL {
                assert_eq!(form.parse(text.as_bytes()), None, "{form:?}: {text}");
            }
        }
        assert_eq!(TimeForm::Grpc.parse(b"1.5S"), None);
        assert_eq!(TimeForm::Millis.parse(b"1.5"), None);
        assert_eq!(TimeForm::Grpc.parse(b"2\xe9"), None);
        assert_eq!(TimeForm::Seconds.parse(b"\xff"), None);
    }

    #[test]
    fn the_least_is_what_is_written_last_before_zero() {
        for form in ALL {
            let least = form.least();
            assert_eq!(form.parse(form.format(least).as_bytes()), Some(least));
            let less = least - Duration::from_nanos(1);
            assert_eq!(
                form.parse(form.format(less).as_bytes()),
                Some(Duration::ZERO)
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            for form in ALL {
                if let Some(read) = form.parse(&bytes) {
                    prop_assert!(form.parse(form.format(read).as_bytes()).unwrap() <= read);
                }
            }
        }

        #[test]
        fn what_looks_like_a_number_is_never_read_as_later_than_it_says(
            text in "[0-9]{0,12}(\\.[0-9]{0,22})?[HMSmun]?"
        ) {
            for form in ALL {
                if let Some(read) = form.parse(text.as_bytes()) {
                    prop_assert!(at_most(read, &text, form), "{:?}: {} as {:?}", form, text, read);
                }
            }
        }

        #[test]
        fn what_is_well_formed_is_read_exactly(whole in 0..=9_999_999_999u64, nanos in 0..1_000_000_000u32) {
            let text = format!("{whole}.{nanos:09}");
            prop_assert_eq!(TimeForm::Seconds.parse(text.as_bytes()), Some(Duration::new(whole, nanos)));
            let text = whole.to_string();
            prop_assert_eq!(TimeForm::Millis.parse(text.as_bytes()), Some(Duration::from_millis(whole)));
            prop_assert_eq!(TimeForm::Seconds.parse(text.as_bytes()), Some(Duration::from_secs(whole)));
        }

        #[test]
        fn what_is_written_is_read_back_and_never_longer(seconds: u64, nanos in 0..1_000_000_000u32) {
            let left = Duration::new(seconds, nanos);
            for (form, unit) in [
                (TimeForm::Millis, Duration::from_millis(1)),
                (TimeForm::Seconds, Duration::from_millis(1)),
                (TimeForm::WholeSeconds, Duration::from_secs(1)),
            ] {
                let read = form.parse(form.format(left).as_bytes()).unwrap();
                prop_assert!(read <= left);
                if left.as_millis() <= MAX_NUMBER {
                    prop_assert!(left - read < unit, "{:?}: {:?} as {:?}", form, left, read);
                }
            }
            let value = TimeForm::Grpc.format(left);
            prop_assert!(value.len() <= 9);
            let read = TimeForm::Grpc.parse(value.as_bytes()).unwrap();
            prop_assert!(read <= left);
            if seconds < 99_999_999 * 3_600 {
                let lost = left - read;
                prop_assert!(lost.as_secs_f64() <= left.as_secs_f64() / 1e5, "{left:?} {read:?}");
            }
        }
    }

    /// Whether a duration is no longer than what the text says, by the digits alone.
    fn at_most(read: Duration, text: &str, form: TimeForm) -> bool {
        let (number, unit) = match (form, text.chars().last()) {
            (TimeForm::Grpc, Some(unit)) => (&text[..text.len() - 1], Some(unit)),
            _ => (text, None),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let scale = match (form, unit) {
            (TimeForm::Grpc, Some('H')) => 3_600_000_000_000,
            (TimeForm::Grpc, Some('M')) => 60_000_000_000,
            (TimeForm::Grpc, Some('m')) | (TimeForm::Millis, _) => 1_000_000,
            (TimeForm::Grpc, Some('u')) => 1_000,
            (TimeForm::Grpc, Some('n')) => 1,
            _ => 1_000_000_000,
        };
        // What is smaller than a nanosecond of a second cannot make a duration of nanoseconds longer.
        let fraction: u128 = format!("{fraction:0<9}")[..9].parse().unwrap();
        let said = whole.parse::<u128>().unwrap() * scale + fraction * scale / 1_000_000_000;
        read.as_nanos() <= said
    }
}
