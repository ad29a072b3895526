//! What makes it exactly once.

use super::{Ended, Why, hooks::Shared, token::Tokens};
use crate::{
    ambient::Ambient,
    call::{Held, Over},
    error::{Cancellation, Error},
    observe::Signals,
    scope::Core,
};
use std::{error::Error as StdError, fmt, sync::Arc};
use tokio::{runtime::Handle, time::Instant};

/// Owned by the future, then by the body. Whoever ends the call consumes it; its drop is the end that
/// nobody announced.
pub(super) struct Guard {
    shared: Arc<Shared>,
    call: Option<Held>,
    runtime: Option<Handle>,
    /// The scope that the call was made in.
    scope: Option<Arc<Core>>,
    /// The layer is outside of any attempt: its end is the call's.
    whole: bool,
}

// === impl Guard ===

impl Guard {
    pub(super) fn new(shared: Arc<Shared>, call: Held) -> Self {
        shared.call_began();
        Self {
            shared,
            whole: call.attempt() == 0,
            call: Some(call),
            // The one that the call was made on: a drop may happen anywhere.
            runtime: Handle::try_current().ok(),
            scope: None,
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
        });
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
        if let Some(call) = self.call.as_ref().filter(|_| self.whole) {
            call.set_over(match self.cut_off() {
                Some(Why::Deadline) => Over::Deadline,
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

    /// The error for the caller, when a token or the scope's end was seen; hooks and observers run once what is inside has been dropped, because
    /// the trail is complete only then.
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
        if let Some(call) = self.call.take() {
            if self.whole {
                call.end(Instant::now());
            }
            if !self.shared.is_silent(why) {
                let ended = Ended {
                    why,
                    phase: call.phase(),
                    labels: call.labels(),
                    trail: call.trail(),
                };
                // Let go of the call first: what a hook sees is final.
                drop(call);
                self.shared.call_ended(&ended, self.runtime.as_ref());
            } else {
                self.shared.call_ended_silently();
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.is_dropped();
        self.end(self.cut_off().unwrap_or(Why::Dropped));
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
