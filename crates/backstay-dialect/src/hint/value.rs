//! The forms in which a wait is written.

use std::time::{Duration, SystemTime};

use super::{MAX_BELIEVED_WAIT, MAX_WAIT};

/// Milliseconds, decimals allowed.
pub(super) fn millis(text: &str) -> Option<Duration> {
    wait(text.parse::<f64>().ok()? / 1000.0)
}

/// Seconds, decimals allowed, or a date in one of the three forms of HTTP.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return wait(seconds);
    }
    until(httpdate::parse_http_date(text).ok()?, now)
}

/// When an allowance is full again: seconds, an epoch, a duration as Go writes it, or a date (RFC 3339).
pub(super) fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        return if number < MAX_BELIEVED_WAIT.as_secs_f64() {
            wait(number)
        } else {
            until(epoch(number)?, now)
        };
    }
    match go_duration(text) {
        Some(seconds) => wait(seconds),
        None => until(rfc3339(text)?, now),
    }
}

/// Decimal seconds and an `s`: how protobuf writes a duration in JSON.
pub(super) fn protobuf_duration(text: &str) -> Option<Duration> {
    wait(text.strip_suffix('s')?.parse().ok()?)
}

/// `nan`, infinities, negative and overflowing numbers are all refused by the conversion.
fn wait(seconds: f64) -> Option<Duration> {
    believed(Duration::try_from_secs_f64(seconds).ok()?)
}

fn until(date: SystemTime, now: SystemTime) -> Option<Duration> {
    believed(date.duration_since(now).ok()?)
}

fn believed(wait: Duration) -> Option<Duration> {
    (!wait.is_zero() && wait <= MAX_BELIEVED_WAIT).then(|| wait.min(MAX_WAIT))
}

/// Seconds since 1970, or milliseconds: as seconds, the least of these would be the year 5138.
fn epoch(number: f64) -> Option<SystemTime> {
    const FIRST_MILLIS: f64 = 1e11;
    let seconds = if number < FIRST_MILLIS {
        number
    } else {
        number / 1000.0
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// The seconds of a duration as Go prints it, `1h2m3.5s` or `12ms`, or with days.
fn go_duration(text: &str) -> Option<f64> {
    if text.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, after) = behind.split_at(letters);
        seconds += number.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = after;
    }
    Some(seconds)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        // The micro sign, and the Greek letter that looks the same.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    })
}

/// A date and time of RFC 3339, section 5.6; fractions below a nanosecond are cut.
fn rfc3339(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let (date_time, rest) = bytes.split_at_checked(19)?;
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T' | b't' | b' ',
        h0,
        h1,
        b':',
        i0,
        i1,
        b':',
        s0,
        s1,
    ] = *date_time
    else {
        return None;
    };
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(i0, i1)?, two(s0, s1)?);
    // Second 60 is a leap second.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_since_1970(year, month, day)?;

    let (nanos, zone) = fraction(rest)?;
    let offset_minutes = match *zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            if sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let seconds = days * 86400 + hour * 3600 + (minute - offset_minutes) * 60 + second;
    // A date before 1970 is past.
    let since_1970 = Duration::new(u64::try_from(seconds).ok()?, nanos);
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
}

/// The nanoseconds of a fraction, if there is one, and what is behind it.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(behind) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let digits = behind.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, zone) = behind.split_at(digits);
    let known = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanos = known.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    (!digits.is_empty()).then_some((nanos, zone))
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > longest {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of one.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (month * 153 + 2) / 5;
    /// From March 1 of the year 0.
    const EPOCH: i64 = 719_468;
    Some(before_year + before_month + day - 1 - EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_duration_is_read_as_go_writes_it() {
        for (text, seconds) in [
            ("12ms", Some(0.012)),
            ("6s", Some(6.0)),
            ("6m0s", Some(360.0)),
            ("1h2m3.5s", Some(3723.5)),
            ("500\u{b5}s", Some(0.0005)),
            ("0s", Some(0.0)),
            ("1d2h", Some(93600.0)),
            ("", None),
            ("s", None),
            ("6", None),
            ("6x", None),
            ("-6s", None),
            ("6s6", None),
            (".s", None),
            ("1..5s", None),
            ("6 s", None),
        ] {
            assert_eq!(go_duration(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_date_is_read_as_rfc_3339_writes_it() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000)),
            ("2024-01-01t00:00:30z", Some(1_704_067_230)),
            ("2024-01-01 00:00:30Z", Some(1_704_067_230)),
            ("2024-01-01T01:00:30+01:00", Some(1_704_067_230)),
            ("2023-12-31T18:30:30-05:30", Some(1_704_067_230)),
            ("9999-12-31T23:59:60Z", Some(253_402_300_800)),
            ("1969-12-31T23:59:59Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-00-01T00:00:00Z", None),
            ("2024-01-00T00:00:00Z", None),
            ("2024-04-31T00:00:00Z", None),
            ("2024-01-01T24:00:00Z", None),
            ("2024-01-01T00:60:00Z", None),
            ("2024-01-01T00:00:61Z", None),
            ("2024-01-01T00:00:30", None),
            ("2024-01-01T00:00:30.Z", None),
            ("2024-01-01T00:00:30+1:00", None),
            ("2024-01-01T00:00:30+24:00", None),
            ("2024-01-01", None),
            ("24-01-01T00:00:30Z", None),
            ("\u{661}\u{662}24-01-01T00:00:3Z", None),
        ] {
            assert_eq!(rfc3339(text), seconds.map(at), "{text}");
        }
        let fraction = rfc3339("1970-01-01T00:00:00.25Z");
        assert_eq!(fraction, Some(at(0) + Duration::from_millis(250)));
        let long = rfc3339("1970-01-01T00:00:00.1234567891234Z");
        assert_eq!(long, Some(at(0) + Duration::from_nanos(123_456_789)));
    }

    proptest! {
        /// `httpdate` prints the same moment in its own form.
        #[test]
        fn a_date_is_the_moment_that_another_reader_takes_it_for(seconds in 0..253_402_300_800_u64) {
            let printed = httpdate::fmt_http_date(at(seconds));
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = months.find(&printed[8..11]).unwrap_or(99) / 3 + 1;
            let text = format!("{}-{month:02}-{}T{}Z", &printed[12..16], &printed[5..7], &printed[17..25]);
            prop_assert_eq!(rfc3339(&text), Some(at(seconds)));
        }

        #[test]
        fn nothing_panics(text in "[0-9a-zA-Z.:+µ -]{0,32}", date in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})") {
            for text in [text, date] {
                let found = reset(&text, at(1_704_067_200)).or_else(|| protobuf_duration(&text));
                prop_assert!(found.is_none_or(|wait| !wait.is_zero() && wait <= MAX_WAIT));
            }
        }
    }
}
