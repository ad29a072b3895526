//! The socket of a caller, with an eye on its going away.
//!
//! hyper notices that a caller left while its request is being answered only as long as nothing has come
//! in behind the request: with one more byte in its buffer (a line break, a pipelined request) it stops
//! reading (hyper 1.12, `proto/h1/conn.rs`, `mid_message_detect_eof`). So the socket is read here, into a
//! small buffer, once hyper has what it needs.

use super::leash::Leash;
use parking_lot::Mutex;
use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// The most bytes that are read ahead of hyper. Behind more of them the caller's going away is noticed
/// only when something is written to it.
const MAX_AHEAD: usize = 16 * 1024;

/// What hyper reads from and writes to.
pub(crate) struct Wire {
    reader: Arc<Reader>,
    writer: OwnedWriteHalf,
}

/// The reading half, which the connection's task looks at too.
pub(crate) struct Reader {
    half: OwnedReadHalf,
    ahead: Mutex<Vec<u8>>,
    leash: Arc<Leash>,
}

const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

// === impl Reader ===

impl Reader {
    fn tcp(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// Ready when the other side has closed its connection, or its half of it.
    pub(super) fn poll_peer_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ahead = self.ahead.lock();
        while ahead.len() < MAX_AHEAD {
            if ready!(self.tcp().poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match self.tcp().try_read_buf(&mut *ahead) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ahead = self.ahead.lock();
        if !ahead.is_empty() {
            let taken = ahead.len().min(buf.remaining());
            buf.put_slice(ahead.get(..taken).unwrap_or_default());
            ahead.drain(..taken);
            if ahead.is_empty() {
                *ahead = Vec::new();
            }
            self.leash.bytes_came();
            return Poll::Ready(Ok(()));
        }
        drop(ahead);
        loop {
            ready!(self.tcp().poll_read_ready(cx))?;
            match self.tcp().try_read_buf(buf) {
                Ok(read) => {
                    if read > 0 {
                        self.leash.bytes_came();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// A request's head did not come in time. Nothing has been written for it yet.
    pub(super) fn say_too_slow(&self) {
        // Whoever is too slow to send may be too slow to listen.
        let _ = self.tcp().try_write(TOO_SLOW);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(stream: TcpStream, leash: Arc<Leash>) -> (Self, Arc<Reader>) {
        let (half, writer) = stream.into_split();
        let reader = Arc::new(Reader {
            half,
            ahead: Mutex::default(),
            leash,
        });
        let wire = Self {
            reader: reader.clone(),
            writer,
        };
        (wire, reader)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reader.poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    /// hyper flushes once its buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.writer).poll_flush(cx))?;
        self.reader.leash.written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
