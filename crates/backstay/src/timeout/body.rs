//! The body: the clocks to its last frame.

use super::{alone::Alone, future::Running, limits::Limits};
use crate::{
    FRAMES_BETWEEN_LOOKS,
    alarm::Alarm,
    call::{Claim, Held},
    error::{BoxError, Error},
    observe::{Content, End, Observer, Polled, Signals, end_instead, pass},
    timeout::Clock,
    trail::{Note, Outcome},
};
use bytes::Bytes;
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    fmt,
    mem::ManuallyDrop,
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
        // Set where the bounds of a body are known.
        is_over: Option<fn(&B) -> bool>,
    }

    impl<B> PinnedDrop for TimeoutsBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // A consumer that knows the length does not come back for the end.
            if let Some(watch) = this.watch
                && watch.alone.is_some()
                && let (Some(inner), Some(is_over)) = (this.inner.as_ref().get_ref(), this.is_over)
                && !std::thread::panicking()
                && is_over(inner)
                && let Some(alone) = watch.alone.take()
            {
                alone.complete();
            }
        }
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
    /// What has come, of that which stops a clock for good.
    noted: Signals,
}

/// How the layer itself ends a body.
enum Ending {
    /// A clock ran out.
    Expired(Error),
    /// The answer is all there, and the transfer did not end.
    Quiet,
}

// === impl TimeoutsBody ===

impl<B: Body> TimeoutsBody<B> {
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
        // A consumer may never poll a body that has nothing in it.
        let alone = match alone {
            Some(alone) if inner.is_end_stream() => {
                alone.complete();
                None
            }
            alone => alone,
        };
        Self {
            inner: Some(inner),
            is_over: Some(B::is_end_stream),
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
                noted: Signals::NONE,
            }),
        }
    }
}

impl<B> TimeoutsBody<B> {
    /// A look at the clocks.
    #[cold]
    #[inline(never)]
    fn look(self: Pin<&mut Self>) -> Option<End> {
        let mut this = self.project();
        let watch = this.watch.as_mut()?;
        watch.restart();
        let end = watch.expired()?;
        *this.watch = None;
        this.inner.set(None);
        Some(end.into_end())
    }

    #[cold]
    #[inline(never)]
    fn wait(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let mut this = self.project();
        let Some(end) = this.watch.as_mut().and_then(|watch| watch.wait(cx)) else {
            return Poll::Pending;
        };
        *this.watch = None;
        this.inner.set(None);
        Poll::Ready(end.into_end())
    }

    /// Some bodies do not say that nothing follows their trailers, and a consumer may not come back for the end.
    /// But of an answer that is not whole a stack further in may still say so.
    #[cold]
    #[inline(never)]
    fn trailers_came(self: Pin<&mut Self>) {
        if self.watch.as_ref().is_none_or(Watch::may_be_whole) {
            self.ended(None);
        }
    }

    /// Nothing follows: the upstream and the call are let go.
    #[cold]
    #[inline(never)]
    fn ended(self: Pin<&mut Self>, error: Option<&BoxError>) {
        let mut this = self.project();
        if let Some(alone) = this.watch.as_mut().and_then(|watch| watch.alone.take()) {
            match error {
                Some(error) => alone.failed(&**error),
                None => alone.complete(),
            }
        }
        *this.watch = None;
        this.inner.set(None);
    }
}

impl<B> Body for TimeoutsBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline(always)]
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<Bytes> {
        let this = self.as_mut().project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        match inner.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = ManuallyDrop::new(frame);
                let usual = match this.watch {
                    Some(watch) => watch.passes(&frame),
                    None => true,
                };
                if !frame.is_data() {
                    self.trailers_came();
                } else if !usual && let Some(end) = self.look() {
                    return end_instead(frame, end);
                }
                pass(frame)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                self.ended(Some(&error));
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.ended(None);
                Poll::Ready(None)
            }
            Poll::Pending => {
                if this.watch.as_mut().is_none_or(|watch| watch.waits(cx)) {
                    return Poll::Pending;
                }
                self.wait(cx).map(|end| end.map(Err))
            }
        }
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
    fn into_end(self) -> End {
        match self {
            Self::Expired(error) => Some(error.into()),
            Self::Quiet => None,
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Notes a frame. While frames keep coming only the fixed clocks can run out, and they are looked at
    /// now and then: false when it is time for that.
    #[inline]
    fn passes(&mut self, frame: &Frame<Bytes>) -> bool {
        let seen = self.observer.frame(&self.call, frame);
        self.touched = true;
        self.progressed |= seen.has(Signals::OUTPUT);
        if seen.adds_to(self.noted) {
            self.note(seen);
        }
        self.frames = self.frames.wrapping_add(1);
        !self.frames.is_multiple_of(FRAMES_BETWEEN_LOOKS)
    }

    /// Whether nothing is missing, as far as can be told. Where a document ends is not looked at here.
    fn may_be_whole(&self) -> bool {
        match self.observer.content() {
            Content::Opaque | Content::Encoded => true,
            Content::Events => self.noted.has(Signals::ENDED | Signals::FINISHED),
            Content::Json => false,
        }
    }

    /// Something came for the first time.
    #[cold]
    fn note(&mut self, seen: Signals) {
        if seen.has(Signals::OUTPUT) {
            self.limits.first_token_came();
        }
        if seen.has(Signals::CONTENT) {
            self.limits.first_content_came();
        }
        if seen.has(Signals::ENDED) && !self.noted.has(Signals::ENDED) {
            self.limits.answer_ended(Instant::now());
            if let Some(alone) = self.alone.take() {
                alone.complete();
            }
        }
        self.noted |= seen;
    }

    /// Whether the alarm will wake the task in time. Frames only move the next end away: the alarm goes
    /// off early then, and is set again.
    #[inline(always)]
    fn waits(&mut self, cx: &Context<'_>) -> bool {
        self.restart();
        !self.limits.take_sooner() && (self.timeless || self.alarm.will_wake(cx))
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Option<Ending> {
        loop {
            let next = self.limits.next();
            self.timeless = next.is_none();
            if self.alarm.poll(cx, next).is_pending() {
                return None;
            }
            if let Some(end) = self.expired() {
                return Some(end);
            }
        }
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
        // What was kept for untried targets is of no use to them after commit.
        if self.call.attempt_limit().is_none() {
            self.limits.lift_end();
        }
        let now = Instant::now();
        let expired = self.limits.expired(now)?;
        // A stream without an end marker that says why it stopped, and then nothing, has ended too.
        let between_frames = matches!(expired.clock, Clock::Idle | Clock::Liveness);
        let finished = between_frames && self.call.signals().has(Signals::FINISHED);
        if self.noted.has(Signals::ENDED) || finished {
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

impl Drop for Watch {
    fn drop(&mut self) {
        self.observer.settle(&self.call);
    }
}

/// A body without clocks: for clients that want an empty body of this type.
impl<B: Default> Default for TimeoutsBody<B> {
    fn default() -> Self {
        Self {
            inner: Some(B::default()),
            watch: None,
            is_over: None,
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
