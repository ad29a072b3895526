//! The clocks to the last frame of a body, and what comes after it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Error, ErrorKind, ServiceBuilderExt, Timeouts,
    timeout::{Clock, TimeoutsBody},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, StreamBody};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use support::{Answer, Step, Upstream, chat, done, kind, read, seconds, send, token};
use tokio::time::{Duration, Instant, Sleep, sleep};
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// Ready at the second poll, as hyper's body is: nothing is read before somebody wants it.
struct Late(u8);
impl HttpBody for Late {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0 += 1;
        match self.0 {
            // as hyper does it: nothing is read before somebody wants it
            1 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            2 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(
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
    sleep(seconds(60)).await;
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

#[tokio::test(start_paused = true)]
async fn each_layer_lets_it_go_at_its_error() {
    let failing = || Upstream::new([Answer::events(vec![token("x"), Step::Fail])]);
    let up = failing();
    let deadline = ServiceBuilder::new()
        .deadline(seconds(30))
        .unwrap()
        .service(up.clone());
    let mut body = send(&deadline, chat()).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
    assert_eq!(up.live(), 0, "kept by the deadline");
    let up = failing();
    let timeouts = ServiceBuilder::new()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let mut body = send(&timeouts, chat()).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
    assert_eq!(up.live(), 0, "kept by the timeouts");
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_outrun_a_clock() {
    // No frame is ever pending: the alarm is never set.
    let service = ServiceBuilder::new()
        .timeouts(Timeouts::new().attempt(SECOND))
        .unwrap()
        .service(service_fn(|_: Request<Body>| async {
            let flood = stream::repeat_with(|| Ok::<_, BoxError>(data()));
            Ok::<_, BoxError>(Response::new(StreamBody::new(flood)))
        }));
    let mut body = Box::pin(send(&service, chat()).await.unwrap().into_body());
    for _ in 0..100 {
        body.frame().await.unwrap().unwrap();
    }
    tokio::time::advance(2 * SECOND).await;
    let mut frames = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => frames += 1,
            Err(error) => break error,
        }
        assert!(frames < 64, "{frames}");
    };
    assert_eq!(kind(&error), ErrorKind::Timeout(Clock::Attempt));
    assert!(body.frame().await.is_none());
}

const SECOND: Duration = Duration::from_secs(1);

/// A frame after each pause; then silence.
struct Slow {
    steps: VecDeque<(Duration, Frame<Bytes>)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(pause) = self.steps.front().map(|step| step.0) else {
            return Poll::Pending;
        };
        let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(pause)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        Poll::Ready(self.steps.pop_front().map(|step| Ok(step.1)))
    }
}

fn data() -> Frame<Bytes> {
    Frame::data(Bytes::from_static(b"x"))
}

fn slow(steps: impl IntoIterator<Item = (Duration, Frame<Bytes>)>) -> Response<Slow> {
    Response::new(Slow {
        steps: steps.into_iter().collect(),
        sleep: None,
    })
}

async fn body(timeouts: Timeouts, response: Response<Slow>) -> TimeoutsBody<Slow> {
    let mut response = Some(response);
    let service = ServiceBuilder::new()
        .timeouts(timeouts)
        .unwrap()
        .service(service_fn(move |_: Request<Body>| {
            std::future::ready(Ok::<_, BoxError>(response.take().unwrap()))
        }));
    let request = Request::post("https://api.openai.com/v1/chat/completions")
        .body(Body::from(r#"{"model":"m","stream":true}"#))
        .unwrap();
    service.oneshot(request).await.unwrap().into_body()
}

/// How many frames came, and the clock that ended them.
async fn until_a_clock(mut body: TimeoutsBody<Slow>) -> (usize, Clock) {
    let mut frames = 0;
    loop {
        match body.frame().await.unwrap() {
            Ok(_) => frames += 1,
            Err(error) => match Error::find(&*error).unwrap().kind() {
                ErrorKind::Timeout(clock) => return (frames, clock),
                other => unreachable!("{other:?}"),
            },
        }
    }
}

/// Idle does not run before the first token, so that the alarm is set for the attempt at first.
#[tokio::test(start_paused = true)]
async fn idle_starts_before_an_alarm_that_was_set_for_later() {
    let token = r#"data: {"choices":[{"delta":{"content":"a"}}]}"#;
    let token = Frame::data(Bytes::from(format!("{token}\n\n")));
    let mut response = slow([(SECOND, token)]);
    let events = HeaderValue::from_static("text/event-stream");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, events);
    let timeouts = Timeouts::new().attempt(60 * SECOND).idle(3 * SECOND);
    let body = body(timeouts, response).await;
    let start = Instant::now();
    assert_eq!(until_a_clock(body).await, (1, Clock::Idle));
    assert_eq!(Instant::now(), start + 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn idle_runs_from_the_last_of_many_frames_exactly() {
    let pause = Duration::from_millis(1700);
    let steps = (0..100).map(|_| (pause, data()));
    let body = body(Timeouts::new().idle(2 * SECOND), slow(steps)).await;
    let start = Instant::now();
    assert_eq!(until_a_clock(body).await, (100, Clock::Idle));
    assert_eq!(Instant::now(), start + 100 * pause + 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_task_that_polled_last_is_woken() {
    let timeouts = Timeouts::new().idle(3 * SECOND);
    let mut body = body(timeouts, slow([(SECOND, data())])).await;
    let start = Instant::now();
    assert!(body.frame().await.unwrap().is_ok());
    let mut first = tokio_test::task::spawn(());
    first.enter(|cx, _| assert!(Pin::new(&mut body).poll_frame(cx).is_pending()));
    let read = tokio::spawn(until_a_clock(body));
    assert_eq!(read.await.unwrap(), (0, Clock::Idle));
    assert_eq!(Instant::now(), start + 4 * SECOND);
    assert!(!first.is_woken());
}

#[tokio::test(start_paused = true)]
async fn trailers_pass_every_layer() {
    let service = ServiceBuilder::new()
        .on_cancel(|_| async {})
        .deadline(20 * SECOND)
        .unwrap()
        .timeouts(Timeouts::new().idle(3 * SECOND))
        .unwrap()
        .service(service_fn(|_: Request<Body>| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let steps = [(SECOND, data()), (SECOND, Frame::trailers(trailers))];
            std::future::ready(Ok::<_, BoxError>(slow(steps)))
        }));
    let request = Request::new(Body::empty());
    let response = service.oneshot(request).await.unwrap();
    let mut body = std::pin::pin!(response.into_body());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    let last = body.frame().await.unwrap().unwrap();
    assert_eq!(last.trailers_ref().unwrap()["grpc-status"], "0");
}
