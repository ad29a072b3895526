//! The clocks to the last frame of a body, and what comes after it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{Body, BoxError, ServiceBuilderExt, Timeouts};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use std::task::{Context, Poll};
use support::{Answer, Step, Upstream, chat, done, read, seconds, send, token};
use tower::{ServiceBuilder, service_fn};

struct Late(u8);
impl HttpBody for Late {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        self.0 += 1;
        match self.0 {
            // as hyper does it: nothing is read before somebody wants it
            1 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            2 => Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(
                b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
            ))))),
            _ => Poll::Ready(None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_no_silent_server() {
    let s = ServiceBuilder::new()
        .timeouts(Timeouts::new().first_token(seconds(10)))
        .unwrap()
        .service(service_fn(|_: Request<Body>| async {
            Ok::<_, BoxError>(
                Response::builder()
                    .header("content-type", "text/event-stream")
                    .body(Late(0))
                    .unwrap(),
            )
        }));
    let r = send(&s, chat()).await.unwrap();
    tokio::time::sleep(seconds(60)).await;
    let (_, e) = read(r.into_body()).await;
    assert!(e.is_none(), "{e:?}");
}

#[tokio::test(start_paused = true)]
async fn after_the_marker_a_body_ends_by_itself() {
    let up = Upstream::new([Answer::events(vec![token("x"), done(), Step::Hang])]);
    let s = ServiceBuilder::new()
        .timeouts(Timeouts::new().attempt(seconds(10)).liveness(seconds(5)))
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    tokio::time::timeout(seconds(1000), read(r.into_body()))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_let_go_at_its_error() {
    let up = Upstream::new([Answer::events(vec![token("x"), Step::Fail])]);
    let s = ServiceBuilder::new()
        .deadline(seconds(30))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let mut b = r.into_body();
    while let Some(Ok(_)) = b.frame().await {}
    assert_eq!(up.live(), 0, "kept after its error");
}
