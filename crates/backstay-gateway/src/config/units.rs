//! Durations and sizes as people write them.

use serde::{Deserialize, Deserializer, de};
use tokio::time::Duration;

/// `"250ms"`, `"30s"`, `"10m"`, `"2h"`, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A number of bytes, or `"64KiB"`, `"32MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

// === impl Span ===

impl Span {
    fn parse(text: &str) -> Option<Duration> {
        let text = text.trim();
        if text == "never" {
            return Some(Duration::MAX);
        }
        let digits = text.len()
            - text
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
                .len();
        let (number, unit) = text.split_at_checked(digits)?;
        let number: f64 = number.parse().ok()?;
        let seconds = match unit.trim() {
            "ms" => number / 1000.0,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3600.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "`{text}` is no duration: write \"250ms\", \"30s\", \"10m\", \"2h\" or \"never\""
            ))
        })
    }
}

// === impl Size ===

impl Size {
    fn parse(text: &str) -> Option<usize> {
        let text = text.trim();
        let (number, factor) = match text {
            _ if text.ends_with("KiB") => (text.strip_suffix("KiB")?, 1024),
            _ if text.ends_with("MiB") => (text.strip_suffix("MiB")?, 1024 * 1024),
            _ if text.ends_with("GiB") => (text.strip_suffix("GiB")?, 1024 * 1024 * 1024),
            _ => (text.strip_suffix('B').unwrap_or(text), 1),
        };
        number.trim().parse::<usize>().ok()?.checked_mul(factor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(usize),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => Self::parse(&text).map(Self).ok_or_else(|| {
                de::Error::custom(format!(
                    "`{text}` is no size: write a number of bytes, or \"64KiB\", \"32MiB\""
                ))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1.5 s", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(
                Span::parse(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        assert_eq!(Span::parse("never"), Some(Duration::MAX));
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1d",
            "1e9s",
            "99999999999999999999999h",
            "1.2.3s",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_may_have_units() {
        for (text, bytes) in [
            ("17", 17),
            ("64 KiB", 65_536),
            ("1MiB", 1_048_576),
            ("5B", 5),
        ] {
            assert_eq!(Size::parse(text), Some(bytes), "{text}");
        }
        for text in ["", "1 MB", "-1", "99999999999GiB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
