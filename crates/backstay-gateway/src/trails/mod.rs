//! The calls of late, for a person to look at.
//!
//! A bounded ring of entries. An entry holds the route, times, statuses, targets and outcomes of a call,
//! while it goes on and afterwards; no prompt, no answer, no credential.

mod entry;
mod json;
mod page;

pub(crate) use self::entry::{Ending, Entry};

use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// The last so many calls.
pub(crate) struct Trails {
    entries: Mutex<VecDeque<Arc<Entry>>>,
    keep: AtomicUsize,
    /// Tells the ids of one process from those of another.
    boot: u32,
    next: AtomicU64,
}

// === impl Trails ===

impl Trails {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            entries: Mutex::default(),
            keep: AtomicUsize::new(keep),
            boot: RandomState::new().hash_one(std::process::id()) as u32,
            next: AtomicU64::new(1),
        }
    }

    /// How many are kept from now on.
    pub(crate) fn keep(&self, keep: usize) {
        self.keep.store(keep, Relaxed);
        self.entries.lock().truncate(keep);
    }

    /// Opens an entry.
    pub(crate) fn begin(
        &self,
        path: &'static str,
        route: Arc<str>,
        caller: Option<Arc<str>>,
    ) -> Arc<Entry> {
        let number = self.next.fetch_add(1, Relaxed);
        let entry = Arc::new(Entry::new((self.boot, number), path, route, caller));
        let keep = self.keep.load(Relaxed);
        if keep > 0 {
            let mut entries = self.entries.lock();
            while entries.len() >= keep {
                entries.pop_back();
            }
            entries.push_front(entry.clone());
        }
        entry
    }

    /// The newest first.
    fn recent(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().iter().cloned().collect()
    }

    pub(crate) fn page(&self) -> Bytes {
        page::render(&self.recent()).into()
    }

    pub(crate) fn json(&self) -> Bytes {
        json::render(&self.recent()).into()
    }

    /// One call in JSON, by its id.
    pub(crate) fn one(&self, id: &str) -> Option<Bytes> {
        let entries = self.entries.lock();
        let found = entries.iter().find(|entry| entry.id() == id)?.clone();
        drop(entries);
        Some(json::one(&found).into())
    }
}

impl fmt::Debug for Trails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trails")
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
