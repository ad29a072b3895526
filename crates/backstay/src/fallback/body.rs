//! The body: what was held, then the rest of it, to its end evidence.

use super::{
    future::in_band,
    hold::Frames,
    linger::{LINGER, linger},
};
use crate::{
    alarm::Alarm,
    call::{Call, Held, Over},
    error::{BoxError, Error, ErrorKind},
    observe::{Content, Observer, Signals},
    trail::{Note, Outcome},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// The response body of [`FallbackService`](super::FallbackService).
///
/// After commit a failure ends it with a typed error: an in-band error after the frame that carries it, a
/// truncation in place of the end.
pub struct FallbackBody<R> {
    frames: Frames,
    /// While it may have more.
    inner: Option<R>,
    live: Option<Live<R>>,
}

/// What is kept beside a body that is an answer and not a failure passed on.
struct Live<R> {
    // First, so that its last words reach the trail before the call is let go.
    observer: Option<Observer>,
    call: Held,
    content: Content,
    alarm: Alarm,
    stage: Stage,
    /// Set where the bounds of a task are known.
    linger: fn(R),
}

#[derive(Debug)]
enum Stage {
    /// The answer is arriving.
    Open,
    /// An in-band error was passed on; the typed one is next.
    Broken,
    /// The end marker has passed; the transfer is given until then to end too.
    Ended(Option<Instant>),
    /// Nothing follows.
    Over,
}

// === impl FallbackBody ===

impl<R> FallbackBody<R>
where
    R: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// An answer that was let through.
    pub(super) fn live(
        frames: Frames,
        inner: Option<R>,
        observer: Option<Observer>,
        content: Content,
        call: Option<Held>,
    ) -> Self {
        let over = inner.is_none();
        Self {
            frames,
            inner,
            live: call.map(|call| Live {
                stage: if over {
                    Stage::Over
                } else if content == Content::Events && call.signals().has(Signals::ENDED) {
                    Stage::Ended(None)
                } else {
                    Stage::Open
                },
                observer,
                call,
                content,
                alarm: Alarm::default(),
                linger: linger::<R>,
            }),
        }
    }
}

impl<R> FallbackBody<R> {
    /// A failure that is passed on: what was read of it, then the rest.
    pub(super) fn answer(read: Bytes, rest: Option<R>, call: Option<Held>) -> Self {
        // The call is over; its record may be let go.
        drop(call);
        let mut frames = Frames::default();
        if !read.is_empty() {
            frames.push(Frame::data(read));
        }
        Self {
            frames,
            inner: rest,
            live: None,
        }
    }
}

