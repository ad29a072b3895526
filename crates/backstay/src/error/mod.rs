//! The one error type that backstay puts into a box.
//!
//! Layers follow tower: their `Error` is [`BoxError`]. What backstay itself puts in there is an
//! [`Error`], and [`Error::find`] finds it at any depth of wrapping:
//!
//! ```
//! use backstay::{BoxError, Error, ErrorKind, timeout::Clock};
//!
//! fn was_slow(error: &BoxError) -> bool {
//!     match Error::find(&**error) {
//!         Some(error) => matches!(
//!             error.kind(),
//!             ErrorKind::Deadline | ErrorKind::Timeout(Clock::FirstToken)
//!         ),
//!         None => false,
//!     }
//! }
//! # let other: BoxError = "something else".into();
//! # assert!(!was_slow(&other));
//! ```
//!
//! `Display` tells a person what happened, to which target, in which phase, after how long, and what to
//! change, in one line. It never prints what an upstream sent, nor another error's text, which may quote it:
//! providers echo the input. Those bytes are reached by [`Error::upstream`] only. `{:#}` adds the trail, and
//! for an error that has left a [`Scope`](crate::Scope) the texts of its sources, which are the user's own.
//! No decision in backstay is made on an error's text.

mod build;
mod display;
mod kind;

pub use self::{
    build::BuildError,
    kind::{Cancellation, ErrorClass, ErrorKind, RequestProblem},
};

use crate::{
    call::{Call, Labels, Phase},
    cancel::Why,
    deadline::Deadline,
    timeout::Clock,
    trail::Trail,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{error::Error as StdError, fmt, sync::Arc};
use tokio::time::{Duration, Instant};

/// The error of tower's layers: anything in a box.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What ended a call or an attempt.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    call: Option<Call>,
    /// The scopes, tasks and groups that it has left, outermost first.
    scope: Option<Arc<str>>,
    labels: Labels,
    target: Option<Arc<str>>,
    phase: Option<Phase>,
    limit: Option<Duration>,
    elapsed: Option<Duration>,
    upstream: Option<Upstream>,
    source: Option<BoxError>,
}

/// An upstream's own answer, as far as it was read.
///
/// Its `Debug` prints the status and the length only.
#[derive(Clone)]
#[non_exhaustive]
pub struct Upstream {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to a bound. Providers echo the input here: think before logging it.
    pub body: Bytes,
    /// Whether `body` is all of it.
    pub complete: bool,
}

// === impl Error ===

