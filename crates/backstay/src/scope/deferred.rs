//! The cleanups that wait for the end of their scope.

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
use parking_lot::{Mutex, MutexGuard};

/// Each is taken out once: by whoever leaves the scope, or by whoever comes too late to leave it here.
///
/// One lock, so that nothing is kept for an end that has been.
#[derive(Debug)]
pub(super) struct Deferred<C>(Mutex<State<C>>);

#[derive(Debug)]
struct State<C> {
    cleanups: Vec<C>,
    /// The last one has been taken: what comes now runs by itself.
    closed: bool,
}

// === impl Deferred ===

impl<C> Deferred<C> {
    pub(super) fn new(cleanups: Vec<C>) -> Self {
        Self(Mutex::new(State {
            cleanups,
            closed: false,
        }))
    }

    /// Keeps one for the end; gives it back when that has been.
    pub(super) fn keep(&self, cleanup: C) -> Result<(), C> {
        let mut state = self.lock();
        if state.closed {
            return Err(cleanup);
        }
        state.cleanups.push(cleanup);
        Ok(())
    }

    /// The one that is next, the last one kept; with none left, none will be kept any more.
    pub(super) fn next(&self) -> Option<C> {
        let mut state = self.lock();
        let next = state.cleanups.pop();
        state.closed = next.is_none();
        next
    }

    /// Takes all out and puts some back, before those that were kept meanwhile. `sort` is not under the
    /// lock: it may drop what is the user's.
    pub(super) fn retain(&self, sort: impl FnOnce(Vec<C>) -> Vec<C>) {
        let cleanups = std::mem::take(&mut self.lock().cleanups);
        let mut cleanups = sort(cleanups);
        let mut state = self.lock();
        cleanups.append(&mut state.cleanups);
        state.cleanups = cleanups;
    }

    /// Closes it if it is empty and nothing else is to be waited for. Whether it did.
    pub(super) fn close_if(&self, idle: impl FnOnce() -> bool) -> bool {
        let mut state = self.lock();
        let idle = state.cleanups.is_empty() && idle();
        state.closed |= idle;
        idle
    }

    /// Does something that must not happen while it closes.
    pub(super) fn while_it_stays<T>(&self, run: impl FnOnce() -> T) -> T {
        let _state = self.lock();
        run()
    }

    #[cfg(not(loom))]
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.0.lock()
    }

    #[cfg(loom)]
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
