//! The body: the clocks to its last frame.

use super::limits::Limits;
use crate::{
    FRAMES_BETWEEN_LOOKS,
    alarm::Alarm,
    call::{Claim, Held},
    error::{BoxError, Error},
    observe::{Content, Observer, Signals},
    trail::Outcome,
};
use bytes::Bytes;
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;

pin_project! {
    /// The response body of [`TimeoutsService`](super::TimeoutsService).
    ///
    /// When a clock runs out it drops the inner body, yields the error once, and is at its end.
    pub struct TimeoutsBody<B> {
        #[pin]
        inner: Option<B>,
        watch: Option<Watch>,
    }
}

/// What is kept beside the body while it runs.
struct Watch {
    // First, so that its last words reach the trail before the call is let go.
    observer: Observer,
    call: Held,
    limits: Limits,
    alarm: Alarm,
    frames: u8,
    /// A frame has come since the clock was read last.
    touched: bool,
    /// A semantic event has come since the clock was read last.
    progressed: bool,
}

// === impl TimeoutsBody ===

impl<B> TimeoutsBody<B> {
    pub(super) fn new(
        inner: B,
        parts: &Parts,
        call: Held,
        mut limits: Limits,
        alarm: Alarm,
    ) -> Self {
        limits.headers_came();
        let now = Instant::now();
        let at = call.since_start(now);
        call.with_attempt(|attempt| {
            attempt.headers = Some(at);
            attempt.status = Some(parts.status);
        });
        call.claim(Claim::Observer);
        let observer = Observer::new(call.clone(), &parts.headers);
        // The clocks between frames start when the body is pending for the first time: a consumer that
        // takes its time after the head is no stalled server.
        let progressed = observer.content() != Content::Events;
        Self {
            inner: Some(inner),
            watch: Some(Watch {
                observer,
                call,
                limits,
                alarm,
                frames: 0,
                touched: true,
                progressed,
            }),
        }
    }
}

impl<B> Body for TimeoutsBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = inner.poll_frame(cx);
        let Some(watch) = this.watch else {
            return polled.map_err(Into::into);
        };
        let expired = match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if !watch.frame(&frame) {
                    return Poll::Ready(Some(Ok(frame)));
                }
                watch.expired()
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                watch.restart();
                ready!(watch.alarm.poll(cx, watch.limits.next()));
                watch.expired()
            }
        };
        let Some(error) = expired else {
            return Poll::Pending;
        };
        *this.watch = None;
        this.inner.set(None);
        Poll::Ready(Some(Err(error.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

// === impl Watch ===

impl Watch {
    /// Notes a frame. True when this is a frame at which a flood is looked at, and a clock ran out.
    #[inline]
    fn frame(&mut self, frame: &Frame<Bytes>) -> bool {
        let seen = self.observer.frame(frame);
        self.touched = true;
        if seen.has(Signals::OUTPUT) {
            self.progressed = true;
            self.limits.first_token_came();
        }
        if seen.has(Signals::ENDED) {
            self.limits.answer_ended();
        }
        self.frames = self.frames.wrapping_add(1);
        self.frames % FRAMES_BETWEEN_LOOKS == 0 && self.flood()
    }

    /// While frames keep coming only the fixed clocks can run out.
    #[cold]
    fn flood(&mut self) -> bool {
        self.restart();
        self.limits.expired(Instant::now()).is_some()
    }

    /// Starts the clocks that count from the last frame: at the first look after it, so that time in
    /// which the consumer did not poll is not counted.
    #[inline]
    fn restart(&mut self) {
        if self.touched {
            self.touched = false;
            if self.limits.counts_between_frames() {
                let now = Instant::now();
                self.limits.restart_liveness(now);
                if self.progressed {
                    self.limits.restart_idle(now);
                }
            }
            self.progressed = false;
        }
    }

    fn expired(&mut self) -> Option<Error> {
        let now = Instant::now();
        let expired = self.limits.expired(now)?;
        let error = Error::timeout(&self.call, expired.clock, expired.limit, expired.elapsed);
        let at = self.call.since_start(now);
        self.call.with_attempt(|attempt| {
            attempt.uncertain = true;
            attempt.end(Outcome::Timeout(expired.clock), at);
        });
        Some(error)
    }
}

/// A body without clocks: for clients that want an empty body of this type.
impl<B: Default> Default for TimeoutsBody<B> {
    fn default() -> Self {
        Self {
            inner: Some(B::default()),
            watch: None,
        }
    }
}

impl<B> fmt::Debug for TimeoutsBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutsBody")
            .field(
                "observer",
                &self.watch.as_ref().map(|watch| &watch.observer),
            )
            .finish_non_exhaustive()
    }
}