impl<R> Body for FallbackBody<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(frame) = this.frames.pop() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let Some(live) = &mut this.live else {
            let polled = Pin::new(inner).poll_frame(cx).map_err(Into::into);
            if let Poll::Ready(None | Some(Err(_))) = polled {
                this.inner = None;
            }
            return polled;
        };
        if let Stage::Broken = live.stage {
            let error = live.fail(Outcome::InBand);
            this.inner = None;
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                live.frame(&frame);
                if live.has_just_ended() {
                    live.complete();
                    // Most servers end the transfer in the same breath: then nothing is left to wait for.
                    match Pin::new(inner).poll_frame(cx) {
                        Poll::Ready(Some(Ok(more))) => this.frames.push(more),
                        Poll::Ready(_) => {
                            live.stage = Stage::Over;
                            this.inner = None;
                        }
                        Poll::Pending => {}
                    }
                } else if live.content != Content::Events && inner.is_end_stream() {
                    // A consumer that knows the length does not come back for the end.
                    if live.judge().is_none() {
                        live.complete();
                        live.stage = Stage::Over;
                        this.inner = None;
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let ended = matches!(live.stage, Stage::Ended(_));
                let error = (!ended).then(|| live.broke(error.into()));
                live.stage = Stage::Over;
                this.inner = None;
                Poll::Ready(error.map(Err))
            }
            Poll::Ready(None) => {
                let failed = match live.stage {
                    Stage::Open => live.judge(),
                    _ => None,
                };
                let error = match failed {
                    Some(outcome) => Some(Err(live.fail(outcome))),
                    None => {
                        live.complete();
                        None
                    }
                };
                live.stage = Stage::Over;
                this.inner = None;
                Poll::Ready(error)
            }
            Poll::Pending => {
                let Stage::Ended(until) = &mut live.stage else {
                    return Poll::Pending;
                };
                let until = *until.get_or_insert_with(|| Instant::now() + LINGER);
                if live.alarm.poll(cx, Some(until)).is_pending() {
                    return Poll::Pending;
                }
                live.stage = Stage::Over;
                this.inner = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        if !self.frames.is_empty() {
            return false;
        }
        match (&self.inner, &self.live) {
            (None, _) => true,
            // The end of a transfer is no evidence for the end of an answer.
            (Some(_), Some(live)) if live.content == Content::Events => false,
            (Some(inner), _) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.frames.bytes() as u64;
        let inner = match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(held)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<R> Drop for FallbackBody<R> {
    fn drop(&mut self) {
        let (Some(inner), Some(live)) = (self.inner.take(), &mut self.live) else {
            return;
        };
        match live.stage {
            Stage::Ended(_) => {
                live.call
                    .with_attempt(|attempt| attempt.note = Some(Note::Lingered));
                (live.linger)(inner);
            }
            Stage::Open | Stage::Broken => live.abandoned(),
            Stage::Over => {}
        }
    }
}

// === impl Live ===

impl<R> Live<R> {
    #[inline]
    fn frame(&mut self, frame: &Frame<Bytes>) {
        if let Some(observer) = &mut self.observer {
            observer.frame(frame);
        }
        if self.call.signals().has(Signals::ERROR) {
            self.stage = Stage::Broken;
        }
    }

    #[inline]
    fn has_just_ended(&mut self) -> bool {
        let ended = matches!(self.stage, Stage::Open)
            && self.content == Content::Events
            && self.call.signals().has(Signals::ENDED);
        if ended {
            self.stage = Stage::Ended(None);
        }
        ended
    }

    /// What is wrong with the answer if this is all of it.
    fn judge(&self) -> Option<Outcome> {
        let seen = self.call.signals();
        match self.content {
            Content::Opaque | Content::Encoded => None,
            _ if seen.has(Signals::FINISHED) => None,
            _ if !seen.has(Signals::OUTPUT) => Some(Outcome::Empty),
            Content::Events if seen.has(Signals::ENDED) => None,
            Content::Events | Content::Json => Some(Outcome::Truncated),
        }
    }

    fn complete(&self) {
        self.ended(Outcome::Complete);
    }

    fn ended(&self, outcome: Outcome) {
        let at = self.call.since_start(Instant::now());
        self.call.with_state(|state| {
            if let Some(attempt) = state.trail.last_mut() {
                attempt.end(outcome, at);
            }
            state.trail.end(at);
        });
    }

    fn fail(&self, outcome: Outcome) -> BoxError {
        let kind = match outcome {
            Outcome::InBand => ErrorKind::InBand(in_band(&self.call).class),
            Outcome::Empty => ErrorKind::Empty,
            _ => ErrorKind::Truncated,
        };
        self.ended(outcome);
        if let ErrorKind::InBand(_) = kind {
            let failure = in_band(&self.call);
            self.call.with_attempt(|attempt| {
                attempt.class = Some(failure.class);
                attempt.code = failure.code;
            });
        }
        Error::of(&self.call, kind).into()
    }

    /// A transport error, or what a layer further in says.
    fn broke(&self, error: BoxError) -> BoxError {
        if let Some(known) = Error::find(&*error) {
            let outcome = match known.kind() {
                ErrorKind::Timeout(clock) => Outcome::Timeout(clock),
                ErrorKind::Deadline => Outcome::Deadline,
                ErrorKind::Cancelled(_) => Outcome::Cancelled,
                _ => Outcome::Transport,
            };
            self.ended(outcome);
            return error;
        }
        self.ended(Outcome::Transport);
        Error::of(&self.call, ErrorKind::Transport)
            .with_source(error)
            .into()
    }

    fn abandoned(&self) {
        let outcome = match self.call.over() {
            Some(Over::Deadline) => Outcome::Deadline,
            _ => Outcome::Cancelled,
        };
        self.ended(outcome);
    }
}

/// An empty body without a call: for clients that want one of this type.
impl<R: Default> Default for FallbackBody<R> {
    fn default() -> Self {
        Self {
            frames: Frames::default(),
            inner: Some(R::default()),
            live: None,
        }
    }
}

impl<R> fmt::Debug for FallbackBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call: Option<&Call> = self.live.as_ref().map(|live| &*live.call);
        f.debug_struct("FallbackBody")
            .field("held_bytes", &self.frames.bytes())
            .field("call", &call)
            .finish_non_exhaustive()
    }
}
