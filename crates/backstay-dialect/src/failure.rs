//! What a failed attempt means, and what is to be done about it by default.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::Hint;
use crate::event::safe_token;

/// What a failed answer means.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub class: FailureClass,
    /// The provider's code: at most [`MAX_CODE_BYTES`] bytes of `A-Z a-z 0-9 _ . -`. Never text
    /// meant for people.
    pub code: Option<Box<str>>,
    /// What the server asks for.
    pub hint: Hint,
    /// Where it differs from what the class says.
    cooling: Option<Cooling>,
    least_wait: Duration,
}

/// The kinds of failure that call for different actions.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// Too many requests or tokens for now.
    RateLimit,
    /// The account's money or allowance is used up; waiting does not help.
    Quota,
    /// The server has no capacity for now.
    Overloaded,
    /// The server failed.
    Server,
    /// The server gave up waiting, for us or for somebody behind it.
    Timeout,
    /// The credential is missing, wrong, or not entitled.
    Authentication,
    /// The target has no such model or path.
    ModelGone,
    /// The request is too large for this model; a larger one might take it.
    ContextTooLong,
    /// The provider's policy refuses the request.
    ContentPolicy,
    /// The request is wrong, and would be wrong anywhere.
    Caller,
    /// Nothing that is known: a redirect say, or a 501, which asking again does not change.
    Unknown,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Try the same target again, after a wait.
    Retry,
    /// Go to the next target now.
    Skip,
    /// Give up: the failure is the caller's to mend.
    Stop,
}

/// For how long a target is passed over after a failure, while another one is untried. How long that
/// is in seconds is for the layer to say; a server's own word goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cooling {
    /// Not at all: the failure says nothing about the target, or only that one attempt went wrong.
    None,
    /// Until a load is likely to have passed.
    Short,
    /// Until somebody has paid, changed a key or a configuration.
    Long,
}

/// The least that a wait of one's own choosing should be after a provider said in its own words that it is
/// overloaded (OpenAI's 503: "slow down"): 5 seconds.
pub const OVERLOADED_LEAST_WAIT: Duration = Duration::from_secs(5);

/// The most bytes that a provider's code may have.
pub const MAX_CODE_BYTES: usize = 64;

// === impl Failure ===

impl Failure {
    /// A failure with no code and no hint.
    #[must_use]
    pub fn new(class: FailureClass) -> Self {
        Self {
            class,
            code: None,
            hint: Hint::default(),
            cooling: None,
            least_wait: Duration::ZERO,
        }
    }

    /// Adds the provider's code. One that is too long, or has other characters than
    /// `A-Z a-z 0-9 _ . -`, is left out.
    #[must_use]
    pub fn with_code(mut self, code: &[u8]) -> Self {
        self.code = safe_token(code, MAX_CODE_BYTES).map(Into::into);
        self
    }

    /// Adds what the server asks for.
    #[must_use]
    pub fn with_hint(mut self, hint: Hint) -> Self {
        self.hint = hint;
        self
    }

    /// Says how long the target is to be passed over, where that is not what the class says.
    #[must_use]
    pub fn with_cooling(mut self, cooling: Cooling) -> Self {
        self.cooling = Some(cooling);
        self
    }

    /// Says the least that a wait of one's own choosing should be.
    #[must_use]
    pub fn with_least_wait(mut self, wait: Duration) -> Self {
        self.least_wait = wait;
        self
    }

    /// For how long the target should be passed over: what the provider is known to mean by it, else
    /// [`FailureClass::cooling`].
    #[must_use]
    pub fn cooling(&self) -> Cooling {
        self.cooling.unwrap_or(self.class.cooling())
    }

    /// The least that a wait before a retry of the same target should be, if the server did not say how
    /// long to wait. Zero for most failures.
    #[must_use]
    pub fn least_wait(&self) -> Duration {
        self.least_wait
    }
}

// === impl FailureClass ===

