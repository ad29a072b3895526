//! The trail: the record of every attempt of a call.
//!
//! A [`Trail`] is in the extensions of each response that a backstay layer returns, in each
//! [`Error`](crate::Error), and in what a hook is given. It is live: while the body of the answer is
//! being read, [`Trail::attempts`] shows how far it has come.
//!
//! ```
//! use backstay::Trail;
//!
//! fn served_by(response: &http::Response<()>) -> Option<String> {
//!     let trail = response.extensions().get::<Trail>()?;
//!     trail.attempts().last().map(|attempt| attempt.target.to_string())
//! }
//! # assert_eq!(served_by(&http::Response::new(())), None);
//! ```
//!
//! All times are durations since the call began. No prompt, answer or credential is ever in a trail;
//! a provider's code, an id and a status are.

mod attempt;

pub use self::attempt::{Attempt, Next, Note, Outcome, PassedOver, Reason, Wait, WaitReason};

use crate::call::{Call, Labels, Phase};
use std::{fmt, sync::Arc};
use tokio::time::{Duration, Instant};

/// The record of every attempt of a call, readable while the call goes on.
#[derive(Clone)]
pub struct Trail(Call);

/// What the record keeps. The first attempt has a place of its own, because most calls have no other.
#[derive(Default)]
pub(crate) struct TrailState {
    first: Option<Attempt>,
    more: Vec<Attempt>,
    passed_over: Vec<PassedOver>,
}

// === impl Trail ===

impl Trail {
    pub(crate) fn new(call: Call) -> Self {
        Self(call)
    }

    pub(crate) fn call(&self) -> &Call {
        &self.0
    }

    /// The attempts so far, in order.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.attempts()
    }

    /// How many attempts there were so far, and the target of the last one: what
    /// [`attempts`](Self::attempts) tells too, without copying all of them.
    pub fn last_target(&self) -> Option<(u32, Arc<str>)> {
        self.0.with_state(|state| {
            let last = state.trail.last()?;
            Some((last.number, last.target.clone()))
        })
    }

    /// Targets that were passed over, in order, and why.
    pub fn passed_over(&self) -> Vec<PassedOver> {
        self.0.with_state(|state| state.trail.passed_over.clone())
    }

    /// Whether no target was tried or passed over.
    pub(crate) fn is_empty(&self) -> bool {
        self.attempts().is_empty() && self.passed_over().is_empty()
    }

    /// When the call began.
    pub fn started(&self) -> Instant {
        self.0.started()
    }

    /// How long the call took, once it has ended.
    pub fn ended(&self) -> Option<Duration> {
        self.0.ended()
    }

    /// Where the call is, or was when it ended.
    pub fn phase(&self) -> Phase {
        self.0.phase()
    }

    /// The labels of the call.
    pub fn labels(&self) -> Labels {
        self.0.labels()
    }

    /// The id that the provider gave the answer, when one was seen.
    pub fn response_id(&self) -> Option<Box<str>> {
        self.0.response_id()
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail")
            .field("attempts", &self.attempts())
            .field("passed_over", &self.passed_over())
            .field("ended", &self.ended())
            .finish()
    }
}

/// One line for each attempt and each target that was passed over.
impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = 0;
        for attempt in self.attempts() {
            if lines > 0 {
                writeln!(f)?;
            }
            write!(f, "{attempt}")?;
            lines += 1;
        }
        for passed in self.passed_over() {
            if lines > 0 {
                writeln!(f)?;
            }
            write!(f, "{passed}")?;
            lines += 1;
        }
        Ok(())
    }
}

// === impl TrailState ===

impl TrailState {
    /// Begins the attempt of this number.
    pub(crate) fn begin(&mut self, number: u32, target: Arc<str>, model: Option<Arc<str>>) {
        if self.first.is_none() {
            self.first = Some(Attempt::new(number, target, model));
        } else {
            self.more.push(Attempt::new(number, target, model));
        }
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut Attempt> {
        self.more.last_mut().or(self.first.as_mut())
    }

    pub(crate) fn last(&self) -> Option<&Attempt> {
        self.more.last().or(self.first.as_ref())
    }

    pub(crate) fn pass_over(&mut self, passed: PassedOver) {
        self.passed_over.push(passed);
    }

    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.more)
    }
}
