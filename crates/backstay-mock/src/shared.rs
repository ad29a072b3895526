//! What the connections of one mock share.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::chroma::Store;
use crate::dialect::Dialect;
use crate::doors::{Doors, Port};
use crate::in_flight::InFlight;
use crate::log::{Log, OnEnded};
use crate::outage::Outages;
use crate::script::Book;

/// How long accepting rests when the system is out of sockets, or does not give the port back.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What every connection of one mock shares.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    /// Who speaks where the path leaves it open.
    pub(crate) chat_as: Dialect,
    pub(crate) log: Mutex<Log>,
    pub(crate) book: Mutex<Book>,
    pub(crate) store: Mutex<Store>,
    pub(crate) outages: Mutex<Outages>,
    pub(crate) in_flight: Mutex<InFlight>,
    /// Told after every change of the log and of the number of connections.
    pub(crate) changed: Notify,
    pub(crate) on_ended: Option<OnEnded>,
    pub(crate) port: Mutex<Port>,
    /// Told when the doors, or the next change of them, may have changed.
    pub(crate) settled: Notify,
    /// Counts the times at which every connection is to be reset.
    pub(crate) hang_ups: watch::Sender<u64>,
    runtime: Handle,
    connections_open: AtomicUsize,
    connections_accepted: AtomicU64,
    stopping: AtomicBool,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(
        port: Port,
        seed: u64,
        chat_as: Dialect,
        on_ended: Option<OnEnded>,
        runtime: Handle,
    ) -> Self {
        Self {
            seed,
            chat_as,
            log: Mutex::default(),
            book: Mutex::default(),
            store: Mutex::default(),
            outages: Mutex::default(),
            in_flight: Mutex::default(),
            changed: Notify::new(),
            on_ended,
            port: Mutex::new(port),
            settled: Notify::new(),
            hang_ups: watch::Sender::new(0),
            runtime,
            connections_open: AtomicUsize::new(0),
            connections_accepted: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// Has the doors stand as the outages want them, and says when to look again.
    pub(crate) fn settle(&self) -> Option<Instant> {
        let now = Instant::now();
        let (doors, change) = {
            let mut outages = self.outages.lock();
            (outages.doors(now), outages.next_change(now))
        };
        // Opening a socket needs the runtime, and an outage may be told from outside of it.
        let _entered = self.runtime.enter();
        let set = {
            let mut port = self.port.lock();
            match self.is_stopping() {
                true => Ok(false),
                false if port.doors() == doors && port.is_as_set() => return change,
                false => port.set(doors),
            }
        };
        match set {
            Ok(true) => self.hang_ups.send_modify(|times| *times += 1),
            Ok(false) => {}
            Err(_) => return now.checked_add(ACCEPT_PAUSE),
        }
        change
    }

    /// The outages have changed: has the doors follow before it returns.
    pub(crate) fn outages_changed(&self) {
        self.settle();
        // The accepting task waits on another socket now, or for another instant.
        self.settled.notify_one();
    }

    /// Whether a hard outage is on.
    pub(crate) fn is_shut(&self) -> bool {
        self.port.lock().doors() != Doors::Open
    }

    pub(crate) fn turn_away(&self, stream: &TcpStream) {
        // If the socket refuses, it is gone already: there is nobody left to reset.
        let _: io::Result<()> = stream.set_zero_linger();
        self.outages.lock().dropped_connection(Instant::now());
        self.changed.notify_waiters();
    }

    pub(crate) fn connection_accepted(&self) -> u64 {
        self.connections_accepted.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(crate) fn connection_opened(&self) {
        self.connections_open.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub(crate) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub(crate) fn connections_open(&self) -> usize {
        self.connections_open.load(Ordering::Acquire)
    }

    pub(crate) fn connections_accepted(&self) -> usize {
        usize::try_from(self.connections_accepted.load(Ordering::Acquire)).unwrap_or(usize::MAX)
    }

    /// Closes the port for good.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
        self.port.lock().close();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) async fn all_closed(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.connections_open() == 0 {
                return;
            }
            changed.await;
        }
    }
}
