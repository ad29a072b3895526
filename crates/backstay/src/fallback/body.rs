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
    observe::{Content, End, LINGER, Observer, Polled, Signals, pass},
    trail::{Note, Outcome},
};
use backstay_dialect::JsonEnd;
use bytes::Bytes;
use http_body::{Body, SizeHint};
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
    /// While there may be more than the frames. Boxed: an answer that is all there, as most unary ones are, is
    /// moved from layer to layer without it.
    tail: Option<Box<Tail<R>>>,
    /// Nothing is held, and what comes from within is passed on as it comes. Said once, so that it need not be
    /// found out for each frame.
    flows: bool,
}

/// What has not come yet.
struct Tail<R> {
    inner: R,
    /// `None` for a failure that is passed on.
    live: Option<Live<R>>,
}

// === impl FallbackBody ===

impl<R> FallbackBody<R>
where
    R: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// An answer that was let through, and more of it may come.
    pub(super) fn live(
        frames: Frames,
        inner: R,
        observer: Option<Observer>,
        content: Content,
        call: Held,
        trial: Trial,
    ) -> Self {
        let ended = content == Content::Events && call.signals().has(Signals::ENDED);
        let json = (content == Content::Json).then(|| {
            let mut end = Box::<JsonEnd>::default();
            frames.data().for_each(|data| end.feed(data));
            end
        });
        let live = Live {
            stage: match ended {
                true => Stage::Ended(None),
                false => Stage::Open,
            },
            call,
            observer,
            content,
            json,
            bytes: frames.bytes(),
            alarm: Alarm::default(),
            trial,
            linger: linger::<R>,
        };
        let mut body = Self::new(frames, Some(inner), Some(live));
        if let Some(Tail { inner, live }) = body.tail.as_deref_mut()
            && let Some(live) = live
        {
            if ended {
                live.complete();
            // A consumer may never poll a body that has nothing in it.
            } else if inner.is_end_stream() {
                body.length_reached();
            }
        }
        body.settle();
        body
    }
}

impl<R> FallbackBody<R> {
    fn new(frames: Frames, inner: Option<R>, live: Option<Live<R>>) -> Self {
        Self {
            frames,
            tail: inner.map(|inner| Box::new(Tail { inner, live })),
            flows: false,
        }
    }

    fn settle(&mut self) {
        let live = self.tail.as_ref().and_then(|tail| tail.live.as_ref());
        let is_open = live.is_some_and(|live| matches!(live.stage, Stage::Open));
        self.flows = is_open && self.frames.is_empty();
    }

    /// An answer that is all there.
    pub(super) fn whole(frames: Frames) -> Self {
        Self::new(frames, None, None)
    }

    /// A consumer that knows the length does not come back for the end.
    #[cold]
    fn length_reached(&mut self) {
        if let Some(live) = self.tail.as_mut().and_then(|tail| tail.live.as_mut())
            && live.judge().is_none()
        {
            live.complete();
            self.tail = None;
        }
    }

