//! What makes it exactly once.

use super::{Ended, Why, hooks::Shared};
use crate::{
    call::{Held, Over},
    error::{Cancellation, Error, ErrorKind},
    observe::Signals,
};
use std::{error::Error as StdError, fmt, sync::Arc};
use tokio::{runtime::Handle, time::Instant};

/// Owned by the future, then by the body. Whoever ends the call consumes it; its drop is the end that
/// nobody announced.
pub(super) struct Guard {
    shared: Arc<Shared>,
    call: Option<Held>,
    runtime: Option<Handle>,
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
        }
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
            call.set_over(Over::Cancelled);
        }
    }

    pub(super) fn complete(mut self) {
        self.end(Why::Complete);
    }

    pub(super) fn failed(mut self, error: &(dyn StdError + 'static)) {
        let kind = Error::find(error).map(Error::kind);
        self.end(match kind {
            Some(ErrorKind::Deadline) => Why::Deadline,
            Some(ErrorKind::Cancelled(Cancellation::Token)) => Why::Token,
            Some(ErrorKind::Cancelled(Cancellation::Dropped)) => Why::Dropped,
            kind => Why::Failed(kind),
        });
    }

    /// The error for the caller; hooks and observers run once what is inside has been dropped, because
    /// the trail is complete only then.
    pub(super) fn token_fired(&self) -> Option<Error> {
        let call = self.call.as_ref()?;
        self.is_dropped();
        Some(Error::cancelled(call, Cancellation::Token, Instant::now()))
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
        self.end(Why::Dropped);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