impl FailureClass {
    /// What a status means by itself (RFC 9110, section 15; 529 is Anthropic's and Cloudflare's
    /// "overloaded").
    ///
    /// A 404 is the caller's fault here; the dialects that carry a model say
    /// [`ModelGone`](Self::ModelGone).
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 | 403 => Self::Authentication,
            402 => Self::Quota,
            408 | 504 => Self::Timeout,
            // A conflict or a request sent too early is worth a second try as it is.
            409 | 425 => Self::Server,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::Caller,
            // The server will not learn it by being asked again.
            501 | 505 => Self::Unknown,
            500..=599 => Self::Server,
            _ => Self::Unknown,
        }
    }

    /// What to do about it by default.
    ///
    /// | class | action |
    /// |---|---|
    /// | `RateLimit`, `Overloaded`, `Server`, `Timeout` | [`Action::Retry`] |
    /// | `Quota`, `Authentication`, `ModelGone`, `Unknown` | [`Action::Skip`] |
    /// | `ContextTooLong`, `ContentPolicy`, `Caller` | [`Action::Stop`] |
    ///
    /// `Unknown` skips: nothing says that the same target would answer better a second time, nor
    /// that another would not.
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::RateLimit | Self::Overloaded | Self::Server | Self::Timeout => Action::Retry,
            Self::Quota | Self::Authentication | Self::ModelGone | Self::Unknown => Action::Skip,
            Self::ContextTooLong | Self::ContentPolicy | Self::Caller => Action::Stop,
        }
    }

    /// Whether only a rule of the user's may send the call elsewhere: to a larger window after
    /// [`ContextTooLong`](Self::ContextTooLong), to another policy after
    /// [`ContentPolicy`](Self::ContentPolicy). Without a rule [`action`](Self::action) stops. After
    /// [`Caller`](Self::Caller) no rule would help.
    #[must_use]
    pub fn only_by_rule(self) -> bool {
        matches!(self, Self::ContextTooLong | Self::ContentPolicy)
    }

    /// For how long the target should be passed over.
    ///
    /// | class | cooling |
    /// |---|---|
    /// | `RateLimit`, `Overloaded` | [`Cooling::Short`] |
    /// | `Quota`, `Authentication`, `ModelGone` | [`Cooling::Long`] |
    /// | all others | [`Cooling::None`] |
    ///
    /// The caller's faults never cool a target, and one error of a server does not either: errors that
    /// repeat are for the layer to count. An `Authentication` failure of the caller's own key, passed through,
    /// is the caller's to mend, and says nothing about the target.
    #[must_use]
    pub fn cooling(self) -> Cooling {
        match self {
            Self::RateLimit | Self::Overloaded => Cooling::Short,
            Self::Quota | Self::Authentication | Self::ModelGone => Cooling::Long,
            Self::Server
            | Self::Timeout
            | Self::ContextTooLong
            | Self::ContentPolicy
            | Self::Caller
            | Self::Unknown => Cooling::None,
        }
    }

    /// The name used in spans and in the trail, such as `rate_limit`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::Quota => "quota",
            Self::Overloaded => "overloaded",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Authentication => "authentication",
            Self::ModelGone => "model_gone",
            Self::ContextTooLong => "context_too_long",
            Self::ContentPolicy => "content_policy",
            Self::Caller => "caller",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Narrows what a status means by what the body told.
///
/// A body may say which fault of the caller's or the account's a 4xx is, and that the server is
/// busy. It never turns a 5xx into anybody else's fault: an outage would look like bad input.
pub(crate) fn narrow(
    status: StatusCode,
    base: FailureClass,
    told: Option<FailureClass>,
) -> FailureClass {
    use FailureClass::{Caller, Overloaded, Quota, RateLimit, Server, Timeout, Unknown};
    match told {
        Some(told @ (RateLimit | Overloaded | Timeout)) if status.is_server_error() => told,
        // One request alone is above the limit: it would be tomorrow too (Groq).
        Some(RateLimit) if status == StatusCode::PAYLOAD_TOO_LARGE => base,
        // No wait refills an account.
        Some(RateLimit) if base == Quota => base,
        Some(Server | Timeout | Caller | Unknown) => base,
        Some(told) if !status.is_server_error() => told,
        _ => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsafe_code_is_left_out() {
        let with = |code: &[u8]| Failure::new(FailureClass::Server).with_code(code).code;
        assert_eq!(with(b"server_error").as_deref(), Some("server_error"));
        assert!(with(&[b'a'; MAX_CODE_BYTES]).is_some());
        assert_eq!(with(&[b'a'; MAX_CODE_BYTES + 1]), None);
        assert_eq!(with(b"You said: hello"), None);
        assert_eq!(with(b""), None);
    }
}
