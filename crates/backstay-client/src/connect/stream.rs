//! A connection as hyper sees it.

use crate::connection::Used;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::net::TcpStream;

/// To the destination or to a proxy.
pub(crate) type Transport = MaybeHttpsStream<TokioIo<TcpStream>>;

/// TLS to the destination, or not, over a transport.
pub(crate) type Inner = MaybeHttpsStream<Transport>;

/// One connection and what is known of it.
pub(crate) struct Stream {
    inner: Inner,
    forwarded: bool,
    http2_only: bool,
    used: Used,
}

// === impl Stream ===

impl Stream {
    /// `forwarded`: the other end is a proxy that reads the requests.
    pub(crate) fn new(inner: Inner, forwarded: bool, http2_only: bool) -> Self {
        Self {
            inner,
            forwarded,
            http2_only,
            used: Used::default(),
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = self
            .inner
            .connected()
            .proxy(self.forwarded)
            .extra(self.used.clone());
        if self.http2_only {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("forwarded", &self.forwarded)
            .finish_non_exhaustive()
    }
}
