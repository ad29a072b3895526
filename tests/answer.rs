//! Reading an answer to its end, whichever that is.

use crate::within;
use backstay::{BoxError, Error, ErrorKind, Trail, trail::Attempt};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;

/// An answer that was read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The trail from the response's extensions.
    pub trail: Trail,
    /// Every byte of the body that came.
    pub body: Bytes,
    /// What the body ended with, if that was not its end.
    pub error: Option<BoxError>,
}

/// Reads an answer to its end.
pub async fn read<B>(response: Response<B>) -> Answer
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    let (parts, mut body) = response.into_parts();
    let mut read = BytesMut::new();
    let mut error = None;
    while let Some(frame) = within(body.frame()).await {
        match frame {
            Ok(frame) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(failed) => error = Some(failed),
        }
    }
    Answer {
        status: parts.status,
        headers: parts.headers,
        trail: parts.extensions.get::<Trail>().unwrap().clone(),
        body: read.freeze(),
        error,
    }
}

/// Reads until some text has come; what follows is still to be read.
///
/// # Panics
///
/// When the body ends first, or nothing more comes.
pub async fn read_until<B>(body: &mut B, text: &str)
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    let mut read = Vec::new();
    while !contains(&read, text) {
        let frame = within(body.frame()).await.expect("the body has ended");
        read.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
}

/// backstay's own error in there.
///
/// # Panics
///
/// When there is none.
pub fn find(error: &BoxError) -> &Error {
    Error::find(&**error).expect("an error of backstay's own")
}

/// The kind of backstay's own error in there.
pub fn kind(error: &BoxError) -> ErrorKind {
    find(error).kind()
}

/// Every attempt that led to an error.
pub fn attempts(error: &BoxError) -> Vec<Attempt> {
    find(error).trail().unwrap().attempts()
}

/// Whether some bytes contain a text.
pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

// === impl Answer ===

impl Answer {
    /// Whether the body contains a text.
    pub fn contains(&self, text: &str) -> bool {
        contains(&self.body, text)
    }

    /// The kind of error that the body ended with.
    pub fn kind(&self) -> Option<ErrorKind> {
        self.error.as_ref().map(kind)
    }

    /// The attempts of its trail.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.trail.attempts()
    }

    /// The length that the head announces.
    pub fn content_length(&self) -> Option<usize> {
        let length = self.headers.get(header::CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }
}
