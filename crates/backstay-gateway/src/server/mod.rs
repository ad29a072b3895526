//! Sockets: accepting, one task per connection, and the bounds on both.

mod beginning;
mod leashed;
mod wire;
mod workers;

pub(crate) use self::workers::{Workers, here};

use self::{beginning::Beginning, leashed::Leashed, wire::Wire};
use crate::{
    call,
    leash::{Held, Leash},
    shared::Shared,
};
use http::Request;
use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{convert::Infallible, future::Future, pin::pin, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Duration, sleep},
};

/// Streams of one connection that were reset before anybody looked: a flood of them ends the connection
/// (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 32;
/// Streams that the gateway itself had to reset; beyond it the connection is ended.
const MAX_OWN_RESETS: usize = 256;
/// Sent bytes that wait for a slow reader of one HTTP/2 stream.
const MAX_H2_SEND_BUFFER: usize = 64 * 1024;
/// A peer that does not answer within this and the next is gone.
const H2_PING_EVERY: Duration = Duration::from_secs(30);
const H2_PING_WAIT: Duration = Duration::from_secs(20);
/// How long accepting rests when the system is out of sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

tokio::task_local! {
    /// The leash of the HTTP/2 stream whose task runs.
    static STREAM: Arc<Leash>;
}

/// Accepts until the drain begins. The socket is closed then.
pub(crate) async fn accept(
    listener: TcpListener,
    place: usize,
    shared: Arc<Shared>,
    workers: Arc<Workers>,
) {
    let mut draining = pin!(shared.leaving.drain.started());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut draining => return,
        };
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        match shared.connections.enter() {
            Some(counted) => {
                // It moves to the worker's own runtime.
                let Ok(stream) = stream.into_std() else {
                    continue;
                };
                let (runtime, load) = workers.choose();
                let serving = serve(stream, place, shared.clone());
                let serving = async move {
                    serving.await;
                    drop((load, counted));
                };
                shared.leaving.tracker.spawn_on(serving, &runtime);
            }
            // Its request stays unread, so that it may see a reset instead of this.
            None => drop(stream.try_write(FULL)),
        }
    }
}

async fn serve(stream: std::net::TcpStream, place: usize, shared: Arc<Shared>) {
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    // Else the last small write of each answer would wait for the caller's delayed ACK.
    let _ = stream.set_nodelay(true);
    let limits = shared.live().config.limits;
    let leash = Arc::new(Leash::connection(&limits));
    let (wire, reader) = Wire::new(stream, leash.clone());
    let service = {
        let (shared, leash) = (shared.clone(), leash.clone());
        service_fn(move |request: Request<Incoming>| {
            let (shared, leash) = (shared.clone(), leash.clone());
            async move {
                // Over HTTP/2 only the future is polled in the stream's own task.
                let stream = STREAM.try_with(Arc::clone).ok();
                let held = Held::new(leash, stream, request.version());
                Ok::<_, Infallible>(call::answer(shared, place, held, request).await)
            }
        })
    };
    let mut server = auto::Builder::new(PerStream);
    server
        .http1()
        .max_buf_size(limits.request_head)
        // The leash has both times: of a head, and of idling.
        .header_read_timeout(None);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .max_send_buf_size(MAX_H2_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.request_head).unwrap_or(u32::MAX))
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_WAIT);
    let orderly = async {
        let mut connection = pin!(server.serve_connection(TokioIo::new(wire), service));
        let draining = Beginning::of(&shared.leaving.drain);
        let closed = shared.leaving.closed();
        tokio::select! {
            biased;
            // An error is the caller's: it has been told what could be told.
            _ = connection.as_mut() => return,
            () = draining => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            _ = connection => {}
            () = closed.cancelled() => {}
        }
    };
    Leashed::new(orderly, leash, Some(reader)).await;
}

/// Runs each HTTP/2 stream in a task of its own, on a leash of its own.
#[derive(Clone, Copy, Debug)]
struct PerStream;

// === impl PerStream ===

impl<F> Executor<F> for PerStream
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let leash = Arc::new(Leash::stream());
        tokio::spawn(STREAM.scope(leash.clone(), Leashed::new(stream, leash, None)));
    }
}
