//! Threads that serve, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, and so do the connections to the upstreams that
//! its calls use (see [`Pools`](crate::routes::Pools)): nothing on the way of a call wakes another thread.
//! On a runtime that moves tasks between its threads, each frame of an answer may do so, and that costs more
//! than all else that is done with it.

use std::{
    cell::Cell,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use tokio::runtime::{self, Handle};
use tokio_util::sync::CancellationToken;

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// The threads. They end when this is dropped, and what runs on them is dropped.
pub(crate) struct Workers {
    all: Vec<Worker>,
    stop: CancellationToken,
}

struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

/// A worker's connection, until this is dropped.
pub(crate) struct Load(Arc<AtomicUsize>);

/// Which worker's thread this is; 0 on any other.
pub(crate) fn here() -> usize {
    PLACE.get()
}

// === impl Workers ===

impl Workers {
    /// So many threads. None: connections are served where [`accept`](super::accept) runs.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let mut workers = Self {
            all: Vec::with_capacity(threads),
            stop: CancellationToken::new(),
        };
        for place in 0..threads {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            workers.all.push(Worker {
                runtime: runtime.handle().clone(),
                connections: Arc::default(),
            });
            let stop = workers.stop.clone();
            thread::Builder::new()
                .name(format!("gateway-{place}"))
                .spawn(move || {
                    PLACE.set(place);
                    runtime.block_on(stop.cancelled());
                })?;
        }
        Ok(workers)
    }

    /// Where the next connection is served: by whoever has the fewest.
    pub(crate) fn choose(&self) -> (Handle, Load) {
        let idlest = self
            .all
            .iter()
            .min_by_key(|worker| worker.connections.load(Relaxed));
        let (runtime, connections) = match idlest {
            Some(worker) => (worker.runtime.clone(), worker.connections.clone()),
            None => (Handle::current(), Arc::default()),
        };
        connections.fetch_add(1, Relaxed);
        (runtime, Load(connections))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("threads", &self.all.len())
            .finish_non_exhaustive()
    }
}

// === impl Load ===

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
