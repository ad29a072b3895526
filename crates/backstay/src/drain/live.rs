//! The list of those who wait, so that a drain can reach them.

use crate::call::Call;
use parking_lot::Mutex;
use slab::Slab;
use std::{fmt, sync::Arc, task::Waker};

/// Everything admitted that has had to wait, or has a body out.
///
/// In parts, each behind a lock of its own that is held for one insertion or removal: calls seldom meet.
#[derive(Default)]
pub(super) struct Live([Mutex<Slab<Arc<Entry>>>; PARTS]);

/// One of them.
pub(super) struct Entry {
    call: Option<Call>,
    waker: Mutex<Option<Waker>>,
}

/// A place in the list, until it is given back.
pub(super) struct Place {
    pub(super) entry: Arc<Entry>,
    part: usize,
    key: usize,
}

const PARTS: usize = 16;

// === impl Live ===

impl Live {
    pub(super) fn insert(&self, call: Option<&Call>) -> Place {
        let entry = Arc::new(Entry {
            call: call.cloned(),
            waker: Mutex::new(None),
        });
        // By address: no counter that all calls would share.
        let part = (Arc::as_ptr(&entry) as usize >> 6) % PARTS;
        let key = self.0[part].lock().insert(entry.clone());
        Place { entry, part, key }
    }

    pub(super) fn remove(&self, place: &Place) {
        let removed = self.0[place.part].lock().try_remove(place.key);
        drop(removed);
    }

    /// Wakes every task that waits.
    pub(super) fn wake(&self) {
        for part in &self.0 {
            let entries = part.lock();
            let wakers: Vec<_> = entries
                .iter()
                .filter_map(|(_, entry)| entry.waker.lock().take())
                .collect();
            drop(entries);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// The calls that have not ended.
    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        for part in &self.0 {
            let entries = part.lock();
            calls.extend(entries.iter().filter_map(|(_, entry)| entry.call.clone()));
        }
        calls
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn wakes(&self, waker: &Waker) {
        let mut known = self.waker.lock();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}
