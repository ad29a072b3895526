//! A caller with a bare socket: it costs little, and the same for every contender.

use std::{fmt, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::BoxError;

/// Where a contender is, and what it has to be told.
#[derive(Clone, Debug)]
pub(super) struct Place {
    address: Arc<str>,
    path: Arc<str>,
    /// Before the name of each model.
    prefix: Arc<str>,
    /// Whole lines.
    headers: Arc<str>,
}

/// One connection, which carries one call after the other.
#[derive(Debug)]
pub(super) struct Caller {
    stream: TcpStream,
    place: Place,
    read: Vec<u8>,
}

// === impl Place ===

impl Place {
    /// Host and port, and a path where it is another than that of OpenAI's API.
    pub(super) fn new(text: &str) -> Self {
        let (address, path) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        Self {
            address: address.into(),
            path: match path {
                "" | "/" => "/v1/chat/completions".into(),
                path => path.into(),
            },
            prefix: "".into(),
            headers: "".into(),
        }
    }

    pub(super) fn with(mut self, prefix: &str, headers: &[&str]) -> Self {
        self.prefix = prefix.into();
        self.headers = headers
            .iter()
            .map(|line| format!("{line}\r\n"))
            .collect::<String>()
            .into();
        self
    }

    /// The same contender, at another path.
    pub(super) fn at(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// One call over a connection of its own, which ends with it: the status of the answer, and whether it
    /// has a stream's end marker. What was cut off has been read as far as it came.
    pub(super) async fn once(&self, body: &str) -> Result<(Option<u16>, bool), BoxError> {
        let mut caller = Caller::connect(self).await?;
        let status = caller.call(body).await.ok();
        Ok((status, find(&caller.read, b"data: [DONE]").is_some()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

// === impl Caller ===

impl Caller {
    pub(super) async fn connect(place: &Place) -> Result<Self, BoxError> {
        let stream = TcpStream::connect(&*place.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            place: place.clone(),
            read: Vec::with_capacity(4096),
        })
    }

    pub(super) async fn send(&mut self, body: &str) -> Result<(), BoxError> {
        let Place {
            address,
            path,
            prefix,
            headers,
        } = &self.place;
        let body = body.replacen(r#""model":""#, &format!(r#""model":"{prefix}"#), 1);
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             authorization: Bearer none\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        Ok(())
    }

    /// Sends, and reads the answer to its end; its status.
    pub(super) async fn call(&mut self, body: &str) -> Result<u16, BoxError> {
        self.send(body).await?;
        self.read.clear();
        let end = loop {
            match find(&self.read, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8_lossy(self.read.get(..end).unwrap_or_default()).to_lowercase();
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map(str::parse::<usize>)
            .transpose()?;
        match length {
            Some(length) => {
                while self.read.len() < end + length {
                    self.more().await?;
                }
            }
            // The last chunk of what is measured here ends in nothing else.
            None => {
                while !self.read.ends_with(b"\r\n0\r\n\r\n") {
                    self.more().await?;
                }
            }
        }
        Ok(status)
    }

    /// Reads to the first event that is no announcement.
    pub(super) async fn until_token(&mut self) -> Result<(), BoxError> {
        while self.read.windows(6).filter(|at| at == b"data: ").count() < 2 {
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<(), BoxError> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(format!("{} closed the connection", self.place).into()),
            _ => Ok(()),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
