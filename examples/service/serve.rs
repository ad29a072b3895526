//! The server, and how it comes to its end.

use axum::Router;
use backstay::drain::{Drain, DrainReport};
use std::{future::IntoFuture, io};
use tokio::{
    net::TcpListener,
    time::{Duration, timeout},
};

/// How long connections may take to close once every request has its answer.
const CONNECTIONS_WAIT: Duration = Duration::from_millis(500);

/// Serves until the drain is over, and always comes back.
///
/// axum stops accepting when the drain is *over*, and not when it begins: until then whoever comes is
/// answered 503 with `Retry-After`, and need not guess what a refused connection means. And axum alone would
/// wait for its connections for ever: a client that does not read keeps one open as long as it likes.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    drain: &Drain,
) -> io::Result<DrainReport> {
    let server = axum::serve(listener, app).with_graceful_shutdown({
        let drain = drain.clone();
        async move {
            over(&drain).await;
        }
    });
    let mut server = tokio::spawn(server.into_future());
    let report = over(drain).await;
    match timeout(CONNECTIONS_WAIT, &mut server).await {
        Ok(Ok(ended)) => ended?,
        Ok(Err(panicked)) => return Err(io::Error::other(panicked)),
        Err(_) => {
            println!("a client does not read its answer; its connection ends with the process");
            server.abort();
        }
    }
    Ok(report)
}

/// Waits for the drain to begin, and for its end.
async fn over(drain: &Drain) -> DrainReport {
    drain.started().await;
    drain.shutdown().await
}
