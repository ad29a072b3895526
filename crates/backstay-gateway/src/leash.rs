//! The time that a connection, or an HTTP/2 stream, may take for what it is doing.
//!
//! hyper ends what is idle or slow only where it reads. An answer that its reader does not take stands in
//! hyper's buffer, and nobody polls the body any more, so that no clock of the stack can act: here the
//! connection itself is ended, shortly after the call's deadline. Over HTTP/2 each stream has a leash of
//! its own, and its siblings go on.

use crate::config::Limits;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};
use tokio::time::{Duration, Instant};

/// How long after a call's deadline its end may take to be written.
pub(crate) const CUT_AFTER_DEADLINE: Duration = Duration::from_millis(250);

/// The limit of what is under way, and what that is.
pub(crate) struct Leash {
    state: Mutex<State>,
    /// How often the task has been polled.
    turn: AtomicU32,
    head_time: Duration,
    idle_time: Duration,
}

struct State {
    stage: Stage,
    limit: Limit,
    http2: bool,
    calls: usize,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    Never,
    At(Instant),
    /// This much after the turn of the task in which it was set. Most are overtaken in that same turn, so
    /// that the clock need not be read for them.
    After(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has come since the last answer.
    Idle,
    /// A request's head is coming in.
    Head,
    /// A request is being answered.
    Call,
    /// It has been read to its end: whatever comes now is not part of it.
    Watched,
    /// The answer has ended, and not all of it has been written yet.
    Unwritten,
}

/// A request on its way through a connection. Dropped when its answer is over.
pub(crate) struct Held {
    connection: Arc<Leash>,
    stream: Option<Arc<Leash>>,
}

// === impl Leash ===

impl Leash {
    /// Of a connection that was just accepted: a request is due.
    pub(crate) fn connection(limits: &Limits) -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Head,
                limit: Limit::After(limits.head_time),
                http2: false,
                calls: 0,
            }),
            turn: AtomicU32::new(0),
            head_time: limits.head_time,
            idle_time: limits.idle_time,
        }
    }

    /// Of one stream of an HTTP/2 connection: no limit until its call has one.
    pub(crate) fn stream() -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Call,
                limit: Limit::Never,
                http2: true,
                calls: 0,
            }),
            turn: AtomicU32::new(0),
            head_time: Duration::MAX,
            idle_time: Duration::MAX,
        }
    }

    /// Which turn of its task this is: it changes when others may have run in between.
    pub(crate) fn turn(&self) -> u32 {
        self.turn.load(Relaxed)
    }

    /// The task is polled.
    pub(crate) fn next_turn(&self) {
        self.turn.fetch_add(1, Relaxed);
    }

    /// Bytes came in.
    pub(crate) fn bytes_came(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Idle && !state.http2 {
            state.stage = Stage::Head;
            state.limit = Limit::After(self.head_time);
        }
    }

    /// Whether the other side is to be watched for its going away.
    pub(crate) fn is_watched(&self) -> bool {
        self.state.lock().stage == Stage::Watched
    }

    fn request_came(&self, http2: bool) {
        let mut state = self.state.lock();
        state.http2 = http2;
        state.calls += 1;
        state.stage = Stage::Call;
        // Over HTTP/2 the streams have limits of their own, and this one is looked at again and again.
        state.limit = if http2 {
            Limit::After(self.idle_time)
        } else {
            Limit::Never
        };
    }

    fn request_over(&self) {
        let mut state = self.state.lock();
        state.calls = state.calls.saturating_sub(1);
        if state.calls > 0 {
            return;
        }
        if state.http2 {
            state.stage = Stage::Idle;
            state.limit = Limit::After(self.idle_time);
        } else {
            // The call's own limit stands until its reader has taken the answer.
            state.stage = Stage::Unwritten;
            if let Limit::Never = state.limit {
                state.limit = Limit::After(self.idle_time);
            }
        }
    }

    /// Nothing waits to be written.
    pub(crate) fn written(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Unwritten {
            state.stage = Stage::Idle;
            state.limit = Limit::After(self.idle_time);
        }
    }

    pub(crate) fn limit(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        if let Limit::After(time) = state.limit {
            state.limit = Limit::until(Instant::now().checked_add(time));
        }
        match state.limit {
            Limit::At(limit) => Some(limit),
            Limit::Never | Limit::After(_) => None,
        }
    }

    /// The limit has been reached. What is said about it, if anything can be.
    pub(crate) fn expired(&self, now: Instant) -> Expired {
        let mut state = self.state.lock();
        match state.limit {
            Limit::At(limit) if limit > now => Expired::NotYet,
            Limit::Never | Limit::After(_) => Expired::NotYet,
            Limit::At(_) if state.http2 && state.calls > 0 => {
                state.limit = Limit::After(self.idle_time);
                Expired::NotYet
            }
            Limit::At(_) if state.stage == Stage::Head && !state.http2 => Expired::SlowHead,
            Limit::At(_) => Expired::Cut,
        }
    }
}

// === impl Limit ===

impl Limit {
    fn until(at: Option<Instant>) -> Self {
        at.map_or(Self::Never, Self::At)
    }
}

/// What is to be done when the limit has been reached.
pub(crate) enum Expired {
    NotYet,
    SlowHead,
    Cut,
}

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Leash")
            .field("stage", &state.stage)
            .field("calls", &state.calls)
            .finish_non_exhaustive()
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn new(
        connection: Arc<Leash>,
        stream: Option<Arc<Leash>>,
        version: http::Version,
    ) -> Self {
        connection.request_came(version == http::Version::HTTP_2);
        Self { connection, stream }
    }

    /// The whole answer must be out by then, and a little.
    pub(crate) fn until(&self, deadline: Option<Instant>) {
        let limit = Limit::until(deadline.and_then(|at| at.checked_add(CUT_AFTER_DEADLINE)));
        match &self.stream {
            Some(stream) => stream.state.lock().limit = limit,
            None => self.connection.state.lock().limit = limit,
        }
    }

    /// Which turn of its task this is: it changes when others may have run in between.
    pub(crate) fn turn(&self) -> u32 {
        self.stream.as_ref().unwrap_or(&self.connection).turn()
    }

    /// The request has been read to its end.
    pub(crate) fn request_read(&self) {
        if self.stream.is_none() {
            self.connection.state.lock().stage = Stage::Watched;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.request_over();
    }
}
