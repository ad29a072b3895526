//! What a server asks for in its headers: whether to come back, and when.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// What a server asks for. The default asks for nothing.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use backstay_dialect::{Hint, HintSource};
/// use http::HeaderMap;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", "20".parse()?);
/// headers.insert("x-should-retry", "false".parse()?);
///
/// let hint = Hint::read(&headers, SystemTime::now());
/// assert_eq!(hint.should_retry, Some(false));
/// assert_eq!(hint.after, Some(Duration::from_secs(20)));
/// assert_eq!(hint.source, Some(HintSource::RetryAfter));
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// `x-should-retry`: overrides the status, both ways.
    pub should_retry: Option<bool>,
    /// How long to stay away from this target; never zero, never above [`MAX_WAIT`].
    pub after: Option<Duration>,
    /// Where `after` was read.
    pub source: Option<HintSource>,
}

/// The header that a wait was read from.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HintSource {
    /// `retry-after-ms` (OpenAI, Azure): milliseconds, decimals allowed.
    RetryAfterMs,
    /// `x-ms-retry-after-ms` (Azure front ends): milliseconds.
    XMsRetryAfterMs,
    /// `Retry-After` (RFC 9110, section 10.2.3): seconds, decimals allowed, or a date.
    RetryAfter,
}

/// A wait longer than this is shortened to it.
pub const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A wait longer than this is not believed: it is an epoch, a sentinel or a mistake.
pub const MAX_BELIEVED_WAIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

// === impl Hint ===

impl Hint {
    /// Reads the `Retry-After` family. `now` is what a date is measured from.
    ///
    /// The most exact source wins: `retry-after-ms`, then `x-ms-retry-after-ms`, then
    /// `Retry-After`. A value that is zero, negative, in the past, above [`MAX_BELIEVED_WAIT`] or
    /// not a number is passed over as if it were not there.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let millis = |name: &str| wait(text(name)?.parse::<f64>().ok()? / 1000.0);

        let found = None
            .or_else(|| Some((millis("retry-after-ms")?, HintSource::RetryAfterMs)))
            .or_else(|| Some((millis("x-ms-retry-after-ms")?, HintSource::XMsRetryAfterMs)))
            .or_else(|| {
                let value = text(RETRY_AFTER.as_str())?;
                Some((retry_after(value, now)?, HintSource::RetryAfter))
            });

        Self {
            should_retry: text("x-should-retry").and_then(|value| match value {
                v if v.eq_ignore_ascii_case("true") => Some(true),
                v if v.eq_ignore_ascii_case("false") => Some(false),
                _ => None,
            }),
            after: found.map(|(after, _)| after),
            source: found.map(|(_, source)| source),
        }
    }
}

fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<f64>() {
        return wait(seconds);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    believed(date.duration_since(now).ok()?)
}

/// `nan`, infinities, negative and overflowing numbers are all refused by the conversion.
fn wait(seconds: f64) -> Option<Duration> {
    believed(Duration::try_from_secs_f64(seconds).ok()?)
}

fn believed(wait: Duration) -> Option<Duration> {
    (!wait.is_zero() && wait <= MAX_BELIEVED_WAIT).then(|| wait.min(MAX_WAIT))
}
