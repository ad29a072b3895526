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
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};
use tokio::time::timeout;

/// A body in memory, and the room that it takes.
pub(super) struct Upload {
    pub(super) bytes: Bytes,
    pub(super) reserved: Reserved,
}

/// Reserved at once for a body that does not say how long it is.
const FIRST_STEP: usize = 16 * 1024;

/// Reads all of it: within `limits`, and under the drain.
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
    let mut whole = pin!(reading.whole(announced));
    // Most bodies came with their head. Only who waits needs a timer, and the drain to end it.
    if let Some(read) = at_once(whole.as_mut()).await {
        return read;
    }
    let waiting = timeout(limits.body_time, whole);
    match shared.leaving.drain.track(waiting).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow_request_body",
            "the request's body did not come within `limits.body_time`",
        )),
        Err(error) => Err(Refusal::of_error(&error.into())),
    }
}

/// What a future yields without waiting for anything.
async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

struct Reading {
    body: Incoming,
    most: usize,
    reserved: Reserved,
}

// === impl Reading ===

impl Reading {
    async fn whole(mut self, announced: Option<usize>) -> Result<Upload, Refusal> {
        let Some(first) = self.frame().await? else {
            return Ok(self.read(Bytes::new()));
        };
        // Most bodies come in one piece, which need not be copied.
        self.make_room(first.len())?;
        if self.body.is_end_stream() {
            return Ok(self.read(first));
        }
        let Some(second) = self.frame().await? else {
            return Ok(self.read(first));
        };
        let mut whole = BytesMut::with_capacity(announced.unwrap_or(FIRST_STEP).max(first.len()));
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            self.make_room(whole.len().saturating_add(piece.len()))?;
            whole.extend_from_slice(&piece);
            next = self.frame().await?;
        }
        Ok(self.read(whole.freeze()))
    }

    fn read(self, bytes: Bytes) -> Upload {
        Upload {
            bytes,
            reserved: self.reserved,
        }
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
