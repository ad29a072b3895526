//! A request body that is read into memory before the first attempt.

use super::{original::Original, plan::Plan};
use crate::{
    body::{ReplayableBody, Segments},
    call::Call,
    error::{BoxError, Error, ErrorKind, RequestProblem},
};
use bytes::BytesMut;
use http::{Request, request::Parts};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A request whose body is not in memory yet. Trailers are not kept: no API that is spoken to here takes
/// them.
pub(super) struct Reading<B> {
    parts: Parts,
    body: B,
    read: BytesMut,
}

// === impl Reading ===

impl<B> Reading<B>
where
    B: ReplayableBody,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(parts: Parts, body: B) -> Self {
        Self {
            parts,
            body,
            read: BytesMut::new(),
        }
    }

    /// Ready at the end of the body, or when the replay limit is passed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        plan: &Plan,
    ) -> Poll<(Parts, Result<Original<B>, Error>)> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                    if self.read.len() > plan.replay_limit {
                        let (parts, body, read) = self.take();
                        let body = B::resume(read, body);
                        let original = Original::once(plan, call, &parts, body);
                        return Poll::Ready((parts, original));
                    }
                }
                Some(Err(error)) => {
                    let problem = ErrorKind::Request(RequestProblem::Unreadable);
                    let error = Error::of(call, problem).with_source(error);
                    return Poll::Ready((self.take().0, Err(error)));
                }
                None => {
                    let (parts, _, read) = self.take();
                    let original = Original::in_memory(plan, call, &parts, read);
                    return Poll::Ready((parts, original));
                }
            }
        }
    }

    fn take(&mut self) -> (Parts, B, Segments) {
        let parts = std::mem::replace(&mut self.parts, Request::new(()).into_parts().0);
        let body = std::mem::replace(&mut self.body, B::from_segments(Segments::default()));
        (
            parts,
            body,
            Segments::from(std::mem::take(&mut self.read).freeze()),
        )
    }
}
