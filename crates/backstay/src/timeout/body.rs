//! The body: the clocks to its last frame.

use super::{alone::Alone, future::Running, limits::Limits};
use crate::{
    FRAMES_BETWEEN_LOOKS,
    alarm::Alarm,
    call::{Claim, Held},
    error::{BoxError, Error},
    observe::{Content, Observer, Signals},
    trail::{Note, Outcome},
};
use bytes::Bytes;
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
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
    // First, so that the attempt's end is written before the call is let go.
    alone: Option<Alone>,
    call: Held,
    observer: Observer,
    limits: Limits,
    alarm: Alarm,
    /// No clock runs: there is nothing to set the alarm to.
    timeless: bool,
    frames: u8,
    /// A frame has come since the clock was read last.
    touched: bool,
    /// A semantic event has come since the clock was read last.
    progressed: bool,
    /// The end marker has come.
    ended: bool,
}

/// How the layer itself ends a body.
enum Ending {
    /// A clock ran out.
    Expired(Error),
    /// The end marker had come, and the transfer did not end.
    Quiet,
}

// === impl TimeoutsBody ===

impl<B> TimeoutsBody<B> {
    pub(super) fn new(inner: B, parts: &Parts, running: Running) -> Self {
        let Running {
            alone,
            call,
            mut limits,
            alarm,
        } = running;
        let now = Instant::now();
        limits.headers_came(now);
        call.head_came(now, parts.status);
        call.claim(Claim::Observer);
        let observer = Observer::new(&call, &parts.headers);
        if observer.content() == Content::Encoded {
            call.with_attempt(|attempt| attempt.note(Note::Encoded));
        }
        Self {
            inner: Some(inner),
            watch: Some(Watch {
                alone,
                call,
                // The clocks between frames start when the body is pending for the first time: a consumer
                // that takes its time after the head is no stalled server.
                touched: true,
                progressed: observer.content() != Content::Events,
                observer,
                limits,
                alarm,
                timeless: false,
                frames: 0,
                ended: false,
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

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let end = match inner.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match this.watch.as_mut().and_then(|w| w.frame(&frame))
            {
                None => return Poll::Ready(Some(Ok(frame))),
                Some(end) => end,
            },
            Poll::Pending => match this.watch.as_mut().and_then(|watch| watch.pending(cx)) {
                None => return Poll::Pending,
                Some(end) => end,
            },
            Poll::Ready(Some(Err(error))) => {
                // Nothing follows: the upstream and the call are let go.
                let error = error.into();
                over(this.watch, Some(&*error));
                this.inner.set(None);
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(None) => {
                over(this.watch, None);
                this.inner.set(None);
                return Poll::Ready(None);
            }
        };
        *this.watch = None;
        this.inner.set(None);
        Poll::Ready(end.into_frame())
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

// === impl Ending ===

impl Ending {
    fn into_frame(self) -> Option<Result<Frame<Bytes>, BoxError>> {
        match self {
            Self::Expired(error) => Some(Err(error.into())),
            Self::Quiet => None,
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Notes a frame. While frames keep coming only the fixed clocks can run out, and they are looked at
    /// now and then.
    #[inline]
    fn frame(&mut self, frame: &Frame<Bytes>) -> Option<Ending> {
        let seen = self.observer.frame(&self.call, frame);
        self.touched = true;
        if seen.has(Signals::OUTPUT) {
            self.progressed = true;
            self.limits.first_token_came();
        }
        if seen.has(Signals::ENDED) && !self.ended {
            self.ended = true;
            self.limits.answer_ended(Instant::now());
        }
        self.frames = self.frames.wrapping_add(1);
        if self.frames % FRAMES_BETWEEN_LOOKS == 0 {
            self.restart();
            return self.expired();
        }
        None
    }

    #[inline]
    fn pending(&mut self, cx: &mut Context<'_>) -> Option<Ending> {
        self.restart();
        // Frames only move the next end away: the alarm may go off early then, and is set again.
        if !self.limits.take_sooner() && (self.timeless || self.alarm.will_wake(cx)) {
            return None;
        }
        self.wait(cx)
    }

    #[cold]
    fn wait(&mut self, cx: &mut Context<'_>) -> Option<Ending> {
        let next = self.limits.next();
        self.timeless = next.is_none();
        if self.alarm.poll(cx, next).is_pending() {
            return None;
        }
        self.expired()
    }

    /// Starts the clocks that count from the last frame: at the first look after it, so that time in
    /// which the consumer did not poll is not counted.
    #[inline]
    fn restart(&mut self) {
        if self.touched {
            self.touched = false;
            if self.limits.count_between_frames() {
                self.limits.restart(Instant::now(), self.progressed);
            }
            self.progressed = false;
        }
    }

    /// What ends the body now, if anything does: a clock that ran out, or, after the end marker, nothing
    /// worth an error.
    #[cold]
    fn expired(&mut self) -> Option<Ending> {
        let now = Instant::now();
        let expired = self.limits.expired(now)?;
        if self.ended {
            if let Some(alone) = self.alone.take() {
                alone.complete();
            }
            return Some(Ending::Quiet);
        }
        let error = Error::timeout(&self.call, expired.clock, expired.limit, expired.elapsed);
        let at = self.call.since_start(now);
        self.call.with_attempt(|attempt| {
            attempt.uncertain = true;
            attempt.end(Outcome::Timeout(expired.clock), at);
        });
        Some(Ending::Expired(error))
    }
}

/// The body has come to its end, or failed.
#[cold]
fn over(watch: &mut Option<Watch>, error: Option<&(dyn StdError + 'static)>) {
    if let Some(alone) = watch.take().and_then(|mut watch| watch.alone.take()) {
        match error {
            Some(error) => alone.failed(error),
            None => alone.complete(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.call.received(self.observer.bytes());
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
