//! The body of an answer: what the stack yields, or a few bytes of the gateway's own.

use super::{events::Events, gather::Gather};
use crate::{
    config::Family,
    leash::Held,
    refusal::Refusal,
    routes::{Api, StackBody},
    shared::Counted,
    trails::{Ending, Entry},
};
use backstay::{BoxError, Error, ErrorKind};
use backstay_client::ConnectionReuse;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header, response};
use http_body::{Body, Frame, SizeHint};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The body of an answer.
///
/// A failure in the middle of an event stream is told in the stream, in the caller's dialect, and ends it;
/// in the middle of anything else it breaks the transfer off. Neither looks like an end.
pub(crate) struct AnswerBody {
    content: Content,
    held: Option<Held>,
    /// The turn of the task in which there was nothing to send.
    waits_in: Option<u32>,
}

enum Content {
    Local(Option<Bytes>),
    /// It is large, and an answer is moved several times before it is sent.
    Passing(Box<Passing>),
}

/// A call on its way: what is counted and written down of it, and its answer once that has begun.
pub(crate) struct Passing {
    inner: Option<StackBody>,
    /// Only where the answer is an event stream, to which an event can be added.
    events: Option<(Events, Gather)>,
    /// The event that tells of a failure, to be sent next.
    last: Option<Bytes>,
    entry: Arc<Entry>,
    family: Family,
    api: Option<Api>,
    _counted: Counted,
}

// === impl AnswerBody ===

impl AnswerBody {
    pub(super) fn empty() -> Self {
        Self::local(Bytes::new())
    }

    pub(super) fn local(bytes: Bytes) -> Self {
        Self {
            content: Content::Local(Some(bytes).filter(|bytes| !bytes.is_empty())),
            held: None,
            waits_in: None,
        }
    }

    pub(super) fn passing(passing: Box<Passing>) -> Self {
        Self {
            content: Content::Passing(passing),
            held: None,
            waits_in: None,
        }
    }

    /// Keeps the connection on its leash until this is dropped.
    pub(super) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match &mut this.content {
            Content::Local(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Passing(passing) => {
                let turn = this.held.as_ref().map(Held::turn);
                if turn.is_some() && this.waits_in == turn {
                    // hyper asks more than once in a turn.
                    return Poll::Pending;
                }
                let polled = passing.poll_frame(cx, turn.unwrap_or_default());
                if polled.is_pending() {
                    this.waits_in = turn;
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Local(bytes) => bytes.is_none(),
            Content::Passing(passing) => passing.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Local(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Passing(passing) => passing.size_hint(),
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

// === impl Passing ===

impl Passing {
    pub(super) fn new(
        entry: Arc<Entry>,
        family: Family,
        api: Option<Api>,
        counted: Counted,
    ) -> Self {
        Self {
            inner: None,
            events: None,
            last: None,
            entry,
            family,
            api,
            _counted: counted,
        }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The answer has begun, with this head from the stack.
    pub(super) fn begin(&mut self, head: &mut response::Parts, body: StackBody) {
        if is_event_stream(&head.headers) {
            // An event can be added, and the stack ends a stream at its end marker, whatever was announced.
            head.headers.remove(header::CONTENT_LENGTH);
            let connection = head.extensions.get::<ConnectionReuse>();
            let by_a_task = !connection.is_some_and(|connection| connection.driven_by_call);
            self.events = Some((Events::default(), Gather::new(by_a_task)));
        }
        self.inner = Some(body);
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        turn: u32,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(inner) = &mut self.inner else {
                let last = self.gathered().or_else(|| self.last.take());
                return Poll::Ready(last.map(|data| Ok(Frame::data(data))));
            };
            let polled = Pin::new(inner).poll_frame(cx);
            let frame = match (polled, &mut self.events) {
                (Poll::Ready(Some(Ok(frame))), _) => frame,
                (Poll::Ready(Some(Err(error))), _) => {
                    self.inner = None;
                    self.entry.end(Ending::Broken);
                    if self.events.is_none() {
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.last = self.tell(&error);
                    continue;
                }
                (Poll::Ready(None), _) => {
                    self.entry.end(Ending::Answered);
                    self.inner = None;
                    self.last = self
                        .events
                        .as_mut()
                        .map(|(events, _)| events.rest())
                        .filter(|rest| !rest.is_empty());
                    continue;
                }
                (Poll::Pending, Some((_, gather))) => {
                    let gathered = ready!(gather.poll_pause(cx, turn));
                    return Poll::Ready(Some(Ok(Frame::data(gathered))));
                }
                (Poll::Pending, None) => return Poll::Pending,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                // Trailers of an event stream say nothing to anybody, and what waits goes before them.
                Err(_) if self.events.is_some() => continue,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            };
            self.entry.sent(data.len());
            // With a known length hyper does not ask for the end (tower-http #687).
            if self.inner.as_ref().is_some_and(Body::is_end_stream) {
                self.entry.end(Ending::Answered);
            }
            let data = match &mut self.events {
                None => data,
                Some((events, gather)) => match gather.push(events.pass(data)) {
                    Some(gathered) => gathered,
                    None => continue,
                },
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }

    /// What was gathered, if anything was.
    fn gathered(&mut self) -> Option<Bytes> {
        let (_, gather) = self.events.as_mut()?;
        Some(gather.take()).filter(|data| !data.is_empty())
    }

    /// The failure as an event, unless the upstream has sent one of its own.
    fn tell(&mut self, error: &BoxError) -> Option<Bytes> {
        let kind = Error::find(&**error).map(Error::kind);
        let (events, _) = self.events.as_mut()?;
        if matches!(kind, Some(ErrorKind::InBand(_))) {
            return Some(events.rest()).filter(|rest| !rest.is_empty());
        }
        let event = Refusal::of_error(error).event(self.family, self.api == Some(Api::Responses));
        let before = events.broke_off();
        if before.is_empty() {
            return Some(event);
        }
        let mut told = BytesMut::from(before);
        told.extend_from_slice(&event);
        Some(told.freeze())
    }

    fn is_end_stream(&self) -> bool {
        let waits = self
            .events
            .as_ref()
            .is_some_and(|(events, gather)| events.is_waiting() || !gather.is_empty());
        self.last.is_none() && !waits && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.events, &self.inner) {
            (None, Some(inner)) => inner.size_hint(),
            // What waits, and an event of our own, are not in the inner body's count.
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // Nothing, where it has ended already.
        self.entry.dropped();
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let plain = !headers.contains_key(header::CONTENT_ENCODING);
    plain
        && headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes();
            let end = kind.iter().position(|byte| *byte == b';');
            kind.get(..end.unwrap_or(kind.len()))
                .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
        })
}
