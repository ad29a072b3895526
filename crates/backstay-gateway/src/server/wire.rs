//! The socket of a caller, with an eye on its going away.
//!
//! hyper notices that a caller left while its request is being answered only as long as nothing has come
//! in behind the request: with one more byte in its buffer (a line break, a pipelined request) it stops
//! reading (hyper 1.12, `proto/h1/conn.rs`, `mid_message_detect_eof`). So the socket is read here, into a
//! small buffer, once hyper has what it needs.

use crate::leash::Leash;
use parking_lot::Mutex;
use std::{
    fmt,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

/// The most bytes that are read ahead of hyper. Behind more of them the caller's going away is noticed
/// only when something is written to it.
const MAX_AHEAD: usize = 16 * 1024;

/// Read at a time where nothing is expected.
const PIECE: usize = 1024;

/// What hyper reads from and writes to.
pub(crate) struct Wire {
    reader: Arc<Reader>,
    writer: OwnedWriteHalf,
}

/// The reading half, which the connection's task looks at too. Only that task has it, so that nobody ever
/// waits for the lock.
pub(crate) struct Reader {
    inside: Mutex<Inside>,
    leash: Arc<Leash>,
}

struct Inside {
    half: OwnedReadHalf,
    ahead: Vec<u8>,
    /// The turn of the task in which there was nothing to read.
    waits_in: Option<u32>,
}

const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

// === impl Reader ===

impl Reader {
    /// Ready when the other side has closed its connection, or its half of it.
    pub(super) fn poll_peer_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inside = self.inside.lock();
        if inside.waits_in == Some(self.leash.turn()) {
            // hyper has just asked.
            return Poll::Pending;
        }
        let Inside { half, ahead, .. } = &mut *inside;
        while ahead.len() < MAX_AHEAD {
            let mut piece = [const { MaybeUninit::uninit() }; PIECE];
            let mut read = ReadBuf::uninit(&mut piece);
            // `poll_read` and not `try_read`: after a short read it waits for the system's word, and does not
            // ask once more in vain.
            match ready!(Pin::new(&mut *half).poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => return Poll::Ready(()),
                Ok(()) => ahead.extend_from_slice(read.filled()),
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inside = self.inside.lock();
        let Inside {
            half,
            ahead,
            waits_in,
        } = &mut *inside;
        let before = buf.filled().len();
        if ahead.is_empty() {
            let polled = Pin::new(half).poll_read(cx, buf);
            *waits_in = polled.is_pending().then(|| self.leash.turn());
            ready!(polled)?;
        } else {
            let taken = ahead.len().min(buf.remaining());
            buf.put_slice(ahead.get(..taken).unwrap_or_default());
            ahead.drain(..taken);
            if ahead.is_empty() {
                *ahead = Vec::new();
            }
        }
        drop(inside);
        if buf.filled().len() > before {
            self.leash.bytes_came();
        }
        Poll::Ready(Ok(()))
    }

    /// A request's head did not come in time. Nothing has been written for it yet.
    pub(super) fn say_too_slow(&self) {
        // Whoever is too slow to send may be too slow to listen.
        let _ = self.inside.lock().half.as_ref().try_write(TOO_SLOW);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(stream: tokio::net::TcpStream, leash: Arc<Leash>) -> (Self, Arc<Reader>) {
        let (half, writer) = stream.into_split();
        let reader = Arc::new(Reader {
            inside: Mutex::new(Inside {
                half,
                ahead: Vec::new(),
                waits_in: None,
            }),
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
