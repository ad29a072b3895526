//! The port: open, refusing, or slamming the door.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that may wait to be accepted, as tokio has it.
const BACKLOG: u32 = 1024;

/// How whoever connects is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doors {
    Open,
    /// Nobody listens.
    Refusing,
    /// A connection is accepted, and reset.
    Dropping,
}

/// The port, in whatever state it is.
#[derive(Debug)]
pub(crate) struct Port {
    addr: SocketAddr,
    doors: Doors,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Listening(TcpListener),
    /// Bound, so that nobody else gets the port, but not listening: the system refuses.
    Held(TcpSocket),
    Closed,
}

// === impl Port ===

impl Port {
    pub(crate) fn new(listener: TcpListener, addr: SocketAddr) -> Self {
        Self {
            addr,
            doors: Doors::Open,
            socket: Socket::Listening(listener),
        }
    }

    pub(crate) fn doors(&self) -> Doors {
        self.doors
    }

    /// Whether the last [`set`](Self::set) got what it wanted.
    pub(crate) fn is_as_set(&self) -> bool {
        self.doors == Doors::Refusing || matches!(self.socket, Socket::Listening(_))
    }

    /// Sets the doors, and says whether they were open and no longer are. An error leaves the port closed;
    /// setting them again tries again.
    pub(crate) fn set(&mut self, doors: Doors) -> io::Result<bool> {
        let before = std::mem::replace(&mut self.doors, doors);
        let socket = std::mem::replace(&mut self.socket, Socket::Closed);
        self.socket = match (doors, socket) {
            (Doors::Refusing, Socket::Listening(listener)) => {
                drop(listener);
                bound(self.addr).map_or(Socket::Closed, Socket::Held)
            }
            (Doors::Refusing, socket) | (_, socket @ Socket::Listening(_)) => socket,
            (_, Socket::Held(socket)) => Socket::Listening(socket.listen(BACKLOG)?),
            (_, Socket::Closed) => Socket::Listening(bound(self.addr)?.listen(BACKLOG)?),
        };
        Ok(before == Doors::Open && doors != Doors::Open)
    }

    /// The next connection. Pending for good while nobody listens: [`set`](Self::set) wakes nobody.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        match &self.socket {
            Socket::Listening(listener) => listener
                .poll_accept(cx)
                .map(|accepted| accepted.map(|(stream, _)| stream)),
            Socket::Held(_) | Socket::Closed => Poll::Pending,
        }
    }

    pub(crate) fn close(&mut self) {
        self.socket = Socket::Closed;
    }
}

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections that are still closing must not stand in the way.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
