//! What a server asks for: whether to come back, and when.

mod limits;
mod retry_info;
mod value;

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::Answer;

/// What a server asks for. The default asks for nothing.
///
/// Reading one allocates nothing, and fails for no input: a value that cannot be meant is passed
/// over as if it were not there, and never hides a value that can.
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

/// What a wait was read from, the most trusted first.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HintSource {
    /// `retry-after-ms` (OpenAI, Azure): milliseconds, decimals allowed.
    RetryAfterMs,
    /// `x-ms-retry-after-ms` (Azure front ends): milliseconds.
    XMsRetryAfterMs,
    /// `Retry-After` (RFC 9110, section 10.2.3): seconds, decimals allowed, or a date.
    RetryAfter,
    /// `google.rpc.RetryInfo` in the body (Gemini, Vertex): seconds, as `"36s"` or `"0.5s"`.
    RetryInfo,
    /// `x-ratelimit-reset`, `x-ratelimit-reset-requests`, `x-ratelimit-reset-tokens` and their like
    /// (OpenAI, Azure, Groq, Cerebras, Cohere, OpenRouter).
    RateLimitReset,
    /// `anthropic-ratelimit-…-reset`.
    AnthropicReset,
}

/// A wait longer than this is shortened to it.
pub const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A wait longer than this is not believed: it is an epoch, a sentinel or a mistake.
pub const MAX_BELIEVED_WAIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

// === impl Hint ===

impl Hint {
    /// Reads the headers of any answer. `now` is what a date is measured from.
    ///
    /// The most trusted source wins:
    ///
    /// 1. `retry-after-ms`,
    /// 2. `x-ms-retry-after-ms`,
    /// 3. `Retry-After`,
    /// 4. `x-ratelimit-reset…`, in seconds, as a duration (`6m0s`), as an epoch in seconds or
    ///    milliseconds, or as a date (RFC 3339),
    /// 5. `anthropic-ratelimit-…-reset`, in the same forms.
    ///
    /// The last two come with every answer, good ones too, and tell when an allowance is full
    /// again. They count for an allowance that is used up: the header that says `remaining` in
    /// place of `reset` is `0`, or Anthropic's `status` is `rejected`. Of several such the longest
    /// counts, as each has to be refilled. See [`of`](Self::of) for answers with status 429.
    ///
    /// A value that is zero, negative, in the past, above [`MAX_BELIEVED_WAIT`] or not a number is
    /// passed over. Of a header that is there twice, the first value that is not passed over counts.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        Self::with_limits(headers, now, false)
    }

    /// Reads the headers of a failed answer: as [`read`](Self::read) does, and with status 429 also
    /// the resets of allowances that are not said to be used up.
    ///
    /// A request may need more tokens than remain, so a count above zero settles nothing. It does
    /// for requests, of which it takes one: with any left they are not what it was refused for. The
    /// same holds where Anthropic's `status` is `allowed`. Of the others the longest counts.
    #[must_use]
    pub fn of(answer: &Answer<'_>) -> Self {
        let refused = answer.status == StatusCode::TOO_MANY_REQUESTS;
        Self::with_limits(answer.headers, answer.now, refused)
    }

    /// Adds the wait that `google.rpc.RetryInfo` in the body asks for, unless a more trusted source
    /// was read. `body` is a prefix of the answer's body and may end anywhere.
    ///
    /// ```
    /// use std::time::Duration;
    /// use backstay_dialect::{Hint, HintSource};
    ///
    /// let body = br#"{"error":{"code":429,"details":[
    ///     {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}"#;
    /// let hint = Hint::default().with_retry_info(body);
    /// assert_eq!(hint.after, Some(Duration::from_secs(36)));
    /// assert_eq!(hint.source, Some(HintSource::RetryInfo));
    /// ```
    #[must_use]
    pub fn with_retry_info(self, body: &[u8]) -> Self {
        if self.source.is_some_and(|held| held < HintSource::RetryInfo) {
            return self;
        }
        match retry_info::read(body) {
            Some(after) => Self {
                after: Some(after),
                source: Some(HintSource::RetryInfo),
                ..self
            },
            None => self,
        }
    }

    fn with_limits(headers: &HeaderMap, now: SystemTime, refused: bool) -> Self {
        let found = None
            .or_else(|| {
                let after = believed(headers, &RETRY_AFTER_MS, value::millis)?;
                Some((after, HintSource::RetryAfterMs))
            })
            .or_else(|| {
                let after = believed(headers, &X_MS_RETRY_AFTER_MS, value::millis)?;
                Some((after, HintSource::XMsRetryAfterMs))
            })
            .or_else(|| {
                let after = believed(headers, &RETRY_AFTER, |text| value::retry_after(text, now))?;
                Some((after, HintSource::RetryAfter))
            })
            .or_else(|| limits::read(headers, now, refused));

        Self {
            should_retry: headers.get(X_SHOULD_RETRY).and_then(text).and_then(
                |value| match value {
                    v if v.eq_ignore_ascii_case("true") => Some(true),
                    v if v.eq_ignore_ascii_case("false") => Some(false),
                    _ => None,
                },
            ),
            after: found.map(|(after, _)| after),
            source: found.map(|(_, source)| source),
        }
    }
}

const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const X_MS_RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");

/// The first value of a header that can be meant.
fn believed(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&str) -> Option<Duration>,
) -> Option<Duration> {
    let mut values = headers.get_all(name).iter();
    values.find_map(|value| read(text(value)?))
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::trim)
}
