//! What the clocks are set to.

use super::Clock;
use crate::error::BuildError;
use tokio::time::Duration;

/// The clocks of streams and of unary calls.
///
/// As a layer's configuration, of a target, or in a request's extensions for that call; what an inner one
/// of these leaves unset, the outer one decides. `Duration::MAX` turns a clock off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Timeouts {
    stream: Clocks,
    unary: Clocks,
}

/// The clocks of one kind of call. Each is off unless set; `Duration::MAX` turns one off that an outer
/// configuration sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Clocks {
    connect: Option<Duration>,
    headers: Option<Duration>,
    first_token: Option<Duration>,
    first_content: Option<Duration>,
    idle: Option<Duration>,
    liveness: Option<Duration>,
    attempt: Option<Duration>,
}

/// The caller's word, in a request's extensions, on whether the answer will be a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaming(pub bool);

/// `connect`, streams and unary calls. The official SDKs use 5 s.
const RECOMMENDED_CONNECT: Duration = Duration::from_secs(5);
/// `headers` of a stream: providers send the head of a stream before they generate.
const RECOMMENDED_STREAM_HEADERS: Duration = Duration::from_secs(60);
/// `first_token`: reasoning models are silent for 100 s to 170 s.
const RECOMMENDED_FIRST_TOKEN: Duration = Duration::from_secs(180);
/// `idle`: a shorter one ends valid reasoning.
const RECOMMENDED_IDLE: Duration = Duration::from_secs(120);
/// `headers` of a unary call, which is the whole generation; the official SDKs use 600 s.
const RECOMMENDED_UNARY_HEADERS: Duration = Duration::from_secs(600);
/// `idle` of a unary call: once its head is there, so is the answer.
const RECOMMENDED_UNARY_IDLE: Duration = Duration::from_secs(60);

