//! The body: what was held, then the rest of it, to its end evidence.

use super::{
    cool_down::Trial,
    frames::Frames,
    linger::linger,
    live::{Live, Stage},
};
use crate::{
    alarm::Alarm,
    call::Held,
    error::BoxError,
    observe::{Content, LINGER, Observer, Polled, Signals, pass},
    trail::{Note, Outcome},
};
use backstay_dialect::JsonEnd;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    fmt,
    mem::ManuallyDrop,
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
        trial: Trial,
    ) -> Self {
        let stage = |call: &Held| {
            if inner.is_none() {
                Stage::Over
            } else if content == Content::Events && call.signals().has(Signals::ENDED) {
                Stage::Ended(None)
            } else {
                Stage::Open
            }
        };
        let json = (content == Content::Json && inner.is_some()).then(|| {
            let mut end = Box::<JsonEnd>::default();
            frames.data().for_each(|data| end.feed(data));
            end
        });
        let bytes = frames.bytes();
        let mut body = Self {
            live: call.map(|call| Live {
                stage: stage(&call),
                call,
                observer,
                content,
                json,
                bytes,
                alarm: Alarm::default(),
                trial,
                linger: linger::<R>,
            }),
            frames,
            inner,
        };
        if let (Some(live), Some(inner)) = (&mut body.live, &body.inner) {
            match live.stage {
                Stage::Ended(_) => live.complete(),
                // A consumer may never poll a body that has nothing in it.
                Stage::Open if inner.is_end_stream() => body.length_reached(),
                _ => {}
            }
        }
        body
    }
}

impl<R> FallbackBody<R> {
    /// A consumer that knows the length does not come back for the end.
    #[cold]
    fn length_reached(&mut self) {
        if let Some(live) = &mut self.live
            && live.judge().is_none()
        {
            live.complete();
            live.stage = Stage::Over;
            self.inner = None;
        }
    }

    /// A failure that is passed on: what was read of it, then the rest.
    pub(super) fn answer(read: Bytes, rest: Option<R>) -> Self {
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

impl<R> FallbackBody<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    /// The end marker was in this frame. Most servers end the transfer in the same breath: then nothing is
    /// left to wait for.
    #[cold]
    fn marker_came(&mut self, cx: &mut Context<'_>) {
        let (Some(inner), Some(live)) = (&mut self.inner, &mut self.live) else {
            return;
        };
        live.complete();
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(more))) => self.frames.push(more),
            Poll::Ready(_) => {
                live.stage = Stage::Over;
                self.inner = None;
            }
            Poll::Pending => {}
        }
    }

    #[cold]
    fn ended(&mut self) -> Polled<Bytes> {
        let Some(live) = &mut self.live else {
            self.inner = None;
            return Poll::Ready(None);
        };
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
        self.inner = None;
        Poll::Ready(error)
    }

    #[cold]
    fn broke(&mut self, error: BoxError) -> Polled<Bytes> {
        let error = match &mut self.live {
            // The answer is whole; what becomes of its connection is nobody's business.
            Some(live) if matches!(live.stage, Stage::Ended(_)) => None,
            Some(live) if live.is_whole_json() => {
                live.complete();
                None
            }
            Some(live) => Some(live.broke(error)),
            None => Some(error),
        };
        if let Some(live) = &mut self.live {
            live.stage = Stage::Over;
        }
        self.inner = None;
        Poll::Ready(error.map(Err))
    }

    /// The end, however it comes.
    #[cold]
    #[inline(never)]
    fn rest<E: Into<BoxError>>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Polled<Bytes, E>,
    ) -> Polled<Bytes> {
        let polled = polled.map_err(Into::into);
        match polled {
            Poll::Ready(Some(Ok(_))) => {
                if let (Some(inner), Some(live)) = (&self.inner, &mut self.live) {
                    if live.has_just_ended() {
                        self.marker_came(cx);
                    } else if matches!(live.stage, Stage::Open) && inner.is_end_stream() {
                        self.length_reached();
                    }
                }
                polled
            }
            Poll::Ready(Some(Err(error))) => self.broke(error),
            Poll::Ready(None) => self.ended(),
            Poll::Pending => polled,
        }
    }

    /// A frame that was held, or what is left to do after the last one.
    #[cold]
    #[inline(never)]
    fn poll_aside(&mut self, cx: &mut Context<'_>) -> Polled<Bytes> {
        if let Some(polled) = self.before_rest(cx) {
            return polled;
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *inner).poll_frame(cx).map_err(Into::into);
        if let (Poll::Ready(Some(Ok(frame))), Some(live)) = (&polled, &mut self.live) {
            live.passes(frame);
        }
        self.rest(cx, polled)
    }

    fn before_rest(&mut self, cx: &mut Context<'_>) -> Option<Polled<Bytes>> {
        if let Some(frame) = self.frames.pop() {
            return Some(Poll::Ready(Some(Ok(frame))));
        }
        if self.inner.is_none() {
            return Some(Poll::Ready(None));
        }
        let live = self.live.as_mut()?;
        match live.stage {
            Stage::Broken => {
                let error = live.fail(Outcome::InBand);
                live.stage = Stage::Over;
                self.inner = None;
                Some(Poll::Ready(Some(Err(error))))
            }
            Stage::Ended(until) => {
                let until = until.unwrap_or_else(|| Instant::now() + LINGER);
                live.stage = Stage::Ended(Some(until));
                if live.alarm.poll(cx, Some(until)).is_pending() {
                    return None;
                }
                live.stage = Stage::Over;
                self.inner = None;
                Some(Poll::Ready(None))
            }
            Stage::Open | Stage::Over => None,
        }
    }

    /// Whether the next thing is a frame from within.
    #[inline]
    fn flows(&self) -> bool {
        self.frames.is_empty()
            && self.inner.is_some()
            && match &self.live {
                Some(live) => matches!(live.stage, Stage::Open),
                None => true,
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

    #[inline(always)]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<Bytes> {
        let this = self.get_mut();
        if !this.flows() {
            return this.poll_aside(cx);
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let polled = ManuallyDrop::new(Pin::new(&mut *inner).poll_frame(cx));
        let usual = match (&*polled, &mut this.live) {
            (Poll::Ready(Some(Ok(frame))), Some(live)) => {
                live.passes(frame) && frame.is_data() && !inner.is_end_stream()
            }
            (Poll::Ready(Some(Ok(frame))), None) => frame.is_data(),
            (Poll::Pending, _) => return Poll::Pending,
            (Poll::Ready(_), _) => false,
        };
        if usual {
            pass(ManuallyDrop::into_inner(polled))
        } else {
            this.rest(cx, ManuallyDrop::into_inner(polled))
        }
    }

    fn is_end_stream(&self) -> bool {
        if !self.frames.is_empty() {
            return false;
        }
        match (&self.inner, &self.live) {
            (None, _) => true,
            (Some(inner), None) => inner.is_end_stream(),
            // The end of a transfer is no evidence for the end of an answer.
            (Some(inner), Some(live)) => {
                matches!(live.stage, Stage::Open) && inner.is_end_stream() && live.judge().is_none()
            }
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
                    .with_attempt(|attempt| attempt.note(Note::Lingered));
                (live.linger)(inner);
            }
            Stage::Open => live.abandoned(),
            // SDKs raise at the error and drop the body.
            Stage::Broken => drop(live.fail(Outcome::InBand)),
            Stage::Over => {}
        }
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
        f.debug_struct("FallbackBody")
            .field("held_bytes", &self.frames.bytes())
            .field("stage", &self.live.as_ref().map(|live| live.stage))
            .finish_non_exhaustive()
    }
}
