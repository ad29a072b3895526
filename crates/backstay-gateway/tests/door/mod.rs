//! A gateway in front of a mock, and callers with plain sockets.

#![allow(dead_code, reason = "each test file uses its part")]

use backstay_gateway::{Config, Gateway, Handle};
use backstay_mock::Mock;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time,
};

/// Longer than anything takes that does not hang.
pub(crate) const HANGS: Duration = Duration::from_secs(20);
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";

/// A mock, and a gateway in front of it.
pub(crate) struct Door {
    pub(crate) mock: Mock,
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) serving: JoinHandle<backstay_gateway::DrainReport>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// The transfer came to the end that its head announced.
    pub(crate) whole: bool,
}

/// A caller's connection.
pub(crate) struct Caller {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// Two models with a fallback between them, for both dialects; whatever else is asked for as it is.
pub(crate) fn text(url: &str) -> String {
    format!(
        r#"
[[listeners]]
address = "127.0.0.1:0"

[[targets]]
name = "first"
dialect = "openai"
base_url = "{url}/v1"
model = "first-model"
key_inline_insecure = "sk-upstream-secret"
retries = 0

[[targets]]
name = "second"
dialect = "openai"
base_url = "{url}/v1"
model = "second-model"
retries = 0

[[targets]]
name = "any"
dialect = "openai"
base_url = "{url}/v1"
retries = 0

[[targets]]
name = "claude-first"
dialect = "anthropic"
base_url = "{url}"
model = "first-model"
key_inline_insecure = "sk-upstream-secret"
retries = 0

[[targets]]
name = "claude-second"
dialect = "anthropic"
base_url = "{url}"
model = "second-model"
retries = 0

[[targets]]
name = "store"
dialect = "plain"
base_url = "{url}"
retries = 0

[[routes]]
model = "pair"
targets = ["first", "second"]

[[routes]]
model = "claude-pair"
targets = ["claude-first", "claude-second"]

[[routes]]
models = ["alone", "first-model", "slow"]
targets = ["any"]
budget = "10s"

[[routes]]
model = "hurried"
targets = ["any"]
budget = "300ms"

[[routes]]
path = "/api/v2/*"
targets = ["store"]

[upstream]
proxy = "none"
"#
    )
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    time::timeout(HANGS, future).await.expect("it hangs")
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::with(|text| text).await
    }

    /// With another configuration.
    pub(crate) async fn with(change: impl FnOnce(String) -> String) -> Self {
        Self::start(change, 0).await
    }

    /// On threads of the gateway's own.
    pub(crate) async fn on_threads(threads: usize) -> Self {
        Self::start(|text| text, threads).await
    }

    async fn start(change: impl FnOnce(String) -> String, threads: usize) -> Self {
        let mock = Mock::start().await.unwrap();
        let text = change(text(&mock.url()));
        let config = Config::parse(&text, "test.toml").unwrap();
        let gateway = Gateway::bind_with_threads(config, threads).await.unwrap();
        Self {
            mock,
            address: gateway.addresses()[0],
            handle: gateway.handle(),
            serving: tokio::spawn(gateway.serve()),
        }
    }

    pub(crate) async fn caller(&self) -> Caller {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Caller {
            stream,
            read: Vec::new(),
        }
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        self.post_with(path, "", body)
    }

