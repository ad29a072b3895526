//! The future: the answer, and the body of one that failed.

use crate::{
    FRAMES_BETWEEN_LOOKS,
    alarm::Alarm,
    call::Held,
    error::{BoxError, Error, ErrorKind, Upstream},
};
use bytes::{Buf, BufMut, BytesMut};
use http::{Response, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Duration, Instant};

pin_project! {
    /// The response future of [`StatusErrorService`](super::StatusErrorService).
    #[must_use = "futures do nothing unless polled"]
    pub struct StatusErrorFuture<F, R> {
        #[pin]
        inner: F,
        reading: Option<Reading<R>>,
        call: Option<Held>,
    }
}

/// The body of an answer that failed. Boxed, because it need not be `Unpin` and is read seldom.
struct Reading<R> {
    parts: Parts,
    body: Pin<Box<R>>,
    read: BytesMut,
    until: Instant,
    frames: u8,
    alarm: Alarm,
}

/// How much of the body is kept.
const MAX_BODY: usize = 64 * 1024;
/// How long is waited for it.
const MAX_TIME: Duration = Duration::from_secs(1);

// === impl StatusErrorFuture ===

impl<F, R> StatusErrorFuture<F, R> {
    pub(super) fn new(inner: F, call: Held) -> Self {
        Self {
            inner,
            reading: None,
            call: Some(call),
        }
    }
}

impl<F, R, E> Future for StatusErrorFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body,
    R::Data: Buf,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let reading = match this.reading {
            Some(reading) => reading,
            None => {
                let mut response = match ready!(this.inner.poll(cx)) {
                    Ok(response) => response,
                    Err(error) => return Poll::Ready(Err(error.into())),
                };
                if let Some(call) = this.call {
                    call.leave_trail(response.extensions_mut());
                }
                if response.status().is_success() {
                    // This layer has no body of its own, so that the call is out of its hands.
                    if let Some(call) = this.call.take() {
                        call.hand_on();
                    }
                    return Poll::Ready(Ok(response));
                }
                this.reading.insert(Reading::new(response))
            }
        };
        let complete = ready!(reading.poll(cx));
        let (Some(reading), Some(call)) = (this.reading.take(), this.call.take()) else {
            return Poll::Pending;
        };
        Poll::Ready(Err(reading.into_error(&call, complete).into()))
    }
}

impl<F, R> fmt::Debug for StatusErrorFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusErrorFuture")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

// === impl Reading ===

impl<R> Reading<R>
where
    R: Body,
    R::Data: Buf,
{
    fn new(response: Response<R>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            parts,
            body: Box::pin(body),
            read: BytesMut::new(),
            until: Instant::now() + MAX_TIME,
            frames: 0,
            alarm: Alarm::default(),
        }
    }

    /// Whether that is all of the body. What breaks off is kept as far as it came.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        let room = MAX_BODY - self.read.len();
                        let more = data.remaining() > room;
                        self.read.put(data.take(room));
                        if more {
                            return Poll::Ready(false);
                        }
                    }
                    self.frames = self.frames.wrapping_add(1);
                    if self.frames.is_multiple_of(FRAMES_BETWEEN_LOOKS)
                        && Instant::now() >= self.until
                    {
                        return Poll::Ready(false);
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending => return self.alarm.poll(cx, Some(self.until)).map(|()| false),
            }
        }
    }

    fn into_error(self, call: &Held, complete: bool) -> Error {
        let Parts {
            status, headers, ..
        } = self.parts;
        let body = self.read.freeze();
        Error::of(call, ErrorKind::Status(status))
            .at_target_that_answered(status)
            .with_upstream(Upstream::new(status, headers, body, complete))
    }
}
