//! Whom to believe what, and within which bounds.

use super::Late;
use crate::{
    deadline::{DeadlineHeader, ReadLimitHeader},
    error::BuildError,
    timeout::Timeouts,
};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header, request::Parts};
use std::{fmt, sync::Arc};
use tokio::time::Duration;

/// Whom to believe what, and within which bounds. See the [module](super).
#[derive(Clone)]
#[must_use]
pub struct Inbound {
    budget: Duration,
    at_least: Duration,
    at_most: Option<Duration>,
    read_limit_at_most: Duration,
    deadlines: Vec<DeadlineHeader>,
    read_limits: Vec<ReadLimitHeader>,
    believes: Option<Arc<Believes>>,
    late_answer: Option<Arc<LateAnswer>>,
}

type Believes = dyn Fn(&Parts) -> bool + Send + Sync;
type LateAnswer = dyn Fn(&Late) -> Response<Bytes> + Send + Sync;

/// What a request is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) budget: Duration,
    /// A header said so, or asked for more or less.
    pub(super) told: bool,
    pub(super) timeouts: Option<Timeouts>,
}

/// A timer tells nothing shorter.
const DEFAULT_AT_LEAST: Duration = Duration::from_millis(1);
/// What the official SDKs say if nobody tells them otherwise.
const DEFAULT_READ_LIMIT_AT_MOST: Duration = Duration::from_secs(600);
/// The JavaScript SDKs round down to whole seconds: zero may be anything below one.
const READ_LIMIT_AT_LEAST: Duration = Duration::from_secs(1);

const LATE: &str = "the time for this request is over\n";

// === impl Inbound ===

impl Inbound {
    /// Believes nothing: each request has this budget. `Duration::MAX` is never.
    pub fn new(budget: Duration) -> Self {
        Self {
            budget,
            at_least: DEFAULT_AT_LEAST,
            at_most: None,
            read_limit_at_most: DEFAULT_READ_LIMIT_AT_MOST,
            deadlines: Vec::new(),
            read_limits: Vec::new(),
            believes: None,
            late_answer: None,
        }
    }

    /// Believes this header as well; of several the earliest counts. What cannot be understood counts as not said.
    pub fn believe(mut self, header: DeadlineHeader) -> Self {
        self.deadlines.push(header);
        self
    }

    /// Believes this header as well, for the `headers` and `idle` clocks of the handler's calls.
    ///
    /// It takes the place of the clocks that a stack has for itself, also of shorter ones: the official SDKs send
    /// 600 s with every request. Say [how long](Self::read_limit_at_most) is long enough.
    pub fn believe_read_limit(mut self, header: ReadLimitHeader) -> Self {
        self.read_limits.push(header);
        self
    }

    /// Believes only requests for which this is true: who calls is in the extensions, where the server or an outer
    /// layer put the peer's address or identity, or in a header that no stranger can send. It says what of the
    /// listed headers counts, and lets nobody in or out.
    pub fn only_from(mut self, believes: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.believes = Some(Arc::new(believes));
        self
    }

    /// A caller who asks for less is given this. Default: 1 ms, also for zero.
    pub fn at_least(mut self, least: Duration) -> Self {
        self.at_least = least;
        self
    }

    /// A caller who asks for more is given this. Default: the budget of one who says nothing.
    pub fn at_most(mut self, most: Duration) -> Self {
        self.at_most = Some(most);
        self
    }

    /// A longer read limit counts as this, and one below 1 s as 1 s. Default: 600 s.
    pub fn read_limit_at_most(mut self, most: Duration) -> Self {
        self.read_limit_at_most = most;
        self
    }

    /// The answer when the budget is over before the head, in place of a 504 with one line of text. It is made in
    /// place, and must not wait for anything.
    pub fn late_answer(
        mut self,
        answer: impl Fn(&Late) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.late_answer = Some(Arc::new(answer));
        self
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        if self.budget.is_zero() {
            return Err(BuildError::ZeroDuration { setting: "budget" });
        }
        if self.most().is_zero() {
            return Err(BuildError::ZeroDuration { setting: "at_most" });
        }
        if self.at_least > self.most() {
            return Err(BuildError::Bounds {
                least: "at_least",
                most: "at_most",
            });
        }
        if self.read_limit_at_most < READ_LIMIT_AT_LEAST {
            return Err(BuildError::Bounds {
                least: "1 s",
                most: "read_limit_at_most",
            });
        }
        Ok(())
    }

    /// What a request is given.
    pub(super) fn grant(&self, request: &Parts) -> Grant {
        let lists_none = self.deadlines.is_empty() && self.read_limits.is_empty();
        let believed = !lists_none
            && self
                .believes
                .as_ref()
                .is_none_or(|believes| believes(request));
        let told = believed
            .then(|| self.deadline(&request.headers))
            .flatten()
            .map(|told| told.min(self.most()).max(self.at_least));
        let read = believed
            .then(|| self.read_limit(&request.headers))
            .flatten();
        Grant {
            budget: told.unwrap_or(self.budget),
            told: told.is_some(),
            timeouts: read.map(|limit| Timeouts::new().headers(limit).idle(limit)),
        }
    }

    pub(super) fn answer_late(&self, late: &Late) -> Response<Bytes> {
        if let Some(answer) = &self.late_answer {
            return answer(late);
        }
        let mut response = Response::new(Bytes::from_static(LATE.as_bytes()));
        *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }

    fn most(&self) -> Duration {
        self.at_most.unwrap_or(self.budget)
    }

    fn deadline(&self, headers: &HeaderMap) -> Option<Duration> {
        let said = self.deadlines.iter();
        said.filter_map(|header| header.read(headers)).min()
    }

    fn read_limit(&self, headers: &HeaderMap) -> Option<Duration> {
        let said = self.read_limits.iter();
        said.filter_map(|header| header.read(headers))
            .min()
            .map(|limit| limit.min(self.read_limit_at_most).max(READ_LIMIT_AT_LEAST))
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("budget", &self.budget)
            .field("at_least", &self.at_least)
            .field("at_most", &self.most())
            .field("deadlines", &self.deadlines)
            .field("read_limits", &self.read_limits)
            .field("only_from_some", &self.believes.is_some())
            .finish_non_exhaustive()
    }
}
