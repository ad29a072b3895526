//! Reading a request's body, within its bounds.

use crate::{
    config::Limits,
    refusal::Refusal,
    shared::{Reserved, Shared},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use hyper::body::Incoming;
use std::{future::poll_fn, pin::Pin};
use tokio::time::timeout;

/// A body in memory, and the room that it takes.
pub(super) struct Upload {
    pub(super) bytes: Bytes,
    pub(super) reserved: Reserved,
}

/// Reserved at once for a body that does not say how long it is.
const FIRST_STEP: usize = 16 * 1024;

pub(super) async fn read(
    shared: &Shared,
    limits: &Limits,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Upload, Refusal> {
    let announced = match headers.get(header::CONTENT_LENGTH) {
        // hyper has refused what is no number.
        Some(length) => length.to_str().ok().and_then(|text| text.parse().ok()),
        None => None,
    };
    let mut reading = Reading {
        body,
        most: limits.request_body,
        reserved: Reserved::none(&shared.buffered),
    };
    reading.make_room(announced.unwrap_or_default())?;
    // The timer is made when something is waited for first.
    match timeout(limits.body_time, reading.whole(announced)).await {
        Ok(read) => Ok(Upload {
            bytes: read?,
            reserved: reading.reserved,
        }),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow_request_body",
            "the request's body did not come within `limits.body_time`",
        )),
    }
}

struct Reading {
    body: Incoming,
    most: usize,
    reserved: Reserved,
}

// === impl Reading ===

impl Reading {
    async fn whole(&mut self, announced: Option<usize>) -> Result<Bytes, Refusal> {
        let Some(first) = self.frame().await? else {
            return Ok(Bytes::new());
        };
        // Most bodies come in one piece, which need not be copied.
        self.make_room(first.len())?;
        if self.body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.frame().await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::with_capacity(announced.unwrap_or(FIRST_STEP).max(first.len()));
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            self.make_room(whole.len().saturating_add(piece.len()))?;
            whole.extend_from_slice(&piece);
            next = self.frame().await?;
        }
        Ok(whole.freeze())
    }

    /// The next piece. Trailers say nothing to any API that is spoken to.
    async fn frame(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            match poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(_)) => {
                    return Err(Refusal::bad(
                        "broken_request_body",
                        "the request's body broke off, or is not framed as its head says",
                    ));
                }
            }
        }
    }

    fn make_room(&mut self, total: usize) -> Result<(), Refusal> {
        if total > self.most {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                format!(
                    "the request's body is over `limits.request_body` ({} bytes)",
                    self.most
                ),
            ));
        }
        if self.reserved.grow_to(total) {
            Ok(())
        } else {
            Err(Refusal::busy(
                "too_much_buffered",
                "the bodies of other requests fill `limits.buffered`",
            ))
        }
    }
}
