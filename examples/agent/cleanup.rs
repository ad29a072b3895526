//! The hook: what this program does when a call ends otherwise than by completion.

use backstay::cancel::{Ended, Why};
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;

/// What the hook was told, until somebody takes it. At most one for each call of a question.
#[derive(Clone, Default)]
pub(crate) struct Cleanups(Arc<Mutex<Vec<Cleanup>>>);

/// One run of the hook.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cleanup {
    #[serde(skip)]
    pub(crate) step: String,
    pub(crate) why: String,
    pub(crate) phase: String,
    pub(crate) response_id: Option<String>,
}

// === impl Cleanups ===

impl Cleanups {
    /// A program in earnest would tell the provider's cancel endpoint here, or give back a reservation: the
    /// hook is async, runs exactly once for a call, and whatever cancelled the call does not cancel it.
    pub(crate) fn hook(&self) -> impl Fn(Ended) -> std::future::Ready<()> + Send + Sync + use<> {
        let cleanups = self.clone();
        move |ended| {
            cleanups.0.lock().push(Cleanup {
                step: ended.labels.get("step").unwrap_or_default().to_owned(),
                why: describe(ended.why),
                phase: ended.phase.to_string(),
                response_id: ended.trail.response_id().map(String::from),
            });
            std::future::ready(())
        }
    }

    pub(crate) fn take(&self) -> Vec<Cleanup> {
        std::mem::take(&mut self.0.lock())
    }
}

fn describe(why: Why) -> String {
    match why {
        Why::Complete => "complete",
        Why::Dropped => "the caller left",
        Why::Token => "the token fired",
        Why::Deadline => "the deadline passed",
        _ => "the call failed",
    }
    .to_owned()
}
