//! Servers that say exactly what they are told, and nothing else.

use crate::within;
use parking_lot::Mutex;
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Something that a server says: after this long, these bytes in one write.
pub type Said = (Duration, Vec<u8>);

/// An HTTP/1.1 server that answers every request of every connection with the same bytes.
pub struct Wire {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<String>,
}

/// A server that accepts connections and never says a word. It tells when each was closed.
#[derive(Debug)]
pub struct Silent {
    address: SocketAddr,
    events: mpsc::UnboundedReceiver<Event>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
enum Event {
    /// The first bytes came: of a TLS handshake, say.
    Spoken,
    Closed(Instant),
}

/// An address at which nobody listens.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// The bytes of a chunk of a chunked body.
pub fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

/// The last chunk.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The head of an event stream in chunks.
pub const CHUNKED_EVENTS: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

// === impl Wire ===

impl Wire {
    /// Starts it on a free port.
    pub async fn start(says: Vec<Said>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let accepting = tokio::spawn({
            let seen = seen.clone();
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    seen.lock().connections += 1;
                    tokio::spawn(serve(stream, says.clone(), seen.clone()));
                }
            }
        });
        Self {
            address,
            seen,
            accepting,
        }
    }

    /// Its `http` origin.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.seen.lock().connections
    }

    /// Every byte of the requests that came.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().requests.clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

async fn serve(mut stream: TcpStream, says: Vec<Said>, seen: Arc<Mutex<Seen>>) {
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().requests.push(request);
        for (after, bytes) in &says {
            if !after.is_zero() {
                sleep(*after).await;
            }
            if stream.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}

/// One request, to the end of its body.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(read.clone())
        .unwrap()
        .to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    read.extend(body);
    Some(String::from_utf8(read).unwrap())
}

// === impl Silent ===

impl Silent {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, events) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(listen(stream, told.clone()));
            }
        });
        Self {
            address,
            events,
            accepting,
        }
    }

    /// Its `https` origin, which no client ever reaches.
    pub fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Waits until a client has connected and said something.
    ///
    /// # Panics
    ///
    /// When none does.
    pub async fn spoken(&mut self) {
        match within(self.events.recv()).await {
            Some(Event::Spoken) => {}
            other => panic!("not a first word: {other:?}"),
        }
    }

    /// Waits until the client has closed its connection, and tells when.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn closed(&mut self) -> Instant {
        match within(self.events.recv()).await {
            Some(Event::Closed(at)) => at,
            other => panic!("not a close: {other:?}"),
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn listen(mut stream: TcpStream, told: mpsc::UnboundedSender<Event>) {
    let mut buffer = [0; 4096];
    let mut spoken = false;
    while let Ok(1..) = stream.read(&mut buffer).await {
        if !std::mem::replace(&mut spoken, true) {
            let _ = told.send(Event::Spoken);
        }
    }
    let _ = told.send(Event::Closed(Instant::now()));
}
