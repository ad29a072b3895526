//! How a body's bytes are cut and compressed on their way out.

use std::collections::VecDeque;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

use crate::act::Act;
use crate::reply::Reply;

/// Compresses and splits a stream, as the reply has it.
pub(crate) fn frame(
    reply: &Reply,
    headers: &mut HeaderMap,
    mut acts: VecDeque<Act>,
) -> VecDeque<Act> {
    if reply.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        acts = gzip_each(acts);
    }
    match reply.split {
        Some(bytes) => split(acts, bytes),
        None => acts,
    }
}

pub(crate) fn split(acts: VecDeque<Act>, bytes: usize) -> VecDeque<Act> {
    let mut pieces = VecDeque::with_capacity(acts.len());
    for act in acts {
        let Act::Send(mut data, tokens) = act else {
            pieces.push_back(act);
            continue;
        };
        while data.len() > bytes {
            pieces.push_back(Act::Send(data.split_to(bytes), 0));
            // Else the connection would join the pieces again.
            pieces.push_back(Act::Flush);
        }
        pieces.push_back(Act::Send(data, tokens));
    }
    pieces
}

pub(crate) fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    match encoder.write_all(body).and_then(|()| encoder.finish()) {
        Ok(compressed) => compressed.into(),
        Err(_) => unreachable!("writing to a Vec does not fail"),
    }
}

fn gzip_each(acts: VecDeque<Act>) -> VecDeque<Act> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let ends = !acts
        .iter()
        .any(|act| matches!(act, Act::Cut | Act::Reset | Act::Silence));
    let mut compressed = VecDeque::with_capacity(acts.len() + 1);
    for act in acts {
        let Act::Send(data, tokens) = act else {
            compressed.push_back(act);
            continue;
        };
        if encoder
            .write_all(&data)
            .and_then(|()| encoder.flush())
            .is_err()
        {
            unreachable!("writing to a Vec does not fail");
        }
        compressed.push_back(Act::Send(std::mem::take(encoder.get_mut()).into(), tokens));
    }
    if ends && let Ok(trailer) = encoder.finish() {
        compressed.push_back(Act::Send(trailer.into(), 0));
    }
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_keeps_bytes_and_tokens() {
        let acts = split([Act::Send("abcdefg".into(), 1)].into(), 3);
        let sends: Vec<_> = acts.into_iter().filter(|act| *act != Act::Flush).collect();
        assert_eq!(
            sends,
            [
                Act::Send("abc".into(), 0),
                Act::Send("def".into(), 0),
                Act::Send("g".into(), 1)
            ]
        );
    }
}
