//! Frames of `application/vnd.amazon.eventstream`
//! (<https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html>): a prelude of two lengths with
//! its CRC, headers, payload, and a CRC of all before it. Numbers are big-endian.

use bytes::Bytes;
use serde_json::Value;

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The length of the two lengths and the three checksums' worth of framing around headers and payload.
const FRAMING: usize = 16;
/// The type of a header whose value is a string.
const STRING: u8 = 7;

/// A frame that carries an event.
pub(super) fn event(kind: &str, payload: &Value) -> Bytes {
    frame(
        &[
            (":event-type", kind),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ],
        payload.to_string().as_bytes(),
    )
}

/// A frame that carries an exception: the stream is over with it.
pub(super) fn exception(kind: &str, payload: &Value) -> Bytes {
    frame(
        &[
            (":exception-type", kind),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ],
        payload.to_string().as_bytes(),
    )
}

/// A frame whose last byte, and so its checksum, is wrong.
pub(super) fn corrupt(kind: &str, payload: &Value) -> Bytes {
    let mut bytes = event(kind, payload).to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 0xff;
    }
    bytes.into()
}

fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.extend_from_slice(name.as_bytes());
        head.push(STRING);
        // A header's value is at most this long; an exception's type is the script's, and may be cut.
        let value = &value.as_bytes()[..value.len().min(usize::from(u16::MAX))];
        head.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend_from_slice(value);
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    let total = FRAMING + head.len() + payload.len();
    let mut frame = Vec::with_capacity(total);
    frame.extend_from_slice(&length(total));
    frame.extend_from_slice(&length(head.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_frame_without_headers_is_the_one_of_the_specification() {
        // The empty message of AWS's own test vectors.
        let empty = frame(&[], b"");
        let expected = [
            0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff,
        ];
        assert_eq!(empty[..], expected);
    }

    #[test]
    fn a_corrupt_frame_differs_in_its_checksum_only() {
        let (good, bad) = (event("a", &json!({})), corrupt("a", &json!({})));
        assert_eq!(good[..good.len() - 1], bad[..bad.len() - 1]);
        assert_ne!(good, bad);
    }
}
