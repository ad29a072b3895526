//! Writes frames of Amazon's event streams, independently of what reads them.

#![allow(clippy::unwrap_used, reason = "only tests use it")]
#![allow(dead_code, reason = "not every test needs each of them")]

/// A frame of an event as Bedrock writes it.
pub(crate) fn event(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [
        text(":event-type", kind),
        text(":content-type", "application/json"),
        text(":message-type", "event"),
    ];
    frame(&headers.concat(), payload.as_bytes())
}

/// A frame of an exception as Bedrock writes it.
pub(crate) fn exception(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [
        text(":exception-type", kind),
        text(":content-type", "application/json"),
        text(":message-type", "exception"),
    ];
    frame(&headers.concat(), payload.as_bytes())
}

/// A header whose value is text.
pub(crate) fn text(name: &str, value: &str) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    header(name, 7, &[&length, value.as_bytes()].concat())
}

pub(crate) fn header(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[length], name.as_bytes(), &[kind], value].concat()
}

pub(crate) fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap();
    let total = length(headers.len() + payload.len() + 16);
    let start = [&prelude(total, length(headers.len())), headers, payload].concat();
    let sum = checksum(&start).to_be_bytes();
    [start, sum.into()].concat()
}

/// The start of a frame that says to have these lengths, with a checksum that is right.
pub(crate) fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let lengths = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    let sum = checksum(&lengths).to_be_bytes();
    [lengths, sum.into()].concat()
}

/// CRC-32 (ISO 3309), bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut sum: u32, &byte| {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ ((sum & 1) * 0xedb8_8320);
        }
        sum
    })
}
