//! A call as a layer holds it.

use super::{Call, Over};
use std::{fmt, ops::Deref, sync::atomic::Ordering::Relaxed};
use tokio::time::Instant;

/// A call as a layer holds it, from its `call` to the end of the body.
pub(crate) struct Held {
    call: Call,
    /// This layer made the record: it puts the trail into the response, and when it lets go the call
    /// has ended.
    outermost: bool,
}

// === impl Held ===

impl Held {
    pub(super) fn outermost(call: Call) -> Self {
        Self {
            call,
            outermost: true,
        }
    }

    pub(super) fn inner(call: Call) -> Self {
        Self {
            call,
            outermost: false,
        }
    }

    /// When the layer's `call` ran. Outside of any attempt that is when the call began, so that the clock
    /// need not be read again; time in a queue between two layers counts.
    pub(crate) fn now(&self) -> Instant {
        if self.outermost || self.call.attempt() == 0 {
            self.call.started()
        } else {
            Instant::now()
        }
    }

    /// For layers that do not wait for their first poll: whoever made the record takes over what the code
    /// around says.
    pub(crate) fn adopt_ambient_if_outermost(&self) {
        if self.outermost {
            self.call.adopt_ambient();
        }
    }

    /// For a layer that has no body of its own: the call goes on, and has ended when the first of those
    /// further in lets go of it.
    pub(crate) fn hand_on(mut self) {
        if std::mem::take(&mut self.outermost) {
            let call = self.call.clone();
            drop(self);
            // Not before: this one is not the first.
            call.0.handed_on.store(true, Relaxed);
        }
    }

    /// Puts the trail into the response, once per call.
    pub(crate) fn leave_trail(&self, extensions: &mut http::Extensions) {
        if self.outermost {
            extensions.insert(self.call.trail());
        }
    }
}

impl Deref for Held {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

impl AsRef<Call> for Held {
    fn as_ref(&self) -> &Call {
        &self.call
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.outermost {
            self.call.set_over(Over::Ended);
            self.call.end_now();
        } else if self.call.0.handed_on.load(Relaxed) {
            self.call.end_now();
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}
