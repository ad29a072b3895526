//! `google.rpc.RetryInfo`, which Gemini and Vertex put into the body of an error.

use std::time::Duration;

use super::value;
use crate::json::{Cursor, Stopped};

/// The wait that the body asks for, in `error.details[].retryDelay`. The body may end anywhere.
pub(super) fn read(body: &[u8]) -> Option<Duration> {
    let mut found = None;
    let mut cursor = Cursor::new(body);
    // A document that breaks off has said what it has said.
    let _ = match cursor.peek() {
        // A stream that is a JSON array, and the endpoint of OpenAI's shape, wrap the error.
        Some(b'[') => cursor.array(|cursor| document(cursor, &mut found)),
        _ => document(&mut cursor, &mut found),
    };
    found
}

fn document(cursor: &mut Cursor<'_>, found: &mut Option<Duration>) -> Result<(), Stopped> {
    cursor.object(|cursor, key| match key {
        b"error" => cursor.object(|cursor, key| match key {
            b"details" => cursor.array(|cursor| detail(cursor, found)),
            _ => cursor.skip(),
        }),
        _ => cursor.skip(),
    })
}

fn detail(cursor: &mut Cursor<'_>, found: &mut Option<Duration>) -> Result<(), Stopped> {
    let mut is_retry_info = false;
    let mut delay = None;
    cursor.object(|cursor, key| {
        match key {
            b"@type" => {
                let kind = cursor.plain_text()?.unwrap_or_default();
                is_retry_info = kind.ends_with(b"google.rpc.RetryInfo");
            }
            b"retryDelay" => {
                let text = cursor.plain_text()?.unwrap_or_default();
                delay = std::str::from_utf8(text)
                    .ok()
                    .and_then(value::protobuf_duration);
            }
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    if is_retry_info && found.is_none() {
        *found = delay;
    }
    Ok(())
}
