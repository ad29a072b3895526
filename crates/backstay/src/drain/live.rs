//! The list of those who wait, so that a drain can reach them.

use crate::{call::Call, scope::Core};
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
    record: Option<Record>,
    waker: Mutex<Option<Waker>>,
}

/// What is known of something under way besides its task.
#[derive(Clone)]
pub(crate) enum Record {
    Call(Call),
    Scope(Arc<Core>),
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
    pub(super) fn insert(&self, record: Option<Record>) -> Place {
        let entry = Arc::new(Entry {
            record,
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

    /// The records of what has not ended.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for part in &self.0 {
            let entries = part.lock();
            records.extend(entries.iter().filter_map(|(_, entry)| entry.record.clone()));
        }
        records
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

// === impl Record ===

impl Record {
    /// Does what can be done where nobody polls: runs the hooks of a call, ends the tasks of a scope.
    pub(super) fn shut_down(&self) {
        match self {
            Self::Call(call) => call.shut_down(),
            Self::Scope(scope) => scope.shut_down(),
        }
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