macro_rules! clocks {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        impl Clocks {
            /// No clock set.
            pub const fn new() -> Self {
                Self { $($name: None,)* }
            }

            $(
                $(#[$doc])*
                pub const fn $name(mut self, limit: Duration) -> Self {
                    self.$name = Some(limit);
                    self
                }
            )*

            /// These clocks; where one is unset, the one of `outer`.
            pub const fn or(self, outer: Self) -> Self {
                Self {
                    $($name: match self.$name {
                        Some(limit) => Some(limit),
                        None => outer.$name,
                    },)*
                }
            }

            fn check(&self) -> Result<(), BuildError> {
                $(
                    if self.$name.is_some_and(|limit| limit.is_zero()) {
                        return Err(BuildError::ZeroDuration { setting: stringify!($name) });
                    }
                )*
                Ok(())
            }
        }

        impl Timeouts {
            $(
                $(#[$doc])*
                ///
                /// For streams and unary calls alike.
                pub const fn $name(mut self, limit: Duration) -> Self {
                    self.stream.$name = Some(limit);
                    self.unary.$name = Some(limit);
                    self
                }
            )*
        }
    };
}

clocks! {
    /// Until a new connection can be used.
    connect,
    /// From the attempt's start to the response head.
    headers,
    /// From the attempt's start to the first semantic event.
    first_token,
    /// From the attempt's start to the first content that is not reasoning: for a model that reasons for
    /// ever. What a default commit has let through by then does not fall over; see
    /// [`Commit::AfterReasoning`](crate::fallback::Commit::AfterReasoning).
    first_content,
    /// Between semantic events.
    idle,
    /// Between any bytes.
    liveness,
    /// From the attempt's start to the end of its body.
    attempt,
}

// === impl Timeouts ===

impl Timeouts {
    /// No clock set.
    pub const fn new() -> Self {
        Self {
            stream: Clocks::new(),
            unary: Clocks::new(),
        }
    }

    /// Clocks that bite when a provider hangs and leave a slow one alone: `connect` 5 s; streams
    /// `headers` 60 s, `first_token` 180 s, `idle` 120 s; unary calls `headers` 600 s, `idle` 60 s.
    pub const fn recommended() -> Self {
        Self {
            stream: Clocks::new()
                .connect(RECOMMENDED_CONNECT)
                .headers(RECOMMENDED_STREAM_HEADERS)
                .first_token(RECOMMENDED_FIRST_TOKEN)
                .idle(RECOMMENDED_IDLE),
            unary: Clocks::new()
                .connect(RECOMMENDED_CONNECT)
                .headers(RECOMMENDED_UNARY_HEADERS)
                .idle(RECOMMENDED_UNARY_IDLE),
        }
    }

    /// Changes the clocks of streams only.
    pub fn for_streams(mut self, change: impl FnOnce(Clocks) -> Clocks) -> Self {
        self.stream = change(self.stream);
        self
    }

    /// Changes the clocks of unary calls only.
    pub fn for_unary(mut self, change: impl FnOnce(Clocks) -> Clocks) -> Self {
        self.unary = change(self.unary);
        self
    }

    /// These; where a clock is unset, the one of `outer`.
    pub const fn or(self, outer: Self) -> Self {
        Self {
            stream: self.stream.or(outer.stream),
            unary: self.unary.or(outer.unary),
        }
    }

    pub(crate) const fn clocks(&self, stream: bool) -> &Clocks {
        if stream { &self.stream } else { &self.unary }
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.stream.check()?;
        self.unary.check()
    }

    /// What merely looks wrong: a clock that a longer one outside of it can never let run.
    pub(crate) fn suspicious(&self) -> Option<(Clock, Duration, Clock, Duration)> {
        [&self.stream, &self.unary].into_iter().find_map(|clocks| {
            let attempt = clocks.attempt?;
            [
                (Clock::Headers, clocks.headers),
                (Clock::FirstToken, clocks.first_token),
                (Clock::FirstContent, clocks.first_content),
                (Clock::Idle, clocks.idle),
            ]
            .into_iter()
            .find_map(|(clock, limit)| {
                let limit = limit.filter(|limit| *limit != Duration::MAX && *limit > attempt)?;
                Some((clock, limit, Clock::Attempt, attempt))
            })
        })
    }
}

// === impl Clocks ===

impl Clocks {
    /// The limit of one clock, unless it is off.
    pub const fn limit(&self, clock: Clock) -> Option<Duration> {
        let limit = match clock {
            Clock::Connect => self.connect,
            Clock::Headers => self.headers,
            Clock::FirstToken => self.first_token,
            Clock::FirstContent => self.first_content,
            Clock::Idle => self.idle,
            Clock::Liveness => self.liveness,
            Clock::Attempt => self.attempt,
        };
        match limit {
            Some(limit) if limit.as_nanos() == Duration::MAX.as_nanos() => None,
            limit => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_inner_setting_wins_and_max_turns_off() {
        let outer = Timeouts::new().headers(SECOND).idle(SECOND);
        let inner = Timeouts::new()
            .headers(2 * SECOND)
            .for_streams(|clocks| clocks.idle(Duration::MAX));
        let both = inner.or(outer);
        assert_eq!(both.clocks(true).limit(Clock::Headers), Some(2 * SECOND));
        assert_eq!(both.clocks(true).limit(Clock::Idle), None);
        assert_eq!(both.clocks(false).limit(Clock::Idle), Some(SECOND));
        assert_eq!(both.clocks(false).limit(Clock::Attempt), None);
    }

    #[test]
    fn zero_is_refused_by_name() {
        let error = Timeouts::new().idle(Duration::ZERO).check().unwrap_err();
        assert_eq!(error, BuildError::ZeroDuration { setting: "idle" });
        assert!(Timeouts::recommended().check().is_ok());
    }

    #[test]
    fn a_clock_that_never_runs_is_suspicious() {
        let odd = Timeouts::new().idle(9 * SECOND).attempt(3 * SECOND);
        assert_eq!(
            odd.suspicious(),
            Some((Clock::Idle, 9 * SECOND, Clock::Attempt, 3 * SECOND))
        );
        assert_eq!(Timeouts::recommended().suspicious(), None);
    }
}
