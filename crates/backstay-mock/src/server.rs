//! The port: accepting connections, serving each, and what they all share.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::chroma::Store;
use crate::connection::{Link, Wire};
use crate::handler;
use crate::log::Log;
use crate::mock::OnEnded;
use crate::script::Book;

/// Streams of one HTTP/2 connection that may be open together, and those that may have been reset without
/// the mock having looked: storms of cancelled calls are what it is for.
const MAX_H2_STREAMS: u32 = 10_000;
/// How long accepting rests when the system is out of sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What every connection of one mock shares.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) log: Mutex<Log>,
    pub(crate) book: Mutex<Book>,
    pub(crate) store: Mutex<Store>,
    /// Told after every change of the log and of the number of connections.
    pub(crate) changed: Notify,
    pub(crate) on_ended: Option<OnEnded>,
    in_flight: AtomicUsize,
    peak_in_flight: AtomicUsize,
    connections_open: AtomicUsize,
    connections_accepted: AtomicU64,
    stopping: AtomicBool,
}

/// Accepts for as long as it is polled; dropping it ends all its connections.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let link = Arc::new(Link::new(shared.connection_accepted()));
                    connections.spawn(serve(stream, link, Arc::clone(&shared)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, link: Arc<Link>, shared: Arc<Shared>) {
    // Without it the last small write of every answer would wait for the peer's delayed ACK.
    let _ = stream.set_nodelay(true);
    let wire = Wire::new(stream, Arc::clone(&link), Arc::clone(&shared));
    let service = {
        let link = Arc::clone(&link);
        service_fn(move |request: http::Request<Incoming>| {
            let answer = handler::answer(Arc::clone(&shared), Arc::clone(&link), request);
            async move { Ok::<_, Infallible>(answer.await) }
        })
    };
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http2()
        .max_concurrent_streams(MAX_H2_STREAMS)
        .max_pending_accept_reset_streams(MAX_H2_STREAMS as usize)
        .max_local_error_reset_streams(MAX_H2_STREAMS as usize);
    tokio::select! {
        // An error here is the peer's leaving or a scripted cut; the log has it.
        _ = server.serve_connection(TokioIo::new(wire), service) => {}
        () = link.killed() => {}
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(seed: u64, on_ended: Option<OnEnded>) -> Self {
        Self {
            seed,
            log: Mutex::default(),
            book: Mutex::default(),
            store: Mutex::default(),
            changed: Notify::new(),
            on_ended,
            in_flight: AtomicUsize::new(0),
            peak_in_flight: AtomicUsize::new(0),
            connections_open: AtomicUsize::new(0),
            connections_accepted: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn request_began(&self) {
        let now = self.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        self.peak_in_flight.fetch_max(now, Ordering::AcqRel);
    }

    pub(crate) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(crate) fn peak_in_flight(&self) -> usize {
        self.peak_in_flight.load(Ordering::Acquire)
    }

    fn connection_accepted(&self) -> u64 {
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

    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
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
