//! What makes it exactly once.

use super::{
    Ended, Why,
    counts::{Counts, Running},
    hooks::Shared,
    token::Tokens,
    turn::Turn,
};
use crate::{
    ambient::Ambient,
    call::{Call, Held, Over},
    drain,
    error::{Cancellation, Error},
    observe::Signals,
    scope::Core,
};
use std::{error::Error as StdError, fmt, sync::Arc};
use tokio::{runtime::Handle, time::Instant};

/// Owned by the future, then by the body. Whoever ends the call consumes it; its drop is the end that
/// nobody announced.
pub(super) struct Guard {
    end: End,
    call: Option<Held>,
    /// Where a drain watches: it may have run the hooks from the record.
    turn: Option<Arc<Turn>>,
    /// The scope that the call was made in.
    scope: Option<Arc<Core>>,
}

/// How one layer ends a call.
#[derive(Clone)]
struct End {
    shared: Arc<Shared>,
    runtime: Option<Handle>,
    /// The layer is outside of any attempt: its end is the call's.
    whole: bool,
}

/// What the record of a call keeps, so that a drain can run the hooks of a call that nobody polls.
pub(crate) struct Standby {
    end: End,
    turn: Arc<Turn>,
}

// === impl Guard ===

impl Guard {
    pub(super) fn new(shared: Arc<Shared>, call: Held) -> Self {
        shared.call_began();
        let end = End {
            shared,
            // The one that the call was made on: a drop may happen anywhere.
            runtime: Handle::try_current().ok(),
            whole: call.attempt() == 0,
        };
        let mut guard = Self {
            end,
            call: Some(call),
            turn: None,
            scope: None,
        };
        Ambient::with(|ambient| guard.is_watched_in(ambient));
        guard.is_watched();
        guard
    }

    /// The drains around the scope that the code is in know of the call too.
    fn is_watched_in(&self, ambient: &Ambient) {
        if let (Some(call), Some(scope)) = (&self.call, &ambient.scope) {
            scope.watchers().iter().for_each(|each| call.watch(each));
        }
    }

    /// Leaves the hooks in the record if any drain knows of the call.
    fn is_watched(&mut self) {
        let Some(call) = &self.call else {
            return;
        };
        if let Some(around) = drain::around() {
            around.iter().for_each(|each| call.watch(each));
        }
        if self.turn.is_none() && call.is_watched() && !self.end.shared.is_deaf() {
            let turn = Arc::new(Turn::new());
            call.stand_by(Standby {
                end: self.end.clone(),
                turn: turn.clone(),
            });
            self.turn = Some(turn);
        }
    }

    /// Takes over what the code around says. Called from the future's first poll, because a `Buffer` moves
    /// `call` into another task.
    pub(super) fn adopt_ambient(&mut self, tokens: &mut Tokens) {
        Ambient::with(|ambient| {
            if let Some(call) = &self.call {
                call.adopt(ambient);
            }
            if let Some(scope) = &ambient.scope {
                tokens.watch(scope.token());
                self.scope = Some(scope.clone());
            }
            self.is_watched_in(ambient);
        });
        self.is_watched();
    }

    /// Why a call that nobody has ended is cut off.
    fn cut_off(&self) -> Option<Why> {
        self.scope.as_ref()?.cut_off()
    }

    pub(super) fn call(&self) -> Option<&Held> {
        self.call.as_ref()
    }

    /// Whether the answer has shown its end marker.
    pub(super) fn has_seen_end(&self) -> bool {
        let call = self.call.as_ref();
        call.is_some_and(|call| call.signals().has(Signals::ENDED))
    }

    /// Says why what is inside is about to be dropped.
    pub(super) fn is_dropped(&self) {
        if let Some(call) = self.call.as_ref().filter(|_| self.end.whole) {
            call.set_over(match self.cut_off() {
                Some(Why::Deadline) => Over::Deadline,
                Some(Why::Shutdown) => Over::Shutdown,
                _ if drain::shuts_down() => Over::Shutdown,
                _ => Over::Cancelled,
            });
        }
    }

    pub(super) fn complete(mut self) {
        self.end(Why::Complete);
    }

    pub(super) fn failed(mut self, error: &(dyn StdError + 'static)) {
        self.end(Why::of(Error::find(error).map(Error::kind)));
    }

    /// The error for the caller, when a token or the scope's end was seen; hooks and observers run once what
    /// is inside has been dropped, because the trail is complete only then.
    pub(super) fn token_fired(&self) -> Option<Error> {
        let call = self.call.as_ref()?;
        self.is_dropped();
        let now = Instant::now();
        Some(match self.cut_off() {
            Some(Why::Deadline) => Error::deadline(call, call.deadline(), now),
            Some(Why::Shutdown) => Error::cancelled(call, Cancellation::Shutdown, now),
            Some(Why::Scope) => Error::cancelled(call, Cancellation::Scope, now),
            Some(Why::Dropped) => Error::cancelled(call, Cancellation::Dropped, now),
            _ => Error::cancelled(call, Cancellation::Token, now),
        })
    }

    fn end(&mut self, why: Why) {
        let Some(call) = self.call.take() else {
            return;
        };
        let Some(turn) = self.turn.take() else {
            return self.end.run(call, why, &[]);
        };
        call.stand_down(|standby| Arc::ptr_eq(&standby.turn, &turn));
        if self.end.shared.is_silent(why) {
            if turn.take() {
                self.end.run(call, why, &[]);
            }
            return;
        }
        let watchers = call.watchers();
        // Before the turn is taken: a drain that finds it taken waits for what is started here.
        let _ending = Running::new(watchers.clone());
        if turn.take() {
            self.end.run(call, why, &watchers);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.is_dropped();
        // A layer further out has said why.
        self.end(match self.call.as_ref().and_then(|call| call.over()) {
            Some(Over::Shutdown) => Why::Shutdown,
            Some(Over::Deadline) => Why::Deadline,
            _ => self.cut_off().unwrap_or_else(Why::dropped),
        });
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

// === impl End ===

impl End {
    /// `call` is a handle of any kind: it is let go of before the hooks run, so that what they see is
    /// final.
    fn run<C: AsRef<Call>>(&self, held: C, why: Why, watchers: &[Arc<Counts>]) {
        let call = held.as_ref();
        if self.whole {
            call.end_now();
        }
        if self.shared.is_silent(why) {
            self.shared.call_ended_silently();
            return;
        }
        let ended = Ended {
            why,
            phase: call.phase(),
            labels: call.labels(),
            trail: call.trail(),
        };
        drop(held);
        self.shared
            .call_ended(&ended, self.runtime.as_ref(), watchers);
    }
}

// === impl Standby ===

impl Standby {
    /// Runs the hooks from the record, unless the call has just ended by itself.
    pub(crate) fn shut_down(self, call: &Call, watchers: &[Arc<Counts>]) {
        if self.turn.take() {
            self.end.run(call, Why::Shutdown, watchers);
        }
    }
}