    /// A failure that is passed on: what was read of it, then the rest.
    pub(super) fn answer(read: Frames, rest: Option<R>) -> Self {
        Self::new(read, rest, None)
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
        let Some(tail) = &mut self.tail else {
            return;
        };
        if let Some(live) = &mut tail.live {
            live.complete();
        }
        match Pin::new(&mut tail.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(more))) => self.frames.push(more),
            Poll::Ready(_) => self.tail = None,
            Poll::Pending => {}
        }
    }

    /// After a frame that was the last, as trailers are, or the last before an error.
    #[cold]
    #[inline(never)]
    fn look(&mut self, cx: &mut Context<'_>, is_last: bool) {
        if let Some(Tail { inner, live }) = self.tail.as_deref_mut()
            && let Some(live) = live
        {
            if live.has_just_ended() {
                self.marker_came(cx);
            } else if matches!(live.stage, Stage::Open) && (is_last || inner.is_end_stream()) {
                self.length_reached();
            }
        }
        self.settle();
    }

    /// No more comes from within.
    #[cold]
    #[inline(never)]
    fn ended(&mut self, error: Option<BoxError>) -> End {
        let error = match self.tail.as_mut().and_then(|tail| tail.live.as_mut()) {
            Some(live) => live.end(error),
            None => error,
        };
        self.tail = None;
        self.settle();
        error
    }

    /// A frame that was held, or what is left to do after the last one.
    #[cold]
    #[inline(never)]
    fn poll_aside(&mut self, cx: &mut Context<'_>) -> Option<Polled<Bytes>> {
        let polled = self.before_rest(cx)?;
        self.settle();
        Some(polled)
    }

    fn before_rest(&mut self, cx: &mut Context<'_>) -> Option<Polled<Bytes>> {
        if let Some(frame) = self.frames.pop() {
            return Some(Poll::Ready(Some(Ok(frame))));
        }
        let Some(tail) = &mut self.tail else {
            return Some(Poll::Ready(None));
        };
        let live = tail.live.as_mut()?;
        match live.stage {
            Stage::Broken => {
                let error = live.fail(Outcome::InBand);
                self.tail = None;
                Some(Poll::Ready(Some(Err(error))))
            }
            Stage::Ended(until) => {
                let until = until.unwrap_or_else(|| Instant::now() + LINGER);
                live.stage = Stage::Ended(Some(until));
                if live.alarm.poll(cx, Some(until)).is_pending() {
                    return None;
                }
                self.tail = None;
                Some(Poll::Ready(None))
            }
            Stage::Open => None,
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
        if !this.flows
            && let Some(polled) = this.poll_aside(cx)
        {
            return polled;
        }
        let Some(tail) = &mut this.tail else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut tail.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = ManuallyDrop::new(frame);
                let is_last = !frame.is_data();
                let usual = match &mut tail.live {
                    Some(live) => live.passes(&frame) && !is_last && !tail.inner.is_end_stream(),
                    None => true,
                };
                if !usual {
                    this.look(cx, is_last);
                }
                pass(frame)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(this.ended(Some(error.into())).map(Err)),
            Poll::Ready(None) => Poll::Ready(this.ended(None).map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        // While it flows it was asked after the last frame.
        if self.flows || !self.frames.is_empty() {
            return false;
        }
        match self.tail.as_deref() {
            None => true,
            Some(Tail { inner, live: None }) => inner.is_end_stream(),
            // The end of a transfer is no evidence for the end of an answer.
            Some(Tail {
                inner,
                live: Some(live),
            }) => {
                matches!(live.stage, Stage::Open) && inner.is_end_stream() && live.judge().is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.frames.bytes() as u64;
        let inner = match &self.tail {
            Some(tail) => tail.inner.size_hint(),
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
        let Some(tail) = self.tail.take() else {
            return;
        };
        let Tail { inner, live } = *tail;
        let Some(mut live) = live else {
            return;
        };
        match live.stage {
            Stage::Ended(_) => {
                live.call
                    .with_attempt(|attempt| attempt.note(Note::Lingered));
                (live.linger)(inner);
            }
            Stage::Open => {
                drop(inner);
                live.abandoned();
            }
            // SDKs raise at the error and drop the body.
            Stage::Broken => {
                drop(inner);
                drop(live.fail(Outcome::InBand));
            }
        }
    }
}

/// An empty body without a call: for clients that want one of this type.
impl<R: Default> Default for FallbackBody<R> {
    fn default() -> Self {
        Self::new(Frames::default(), Some(R::default()), None)
    }
}

impl<R> fmt::Debug for FallbackBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.tail.as_ref().and_then(|tail| tail.live.as_ref());
        f.debug_struct("FallbackBody")
            .field("held_bytes", &self.frames.bytes())
            .field("stage", &live.map(|live| live.stage))
            .finish_non_exhaustive()
    }
}
