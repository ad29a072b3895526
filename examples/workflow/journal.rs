//! What is shown while a session runs, and which cleanups ran.

use backstay::{GroupError, cancel::Ended, scope::Left};
use parking_lot::Mutex;
use std::{
    io::{self, Write},
    sync::Arc,
};

/// A cheap handle; cleanups and hooks keep one.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    /// The cleanups that ran, in order.
    cleanups: Vec<&'static str>,
    /// Streamed text is in the middle of a line.
    in_text: bool,
}

// === impl Journal ===

impl Journal {
    pub(crate) fn line(&self, line: &str) {
        let mut written = self.0.lock();
        let before = if std::mem::take(&mut written.in_text) {
            "\n"
        } else {
            ""
        };
        println!("{before}  {line}");
    }

    /// A piece of a streamed answer.
    pub(crate) fn text(&self, text: &str) {
        let mut written = self.0.lock();
        if !std::mem::replace(&mut written.in_text, true) {
            print!("  answer: ");
        }
        print!("{text}");
        // A screen that is gone is no reason to stop.
        let _ = io::stdout().flush();
    }

    pub(crate) fn cleanup(&self, name: &'static str, did: &str, left: &Left) {
        self.0.lock().cleanups.push(name);
        let session = left.labels.get("session").unwrap_or("?");
        self.line(&format!(
            "cleanup `{name}` of {session}: {did} ({:?} after {} ms)",
            left.why,
            left.elapsed.as_millis()
        ));
    }

    pub(crate) fn hook(&self, ended: &Ended) {
        let step = ended.labels.get("step").unwrap_or("?");
        let response = match ended.trail.response_id() {
            Some(id) => format!("; {id} could be cancelled at its provider now"),
            None => String::new(),
        };
        self.line(&format!(
            "hook of a call in step {step}: {:?} in phase {}{response}",
            ended.why, ended.phase
        ));
    }

    /// Some shelves failed, and others did not.
    pub(crate) fn partial(&self, failed: &GroupError) {
        self.line("some shelves are out of reach; going on with the others:");
        self.block(&format!("{failed:#}"));
    }

    pub(crate) fn block(&self, text: &str) {
        for line in text.lines() {
            self.line(&format!("  {line}"));
        }
    }

    /// The cleanups since the last time.
    pub(crate) fn take_cleanups(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().cleanups)
    }
}
