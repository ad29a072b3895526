//! One accepted connection: its number, its socket, and the switch that resets it.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::server::Shared;

/// Numbers the connections of one mock in the order they were accepted, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// What a request knows of the connection it came on.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    reset: AtomicBool,
    killed: Notify,
}

/// The socket. Dropping it closes it: with a RST if the link was told to reset.
pub(crate) struct Wire {
    stream: TcpStream,
    link: Arc<Link>,
    shared: Arc<Shared>,
}

// === impl ConnectionId ===

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Link ===

impl Link {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id: ConnectionId(id),
            reset: AtomicBool::new(false),
            killed: Notify::new(),
        }
    }

    /// Has the connection dropped, and its socket closed with a RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.killed.notify_one();
    }

    pub(crate) fn was_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }
}

// === impl Wire ===

impl Wire {
    pub(crate) fn new(stream: TcpStream, link: Arc<Link>, shared: Arc<Shared>) -> Self {
        shared.connection_opened();
        Self {
            stream,
            link,
            shared,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.link.was_reset() {
            // If the socket refuses, it is gone already: there is nobody left to reset.
            let _ = self.stream.set_zero_linger();
        }
        self.shared.connection_closed();
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
