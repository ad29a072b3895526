//! An answer that failed is an error, whatever its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{Body, Error, status_error::StatusErrorLayer};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};
use support::{chat, send};
use tokio::time::{Duration, Instant, advance};
use tower::{Layer, service_fn};

const MS: Duration = Duration::from_millis(1);

/// Frames with nothing in them, one each millisecond, and none that has to be waited for.
struct Flood(Instant);

impl HttpBody for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert!(
            Instant::now().saturating_duration_since(self.0) < 10_000 * MS,
            "nobody looks at the clock"
        );
        let _ = pin!(advance(MS)).poll(cx);
        Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_empty_frames_does_not_outrun_the_clock() {
    let began = Instant::now();
    let service = StatusErrorLayer::new().layer(service_fn(move |_: Request<Body>| async move {
        let response = Response::builder().status(500);
        Ok::<_, Infallible>(response.body(Flood(began)).unwrap())
    }));
    let error = send(&service, chat()).await.map(drop).unwrap_err();
    let upstream = Error::find(&*error).unwrap().upstream().unwrap();
    assert!(!upstream.complete);
    let took = Instant::now().saturating_duration_since(began);
    assert!(took < 1_100 * MS, "{took:?}");
}
