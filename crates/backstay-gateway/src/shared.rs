//! What all connections share: the configuration in use, counts, trails, the drain.

use crate::{
    config::{Config, ConfigError, Limits},
    leaving::Leaving,
    routes::{Pools, Routes},
    trails::Trails,
};
use parking_lot::RwLock;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

pub(crate) struct Shared {
    live: RwLock<Arc<Live>>,
    client: Pools,
    pub(crate) trails: Trails,
    pub(crate) leaving: Leaving,
    pub(crate) connections: Count,
    pub(crate) calls: Count,
    /// Bytes of request bodies in memory.
    pub(crate) buffered: Arc<Bytes>,
}

/// A configuration in use. A call keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(crate) routes: Routes,
}

/// A number of things, and the most that there may be.
#[derive(Debug)]
pub(crate) struct Count {
    now: Arc<AtomicUsize>,
    most: AtomicUsize,
}

/// One of the things counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

/// Bytes in memory, and the most that there may be.
#[derive(Debug)]
pub(crate) struct Bytes {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A part of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    all: Arc<Bytes>,
    own: usize,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(config: Config, client: Pools) -> Result<Self, ConfigError> {
        let leaving = Leaving::new();
        let routes = Routes::build(&config, &client, &leaving.drain)?;
        let Limits {
            connections,
            calls,
            buffered,
            ..
        } = config.limits;
        Ok(Self {
            trails: Trails::new(config.trails),
            leaving,
            connections: Count::new(connections),
            calls: Count::new(calls),
            buffered: Arc::new(Bytes {
                now: AtomicUsize::new(0),
                most: AtomicUsize::new(buffered),
            }),
            live: RwLock::new(Arc::new(Live { config, routes })),
            client,
        })
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.read().clone()
    }

    /// Takes another configuration for the calls to come. On an error nothing changes.
    pub(crate) fn reload(&self, config: Config) -> Result<(), ConfigError> {
        let addresses =
            |config: &Config| -> Vec<_> { config.listeners.iter().map(|l| l.address).collect() };
        if addresses(&config) != addresses(&self.live().config) {
            return Err(config.written.source().error(
                0..0,
                "the addresses of the listeners changed, and sockets are opened at the start only",
                "restart the gateway, or put the addresses back",
            ));
        }
        let routes = Routes::build(&config, &self.client, &self.leaving.drain)?;
        self.trails.keep(config.trails);
        self.connections
            .most
            .store(config.limits.connections, Relaxed);
        self.calls.most.store(config.limits.calls, Relaxed);
        self.buffered.most.store(config.limits.buffered, Relaxed);
        let before = std::mem::replace(&mut *self.live.write(), Arc::new(Live { config, routes }));
        // Outside of the lock: it may be the last handle to many stacks.
        drop(before);
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("connections", &self.connections)
            .field("calls", &self.calls)
            .field("buffered", &self.buffered)
            .finish_non_exhaustive()
    }
}

// === impl Count ===

impl Count {
    fn new(most: usize) -> Self {
        Self {
            now: Arc::default(),
            most: AtomicUsize::new(most),
        }
    }

    /// One more, unless there are as many as there may be.
    pub(crate) fn enter(&self) -> Option<Counted> {
        let most = self.most.load(Relaxed);
        self.now
            .fetch_update(Relaxed, Relaxed, |now| (now < most).then(|| now + 1))
            .ok()
            .map(|_| Counted(self.now.clone()))
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

// === impl Reserved ===

impl Reserved {
    pub(crate) fn none(all: &Arc<Bytes>) -> Self {
        Self {
            all: all.clone(),
            own: 0,
        }
    }

    /// Makes it `total` bytes; false when there is no room for so many.
    pub(crate) fn grow_to(&mut self, total: usize) -> bool {
        let Some(more) = total.checked_sub(self.own) else {
            return true;
        };
        let most = self.all.most.load(Relaxed);
        let taken = self.all.now.fetch_update(Relaxed, Relaxed, |now| {
            now.checked_add(more).filter(|sum| *sum <= most)
        });
        if taken.is_ok() {
            self.own = total;
        }
        taken.is_ok()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.all.now.fetch_sub(self.own, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_given_back() {
        let count = Count::new(1);
        let one = count.enter().unwrap();
        assert!(count.enter().is_none());
        drop(one);
        assert!(count.enter().is_some());
        assert_eq!(count.now(), 0);
    }

    #[test]
    fn bytes_are_reserved_up_to_the_bound_and_given_back() {
        let all = Arc::new(Bytes {
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(10),
        });
        let mut one = Reserved::none(&all);
        assert!(one.grow_to(6));
        let mut other = Reserved::none(&all);
        assert!(!other.grow_to(5));
        assert!(one.grow_to(8));
        assert!(other.grow_to(2));
        drop(one);
        assert!(other.grow_to(10));
    }
}