    /// A request with more headers, each ended by CRLF.
    pub(crate) fn post_with(&self, path: &str, headers: &str, body: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len(),
        )
    }

    pub(crate) fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address)
    }

    /// Sends one request over a connection of its own, and reads the answer.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut caller = self.caller().await;
        caller.send(request).await;
        caller.answer().await
    }

    pub(crate) async fn chat(&self, body: &str) -> Answer {
        self.ask(&self.post(CHAT, body)).await
    }

    /// With this upstream behind the models that have no fallback.
    pub(crate) async fn before(upstream: SocketAddr, budget: &str) -> Self {
        let target = format!(
            "[[targets]]\nname = \"odd\"\ndialect = \"openai\"\nbase_url = \"http://{upstream}/v1\"\nretries = 0\n"
        );
        Self::with(|text| {
            let text = text.replace(
                "targets = [\"any\"]\nbudget = \"300ms\"",
                &format!("targets = [\"odd\"]\nbudget = \"{budget}\""),
            );
            text.replace(
                "[[routes]]\nmodel = \"pair\"",
                &format!("{target}\n[[routes]]\nmodel = \"pair\""),
            )
        })
        .await
    }

    /// With this upstream behind a path route: `/odd/*`, at `/tenant` there, with a key.
    pub(crate) async fn before_paths(upstream: SocketAddr) -> Self {
        Self::with(|text| {
            format!(
                "{text}\n[[targets]]\nname = \"odd\"\ndialect = \"plain\"\nbase_url = \"http://{upstream}/tenant\"\n\
                 key_inline_insecure = \"sk-odd\"\nretries = 0\n\n[[routes]]\npath = \"/odd/*\"\ntargets = [\"odd\"]\n"
            )
        })
        .await
    }

    /// Waits until no call is under way, at the gateway or behind it.
    pub(crate) async fn settled(&self) {
        let settled = async {
            while self.handle.calls() > 0 || self.mock.in_flight() > 0 {
                time::sleep(Duration::from_millis(2)).await;
            }
        };
        within(settled).await;
    }
}

impl Caller {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until the text has come.
    pub(crate) async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            assert!(self.more().await, "closed before {text:?}");
        }
    }

    /// Whether the connection has been closed, within the time that anything takes.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while self.more().await {}
        true
    }

    async fn more(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match within(self.stream.read(&mut chunk)).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.read.extend_from_slice(&chunk[..read]);
                true
            }
        }
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                break at;
            }
            assert!(
                self.more().await,
                "closed in the head: {:?}",
                String::from_utf8_lossy(&self.read)
            );
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (body, whole) = if head.contains("transfer-encoding: chunked") {
            self.chunks().await
        } else {
            let length = header(&head, "content-length").map_or(0, |l| l.parse().unwrap());
            while self.read.len() < length && self.more().await {}
            let taken = length.min(self.read.len());
            let body: Vec<u8> = self.read.drain(..taken).collect();
            (body, taken == length)
        };
        Answer {
            status,
            head,
            body: String::from_utf8(body).unwrap(),
            whole,
        }
    }

    async fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(end) = find(&self.read, b"\r\n") else {
                if !self.more().await {
                    return (body, false);
                }
                continue;
            };
            let size = std::str::from_utf8(&self.read[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            while self.read.len() < end + 4 + size {
                if !self.more().await {
                    return (body, false);
                }
            }
            body.extend_from_slice(&self.read[end + 2..end + 2 + size]);
            self.read.drain(..end + 4 + size);
            if size == 0 {
                return (body, true);
            }
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A client of HTTP/2, by prior knowledge: one connection for all its requests.
pub(crate) fn http2() -> Http2 {
    hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .http2_initial_stream_window_size(64 * 1024)
        .build_http()
}

pub(crate) type Http2 = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    http_body_util::Full<bytes::Bytes>,
>;

/// An upstream that sends this head and these chunks to each request, and closes its connection.
pub(crate) async fn raw(head: &'static str, chunks: &'static [&'static str]) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(head.as_bytes()).await;
            for chunk in chunks {
                let framed = format!("{:x}\r\n{chunk}\r\n", chunk.len());
                let _ = stream.write_all(framed.as_bytes()).await;
                time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    address
}

/// The connection of the first request, which has come.
async fn first_request(listener: &tokio::net::TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let _ = stream.read(&mut [0; 4096]).await;
    stream
}

/// An upstream that answers its first request with these bytes, and keeps its connection.
pub(crate) async fn stays_open(answer: &'static str) -> (SocketAddr, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closed = tokio::spawn(async move {
        let mut stream = first_request(&listener).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = [0; 4096];
        while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
    });
    (address, closed)
}

/// An upstream whose first answer never ends; says when its connection was closed.
pub(crate) async fn flood() -> (SocketAddr, JoinHandle<time::Instant>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closed = tokio::spawn(async move {
        let mut stream = first_request(&listener).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let token = "x".repeat(32 * 1024);
        let event =
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{token}\"}}}}]}}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        time::Instant::now()
    });
    (address, closed)
}
