//! A request body that is read into memory before the first attempt.

use crate::{
    body::{ReplayableBody, Segments},
    call::Call,
    error::{BoxError, Error, ErrorKind, RequestProblem},
};
use bytes::BytesMut;
use http::Request;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// What was read of a request's body. Trailers are not kept: no API that is spoken to here takes them.
#[derive(Default)]
pub(super) struct Reading(BytesMut);

// === impl Reading ===

impl Reading {
    /// Ready at the end of the body, which is then here too, or when the replay limit is passed. The request's
    /// body is then what was read, and the rest.
    pub(super) fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        limit: usize,
        request: &mut Request<B>,
    ) -> Poll<Result<Option<Segments>, Error>>
    where
        B: ReplayableBody,
        B::Error: Into<BoxError>,
    {
        loop {
            match ready!(Pin::new(request.body_mut()).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.0.extend_from_slice(data);
                    }
                    if self.0.len() > limit {
                        let nothing = B::from_segments(Segments::default());
                        let rest = std::mem::replace(request.body_mut(), nothing);
                        *request.body_mut() = B::resume(self.take(), rest);
                        return Poll::Ready(Ok(None));
                    }
                }
                Some(Err(error)) => {
                    let problem = ErrorKind::Request(RequestProblem::Unreadable);
                    let error = Error::of(call, problem).with_source(error);
                    return Poll::Ready(Err(error));
                }
                None => {
                    let read = self.take();
                    *request.body_mut() = B::from_segments(read.clone());
                    return Poll::Ready(Ok(Some(read)));
                }
            }
        }
    }

    fn take(&mut self) -> Segments {
        Segments::from(std::mem::take(&mut self.0).freeze())
    }
}
