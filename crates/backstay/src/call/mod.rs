//! The record of one call, shared by every layer that the call passes through.
//!
//! The outermost backstay layer makes a [`Call`] and puts it into the request's extensions; inner
//! layers find it there. It carries the deadline, the phase, the labels and the trail, so that nothing
//! is computed twice and a hook on a plain drop still knows where the call was. A leaf service of the
//! user's can read it too:
//!
//! ```
//! use backstay::Call;
//! use tokio::time::Instant;
//!
//! fn worth_starting(request: &http::Request<()>) -> bool {
//!     match Call::of(request.extensions()) {
//!         Some(call) => !call.deadline().time_left(Instant::now()).is_zero(),
//!         None => true,
//!     }
//! }
//! # assert!(worth_starting(&http::Request::new(())));
//! ```
//!
//! What is read for each body frame is an atomic; what changes a few times in a call is behind a lock
//! that is never held across an await.

mod attempt;
mod face;
mod held;
mod instant;
mod labels;
mod phase;

pub use self::{labels::Labels, phase::Phase};

pub(crate) use self::{attempt::Claim, face::Moment, held::Held};

use self::{face::Face, instant::AtomicInstant};
use crate::{
    ambient::Ambient,
    cancel::{Counts, Standby},
    deadline::Deadline,
    observe::SharedSignals,
    spoken::Spoken,
    timeout::Timeouts,
    trail::{Trail, TrailState},
};
use backstay_dialect::Failure;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::time::{Duration, Instant};

/// No limit, in the word that holds one.
const NO_LIMIT: u64 = u64::MAX;

/// One logical request of the caller, however often it is sent.
///
/// A cheap handle; clones name the same call.
#[derive(Clone)]
pub struct Call(Arc<Record>);

struct Record {
    started: Instant,
    deadline: AtomicInstant,
    /// The instant that fallback gives the attempt under way, so that time stays for untried targets.
    attempt_limit: AtomicInstant,
    ended: AtomicInstant,
    connect_limit: AtomicU64,
    phase: AtomicU8,
    over: AtomicU8,
    claims: AtomicU8,
    stream: AtomicU8,
    attempts: AtomicU32,
    watched: AtomicBool,
    /// The layer that made the record has let go of it before the end.
    handed_on: AtomicBool,
    signals: SharedSignals,
    face: Face,
    state: Mutex<State>,
}

/// What changes a few times in a call.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) trail: TrailState,
    pub(crate) labels: Labels,
    /// The dialect of the call, once a layer has named it.
    pub(crate) dialect: Option<Spoken>,
    /// The clocks that the target of the attempt under way overrides.
    pub(crate) target_timeouts: Option<Arc<Timeouts>>,
    /// The in-band error that the observer of the attempt's body saw.
    pub(crate) in_band: Option<Failure>,
    pub(crate) provider_response_id: Option<Box<str>>,
    /// The hook counts of the drains that the call runs under.
    watchers: Vec<Arc<Counts>>,
    /// Hooks that these drains can run, should nobody poll the call.
    standby: Vec<Standby>,
}

/// Why a call is over although its answer did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The deadline passed.
    Deadline,
    /// The caller or a token cancelled it.
    Cancelled,
    /// It ended: nothing more will be written to the record.
    Ended,
    /// The grace period of a drain was over.
    Shutdown,
}

// === impl Call ===

impl Call {
    /// The call that a request belongs to, if a backstay layer has seen it.
    pub fn of(extensions: &http::Extensions) -> Option<&Self> {
        extensions.get::<Self>()
    }

    /// When the call began.
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// The instant at which the call is over: the earliest that any layer, extension or scope named.
    pub fn deadline(&self) -> Deadline {
        Deadline::from_option(self.0.deadline.get(self.0.started))
    }

    /// Where the call is now.
    pub fn phase(&self) -> Phase {
        Phase::from_u8(self.0.phase.load(Relaxed))
    }

    /// The labels that the caller gave the call.
    pub fn labels(&self) -> Labels {
        self.0.state.lock().labels.clone()
    }

    /// The record of every attempt so far.
    pub fn trail(&self) -> Trail {
        Trail::new(self.clone())
    }

    /// The id that the provider gave the answer, when one was seen: what a cancel endpoint asks for.
    pub fn response_id(&self) -> Option<Box<str>> {
        self.0.state.lock().provider_response_id.clone()
    }

    /// Finds the record of a request, or makes it.
    ///
    /// A record that was let go of belongs to an earlier sending of a request that somebody cloned; the
    /// request is a new call.
    pub(crate) fn find_or_begin<B>(request: &mut http::Request<B>) -> Held {
        match Self::of(request.extensions()) {
            Some(call) if !call.is_history() => Held::inner(call.clone()),
            _ => {
                let call = Self::begin(request.extensions());
                request.extensions_mut().insert(call.clone());
                Held::outermost(call)
            }
        }
    }

    /// Whether the layer that made the record has let go of it.
    fn is_history(&self) -> bool {
        self.over() == Some(Over::Ended) || self.0.handed_on.load(Relaxed)
    }

    fn begin(extensions: &http::Extensions) -> Self {
        let call = Self::at(Instant::now());
        if !extensions.is_empty() {
            if let Some(deadline) = extensions.get::<Deadline>() {
                call.lower_deadline(*deadline);
            }
            if let Some(labels) = extensions.get::<Labels>() {
                call.0.state.lock().labels = labels.clone();
            }
        }
        call
    }