impl Error {
    /// Finds backstay's error at any depth of `source()`.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// What happened.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether this is a cancellation and no failure. It stays true all the way up.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Cancelled(_))
    }

    /// Whether the deadline of the call passed.
    pub fn is_deadline(&self) -> bool {
        self.0.kind == ErrorKind::Deadline
    }

    /// Whether a task of a scope, a member of a group or an item of a batch panicked.
    pub fn is_panic(&self) -> bool {
        self.0.kind == ErrorKind::Panicked
    }

    /// Whether a clock of an attempt ran out.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout(_))
    }

    /// Every attempt of the call, where a call is known.
    pub fn trail(&self) -> Option<Trail> {
        self.0.call.as_ref().map(Call::trail)
    }

    /// The scopes, tasks and group members that it has left, outermost first: `answer > generate`.
    pub fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref()
    }

    /// The labels of the call, and of the scopes around.
    pub fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// The target of the attempt that failed.
    pub fn target(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// Where the call was.
    pub fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// The limit that was passed: the budget of a deadline, the length of a clock.
    pub fn limit(&self) -> Option<Duration> {
        self.0.limit
    }

    /// How long it took: of the call or scope for a deadline, of what the clock measures for a timeout.
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.elapsed
    }

    /// What the upstream answered, for [`ErrorKind::Status`].
    pub fn upstream(&self) -> Option<&Upstream> {
        self.0.upstream.as_ref()
    }

    /// The error of a `connect` clock that ran out: for connectors that enforce
    /// [`ConnectLimit`](crate::timeout::ConnectLimit).
    pub fn connect_timeout(limit: Duration, elapsed: Duration) -> Self {
        let mut error = Self::new(ErrorKind::Timeout(Clock::Connect));
        error.0.limit = Some(limit);
        error.0.elapsed = Some(elapsed);
        error.0.phase = Some(Phase::Headers);
        error
    }

    /// An error of the call that this trail is of: for adapters that find in an answer what the layers cannot
    /// see.
    pub fn in_call(trail: &Trail, kind: ErrorKind, source: impl Into<BoxError>) -> Self {
        Self::of(trail.call(), kind).with_source(source)
    }

    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            call: None,
            scope: None,
            labels: Labels::new(),
            target: None,
            phase: None,
            limit: None,
            elapsed: None,
            upstream: None,
            source: None,
        }))
    }

    /// An error of this call: with its trail, labels, phase and the target under way.
    pub(crate) fn of(call: &Call, kind: ErrorKind) -> Self {
        let mut error = Self::new(kind);
        error.0.phase = Some(call.phase());
        error.0.target = call.with_state(|state| {
            error.0.labels = state.labels.clone();
            state.trail.last().map(|attempt| attempt.target.clone())
        });
        error.0.call = Some(call.clone());
        error
    }

    pub(crate) fn deadline(call: &Call, deadline: Deadline, now: Instant) -> Self {
        let mut error = Self::of(call, ErrorKind::Deadline);
        error.0.limit = deadline.instant().map(|at| call.since_start(at));
        error.0.elapsed = Some(call.since_start(now));
        error
    }

    /// The time of a request to a server is over; there is no record of it.
    pub(crate) fn late(limit: Option<Duration>, elapsed: Duration, phase: Phase) -> Self {
        let mut error = Self::new(ErrorKind::Deadline).with_times(limit, elapsed);
        error.0.phase = Some(phase);
        error
    }

    pub(crate) fn timeout(call: &Call, clock: Clock, limit: Duration, elapsed: Duration) -> Self {
        let mut error = Self::of(call, ErrorKind::Timeout(clock));
        error.0.limit = Some(limit);
        error.0.elapsed = Some(elapsed);
        error
    }

    pub(crate) fn cancelled(call: &Call, why: Cancellation, now: Instant) -> Self {
        let mut error = Self::of(call, ErrorKind::Cancelled(why));
        error.0.elapsed = Some(call.since_start(now));
        error
    }

    /// The end of a scope or task, seen from inside; `None` for an end that is no error.
    pub(crate) fn cut_off(why: Why, name: &str, labels: &Labels, elapsed: Duration) -> Self {
        let mut error = Self::new(match why {
            Why::Deadline => ErrorKind::Deadline,
            Why::Token => ErrorKind::Cancelled(Cancellation::Token),
            Why::Dropped => ErrorKind::Cancelled(Cancellation::Dropped),
            Why::Shutdown => ErrorKind::Cancelled(Cancellation::Shutdown),
            Why::Complete | Why::Scope => ErrorKind::Cancelled(Cancellation::Scope),
            Why::Failed(kind) => kind.unwrap_or(ErrorKind::Failed),
        });
        error.0.scope = Some(name.into());
        error.0.labels = labels.clone();
        error.0.elapsed = Some(elapsed);
        error
    }

    /// An error as it leaves a scope, a task or a group. Backstay's own is told where it was; any other
    /// becomes the source of one that is of the same kind as what of backstay's it has inside.
    pub(crate) fn leaving(error: BoxError, name: &str, labels: &Labels, elapsed: Duration) -> Self {
        let mut error = match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::around(other, elapsed),
        };
        error.0.scope = Some(match &error.0.scope {
            Some(inner) => format!("{name} > {inner}").into(),
            None => name.into(),
        });
        error.0.labels.inherit(labels);
        error
    }

    fn around(other: BoxError, elapsed: Duration) -> Self {
        let mut error = match Self::find(&*other) {
            Some(Self(known)) => Self(Box::new(Inner {
                kind: known.kind,
                call: known.call.clone(),
                scope: known.scope.clone(),
                labels: known.labels.clone(),
                target: known.target.clone(),
                phase: known.phase,
                limit: known.limit,
                elapsed: known.elapsed,
                upstream: known.upstream.clone(),
                source: None,
            })),
            None => Self::new(ErrorKind::Failed),
        };
        error.0.elapsed.get_or_insert(elapsed);
        error.with_source(other)
    }

    /// The one line, for who prints the sources too.
    pub(crate) fn line(&self) -> impl fmt::Display {
        display::Line(self)
    }

    /// An error of a connector or client, told with the trail of the call that met it. One that has a trail
    /// already stays as it is.
    pub(crate) fn met_by(call: &Call, error: BoxError) -> BoxError {
        let told = match Self::find(&*error) {
            Some(known) if known.0.call.is_some() => return error,
            Some(known) => {
                let mut told = Self::of(call, known.kind());
                told.0.limit = known.limit();
                told.0.elapsed = known.elapsed();
                told
            }
            None => Self::of(call, ErrorKind::Transport),
        };
        told.with_source(error).into()
    }

    /// What happened, without where, how long and what to do.
    pub(crate) fn what(&self) -> impl fmt::Display {
        display::What(self)
    }

    pub(crate) fn with_limit(mut self, limit: Option<Duration>) -> Self {
        self.0.limit = limit;
        self
    }

    /// Nothing of the call was sent, and there is no record of it.
    pub(crate) fn draining(labels: Labels) -> Self {
        let mut error = Self::new(ErrorKind::Draining);
        error.0.labels = labels;
        error
    }

    /// When all targets failed it is the first one's answer that is returned, and not that of the last
    /// attempt.
    pub(crate) fn at_target_that_answered(mut self, status: StatusCode) -> Self {
        if let Some(trail) = self.trail() {
            let attempts = trail.attempts();
            let first = attempts.first().map(|attempt| attempt.target.clone());
            let answered = attempts.iter().any(|attempt| {
                Some(&attempt.target) == first.as_ref() && attempt.status == Some(status)
            });
            if answered {
                self.0.target = first;
            }
            self.0.phase = None;
        }
        self
    }

    pub(crate) fn with_times(mut self, limit: Option<Duration>, elapsed: Duration) -> Self {
        self.0.limit = limit;
        self.0.elapsed = Some(elapsed);
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_upstream(mut self, upstream: Upstream) -> Self {
        self.0.upstream = Some(upstream);
        self
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("scope", &self.0.scope)
            .field("target", &self.0.target)
            .field("phase", &self.0.phase)
            .field("limit", &self.0.limit)
            .field("elapsed", &self.0.elapsed)
            .field("labels", &self.0.labels)
            .field("upstream", &self.0.upstream)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, body: Bytes, complete: bool) -> Self {
        Self {
            status,
            headers,
            body,
            complete,
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}
