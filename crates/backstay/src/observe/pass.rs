//! Handing a frame on at next to no cost.

use crate::error::BoxError;
use http_body::Frame;
use std::{mem::ManuallyDrop, task::Poll};

/// What a body answers when it is polled for a frame.
pub(crate) type Polled<D, E = BoxError> = Poll<Option<Result<Frame<D>, E>>>;

/// How a layer itself ends a body: with an error, or without one where nothing is missing.
pub(crate) type End = Option<BoxError>;

/// Hands a frame on.
///
/// A frame is 96 bytes large for its trailers' sake, and each layer moves it. Of a data frame only the
/// data is moved, and in registers where the compiler can do without an address of the frame. For that,
/// the layers are inlined into each other, and what they call out of line neither gets nor returns one.
/// They hold it in `ManuallyDrop`, because unwinding would have to find it in memory. (When a dialect of
/// the user's panics, the frame is leaked.)
#[inline(always)]
pub(crate) fn pass<D>(frame: ManuallyDrop<Frame<D>>) -> Polled<D> {
    // Two answers, not one of either frame: that would be moved as a whole.
    match ManuallyDrop::into_inner(frame).into_data() {
        Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
        Err(trailers) => Poll::Ready(Some(Ok(trailers))),
    }
}

/// Ends a body in place of a frame.
#[inline(always)]
pub(crate) fn end_instead<D>(frame: ManuallyDrop<Frame<D>>, end: End) -> Polled<D> {
    // Dropped as a whole it would have an address.
    match ManuallyDrop::into_inner(frame).into_data() {
        Ok(data) => drop(data),
        Err(trailers) => drop(trailers),
    }
    Poll::Ready(end.map(Err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;
    use std::sync::Arc;

    struct Owner {
        _alive: Arc<()>,
    }

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            b"data"
        }
    }

    fn owned() -> (Arc<()>, ManuallyDrop<Frame<Bytes>>) {
        let alive = Arc::new(());
        let data = Bytes::from_owner(Owner {
            _alive: alive.clone(),
        });
        (alive, ManuallyDrop::new(Frame::data(data)))
    }

    #[test]
    fn data_and_trailers_are_handed_on() {
        let (alive, frame) = owned();
        match pass(frame) {
            Poll::Ready(Some(Ok(frame))) => assert_eq!(frame.into_data().unwrap(), "data"),
            other => unreachable!("{other:?}"),
        }
        assert_eq!(Arc::strong_count(&alive), 1);

        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frame = Frame::<Bytes>::trailers(trailers.clone());
        match pass(ManuallyDrop::new(frame)) {
            Poll::Ready(Some(Ok(frame))) => assert_eq!(frame.into_trailers().unwrap(), trailers),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_handed_on_is_dropped() {
        let (alive, frame) = owned();
        let polled = end_instead(frame, Some("over".into()));
        assert!(matches!(polled, Poll::Ready(Some(Err(_)))));
        assert_eq!(Arc::strong_count(&alive), 1);
        let (alive, frame) = owned();
        assert!(matches!(end_instead(frame, None), Poll::Ready(None)));
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
