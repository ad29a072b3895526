//! A client that hides nothing: what came over the socket, and how the socket ended.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod stream;

use std::io::ErrorKind;
use std::time::Duration;

use backstay_mock::{Mock, Reply};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Silence of this length counts as "the socket stays open".
pub(crate) const SILENCE: Duration = Duration::from_millis(150);
/// How soon a caller's leaving must be seen.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
    Open,
}

pub(crate) struct Answer {
    pub(crate) head: String,
    /// As sent: still chunked.
    pub(crate) raw: Vec<u8>,
    pub(crate) end: End,
}

/// An HTTP/1.1 request written out, with `connection: close`, so that a complete answer closes.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(crate) fn chat(model: &str, stream: bool) -> Vec<u8> {
    let body = json!({"model": model, "stream": stream, "messages": []});
    request("POST", "/v1/chat/completions", &body.to_string())
}

pub(crate) async fn with(reply: Reply) -> Mock {
    let mock = Mock::start().await.unwrap();
    mock.script("m", reply);
    mock
}

pub(crate) async fn post(mock: &Mock, path: &str, body: &Value) -> Answer {
    ask(mock, &request("POST", path, &body.to_string())).await
}

pub(crate) async fn streamed(reply: Reply, dialect: &str) -> Answer {
    ask(&with(reply).await, &stream::Spoken::of(dialect).request()).await
}

pub(crate) async fn unary(reply: Reply, path: &str) -> Answer {
    post(&with(reply).await, path, &json!({"model": "m"})).await
}

pub(crate) async fn send(mock: &Mock, request: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(mock.addr()).await.unwrap();
    socket.write_all(request).await.unwrap();
    socket
}

pub(crate) async fn ask(mock: &Mock, request: &[u8]) -> Answer {
    let mut socket = send(mock, request).await;
    read(&mut socket).await
}

pub(crate) async fn read(socket: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        match tokio::time::timeout(SILENCE, socket.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => break End::Closed,
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break End::Open,
        }
    };
    let split = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map_or(bytes.len(), |at| at + 4);
    let raw = bytes.split_off(split);
    Answer {
        head: String::from_utf8(bytes).unwrap().to_lowercase(),
        raw,
        end,
    }
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap_or("0").parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The chunks of a chunked body, and whether the last one was there.
    pub(crate) fn chunks(&self) -> (Vec<Vec<u8>>, bool) {
        let mut chunks = Vec::new();
        let mut rest = self.raw.as_slice();
        while let Some(at) = rest.windows(2).position(|w| w == b"\r\n") {
            let size =
                usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
            if size == 0 {
                return (chunks, true);
            }
            chunks.push(rest[at + 2..at + 2 + size].to_vec());
            rest = &rest[at + 4 + size..];
        }
        (chunks, false)
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.chunks().1
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        match self.header("transfer-encoding") {
            Some(_) => self.chunks().0.concat(),
            None => self.raw.clone(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body()).unwrap()
    }

    /// The `data:` of each event, `[DONE]` and comments left out.
    pub(crate) fn events(&self) -> Vec<Value> {
        let body = String::from_utf8(self.body()).unwrap();
        let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    pub(crate) fn is_done(&self) -> bool {
        String::from_utf8_lossy(&self.body()).ends_with("data: [DONE]\n\n")
    }

    /// The content tokens of an OpenAI stream.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let content = |event: &Value| {
            event["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        };
        self.events()
            .iter()
            .filter_map(content)
            .filter(|token| !token.is_empty())
            .collect()
    }
}

pub(crate) type H2 = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn h2() -> H2 {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

pub(crate) fn h2_chat(mock: &Mock, model: &str) -> http::Request<Full<Bytes>> {
    let body = json!({"model": model, "stream": true, "messages": []}).to_string();
    http::Request::post(format!("{}/v1/chat/completions", mock.url()))
        .header("content-type", "application/json")
        .body(Full::from(body))
        .unwrap()
}