    pub(crate) fn at(started: Instant) -> Self {
        Self(Arc::new(Record {
            started,
            deadline: AtomicInstant::never(),
            attempt_limit: AtomicInstant::never(),
            ended: AtomicInstant::never(),
            connect_limit: AtomicU64::new(NO_LIMIT),
            phase: AtomicU8::new(Phase::Readiness as u8),
            over: AtomicU8::new(0),
            claims: AtomicU8::new(0),
            stream: AtomicU8::new(0),
            attempts: AtomicU32::new(0),
            watched: AtomicBool::new(false),
            handed_on: AtomicBool::new(false),
            signals: SharedSignals::default(),
            face: Face::new(),
            state: Mutex::new(State::default()),
        }))
    }

    pub(crate) fn lower_deadline(&self, deadline: Deadline) {
        if let Some(at) = deadline.instant() {
            self.0.deadline.lower(self.0.started, at);
        }
    }

    /// Lowers the deadline to the ambient one, and takes the labels of the code around. Called from a
    /// future's first poll, because a `Buffer` moves `call` into another task.
    pub(crate) fn adopt_ambient(&self) {
        Ambient::with(|ambient| self.adopt(ambient));
    }

    pub(crate) fn adopt(&self, ambient: &Ambient) {
        self.lower_deadline(ambient.deadline);
        if !ambient.labels.is_empty() {
            self.0.state.lock().labels.inherit(&ambient.labels);
        }
    }

    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.0.started)
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Relaxed);
    }

    pub(crate) fn over(&self) -> Option<Over> {
        match self.0.over.load(Relaxed) {
            1 => Some(Over::Deadline),
            2 => Some(Over::Cancelled),
            3 => Some(Over::Ended),
            4 => Some(Over::Shutdown),
            _ => None,
        }
    }

    /// Says why what is inside is about to be dropped, so that the trail can tell. The first reason
    /// stands until the call has ended.
    pub(crate) fn set_over(&self, over: Over) {
        let value = match over {
            Over::Deadline => 1,
            Over::Cancelled => 2,
            Over::Ended => 3,
            Over::Shutdown => 4,
        };
        if over == Over::Ended {
            self.0.over.store(value, Relaxed);
        } else {
            let _ = self.0.over.compare_exchange(0, value, Relaxed, Relaxed);
        }
    }

    /// Writes how long the call took; the first time stands.
    pub(crate) fn end(&self, now: Instant) {
        self.0.ended.lower(self.0.started, now);
    }

    /// The call has ended by now: the clock is read only where nobody has written when.
    pub(crate) fn end_now(&self) {
        if self.0.ended.is_never() {
            self.end(Instant::now());
        }
    }

    pub(crate) fn ended(&self) -> Option<Duration> {
        Some(self.since_start(self.0.ended.get(self.0.started)?))
    }

    /// Whether the call asked for a stream; `None` while nobody knows.
    pub(crate) fn stream(&self) -> Option<bool> {
        match self.0.stream.load(Relaxed) {
            0 => None,
            known => Some(known == 2),
        }
    }

    pub(crate) fn set_stream(&self, stream: bool) {
        self.0.stream.store(1 + u8::from(stream), Relaxed);
    }

    pub(crate) fn connect_limit(&self) -> Option<Duration> {
        match self.0.connect_limit.load(Relaxed) {
            NO_LIMIT => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    pub(crate) fn set_connect_limit(&self, limit: Option<Duration>) {
        let nanos = limit.map(|limit| u64::try_from(limit.as_nanos()).unwrap_or(NO_LIMIT));
        self.0
            .connect_limit
            .store(nanos.unwrap_or(NO_LIMIT), Relaxed);
    }

    /// A drain counts the hooks of this call from now on, and may run them.
    pub(crate) fn watch(&self, counts: &Arc<Counts>) {
        let mut state = self.0.state.lock();
        if !state
            .watchers
            .iter()
            .any(|known| Arc::ptr_eq(known, counts))
        {
            state.watchers.push(counts.clone());
        }
        self.0.watched.store(true, Relaxed);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.0.watched.load(Relaxed)
    }

    pub(crate) fn watchers(&self) -> Vec<Arc<Counts>> {
        self.0.state.lock().watchers.clone()
    }

    pub(crate) fn stand_by(&self, standby: Standby) {
        self.0.state.lock().standby.push(standby);
    }

    /// Forgets hooks whose layer has ended: a trail that is kept keeps nothing else alive.
    pub(crate) fn stand_down(&self, is_over: impl Fn(&Standby) -> bool) {
        let mut state = self.0.state.lock();
        let over = state.standby.iter().position(is_over);
        let over = over.map(|at| state.standby.swap_remove(at));
        // The user's code is in there, and may be dropped with it.
        drop(state);
        drop(over);
    }

    /// Runs the hooks of a call that nobody polls. Its attempt may still be under way.
    pub(crate) fn shut_down(&self) {
        self.set_over(Over::Shutdown);
        let standby = std::mem::take(&mut self.0.state.lock().standby);
        let watchers = self.watchers();
        for standby in standby {
            standby.shut_down(self, &watchers);
        }
    }

    pub(crate) fn with_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock())
    }
}

impl AsRef<Self> for Call {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("phase", &self.phase())
            .field("attempt", &self.attempt())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
