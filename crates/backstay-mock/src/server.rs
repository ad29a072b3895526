//! The server: accepting connections, and serving each.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::Link;
use crate::handler;
use crate::shared::{ACCEPT_PAUSE, Shared};
use crate::wire::Wire;

/// Streams of one HTTP/2 connection that may be open together, and those that may have been reset without
/// the mock having looked: storms of cancelled calls are what it is for.
const MAX_H2_STREAMS: u32 = 10_000;

/// Accepts for as long as it is polled; dropping it ends all its connections.
pub(crate) async fn accept(shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // Outages begin and end by themselves too.
        let change = shared.settle();
        tokio::select! {
            accepted = poll_fn(|cx| shared.port.lock().poll_accept(cx)) => match accepted {
                Ok(stream) if shared.is_shut() => shared.turn_away(&stream),
                Ok(stream) => {
                    let link = Arc::new(Link::new(shared.connection_accepted()));
                    let hang_ups = shared.hang_ups.subscribe();
                    connections.spawn(serve(stream, link, hang_ups, Arc::clone(&shared)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            () = shared.settled.notified() => {}
            () = at(change) => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(
    stream: TcpStream,
    link: Arc<Link>,
    mut hang_ups: watch::Receiver<u64>,
    shared: Arc<Shared>,
) {
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
        // Told before the socket is dropped, since it asks the link how it closes.
        () = async {
            if hang_ups.changed().await.is_ok() {
                link.reset();
            }
        } => {}
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
