//! The text of a streamed answer, as the caller's side reads it.
//!
//! The layers have looked at the same bytes already: what arrives here has begun with content, and an answer
//! that ends early ends in an error and not in silence.

use backstay::BoxError;
use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;

/// Reads text out of a body of server-sent events.
pub(crate) struct TextStream<B> {
    body: B,
    /// The start of a line that has not ended.
    rest: BytesMut,
}

/// The most bytes of one event's line.
const MAX_LINE: usize = 1024 * 1024;

// === impl TextStream ===

impl<B> TextStream<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    pub(crate) fn new(body: B) -> Self {
        Self {
            body,
            rest: BytesMut::new(),
        }
    }

    /// The next piece of text; `None` at the end of the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, BoxError> {
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let text = self.read(&data)?;
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The text in the lines that this frame completes.
    fn read(&mut self, frame: &[u8]) -> Result<String, BoxError> {
        self.rest.extend_from_slice(frame);
        let mut text = String::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line = self.rest.split_to(end + 1);
            if let Some(delta) = delta(line.trim_ascii_end()) {
                text.push_str(&delta);
            }
        }
        if self.rest.len() > MAX_LINE {
            return Err("an event is larger than 1 MiB".into());
        }
        Ok(text)
    }
}

fn delta(line: &[u8]) -> Option<String> {
    let data = line.strip_prefix(b"data:")?;
    // `[DONE]` is no JSON, and holds no text.
    let event: Value = serde_json::from_slice(data).ok()?;
    let text = event.pointer("/choices/0/delta/content")?.as_str()?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::{StreamBody, combinators::BoxBody};
    use std::convert::Infallible;

    #[tokio::test]
    async fn reads_text_cut_anywhere() {
        let stream = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
            : a comment\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"Sch\u{f6}n\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\" hart\"}}]}\n\n\
            data: [DONE]\n\n";
        for size in [1, 7, 1000] {
            let frames: Vec<_> = stream
                .as_bytes()
                .chunks(size)
                .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
                .collect();
            let body = StreamBody::new(futures_of(frames)).map_err(|never| match never {});
            let mut text = TextStream::new(BoxBody::<Bytes, BoxError>::new(body));
            let mut whole = String::new();
            while let Some(piece) = text.next().await.unwrap() {
                whole.push_str(&piece);
            }
            assert_eq!(whole, "Sch\u{f6}n hart", "in pieces of {size}");
        }
    }

    fn futures_of<T: Unpin>(items: Vec<T>) -> impl futures_util::Stream<Item = T> {
        futures_util::stream::iter(items)
    }
}
