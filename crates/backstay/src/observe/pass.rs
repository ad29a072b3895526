//! Handing a frame on at next to no cost.

use crate::error::BoxError;
use http_body::Frame;
use std::task::Poll;

/// What a body answers when it is polled for a frame.
pub(crate) type Polled<D, E = BoxError> = Poll<Option<Result<Frame<D>, E>>>;

/// Hands on what a layer has nothing to do for: a data frame, and nothing else: the caller has
/// looked; nothing else comes here.
///
/// A frame is 96 bytes large for its trailers' sake, and each layer moves it. Of a data frame only the
/// data is moved, and where the compiler sees that there is no error, it moves that in registers. A layer
/// looks at what it has polled in place and within `ManuallyDrop`: a value that unwinding must find, to
/// drop it, has to be in memory. (When a dialect of the user's panics, the frame is leaked.)
#[inline(always)]
pub(crate) fn pass<D, E>(polled: Polled<D, E>) -> Polled<D> {
    match polled {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Err(trailers) => {
                debug_assert!(false, "trailers are not passed by the short way");
                drop(trailers);
                Poll::Ready(None)
            }
        },
        Poll::Ready(_) => {
            debug_assert!(false, "an end is not passed by the short way");
            Poll::Ready(None)
        }
    }
}
