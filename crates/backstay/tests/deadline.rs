//! One deadline over readiness, call and body.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    BoxError, Deadline, Error, ErrorKind, Phase, ServiceBuilderExt, Trail, cancel::CancelLayer,
    deadline::DeadlineBody,
};
use http_body::Body as _;
use http_body_util::BodyExt;
use std::task::{Context, Poll};
use support::{Answer, Step, Upstream, chat, kind, read, seconds, send, wait};
use tokio::time::{Duration, Instant};
use tower::{Service, ServiceBuilder};

/// Never ready; with an error, or without end.
#[derive(Clone)]
struct Unready {
    inner: Upstream,
    fails: bool,
}

impl<B> Service<http::Request<B>> for Unready
where
    Upstream: Service<http::Request<B>, Error = BoxError>,
{
    type Response = <Upstream as Service<http::Request<B>>>::Response;
    type Error = BoxError;
    type Future = <Upstream as Service<http::Request<B>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.fails {
            Poll::Ready(Err("not today".into()))
        } else {
            Poll::Pending
        }
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.inner.call(request)
    }
}

fn with_deadline<S>(budget: Duration, inner: S) -> backstay::deadline::DeadlineService<S> {
    ServiceBuilder::new()
        .deadline(budget)
        .unwrap()
        .service(inner)
}

#[tokio::test(start_paused = true)]
async fn covers_readiness() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = with_deadline(
        seconds(3),
        Unready {
            inner: upstream.clone(),
            fails: false,
        },
    );
    let start = Instant::now();
    let error = send(&service, chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Deadline);
    let error = Error::find(&*error).unwrap();
    assert_eq!(error.phase(), Some(Phase::Readiness));
    assert_eq!(error.limit(), Some(seconds(3)));
    assert_eq!(Instant::now() - start, seconds(3));
    assert_eq!(upstream.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_fails_the_call_and_not_the_service() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = with_deadline(
        seconds(3),
        Unready {
            inner: upstream,
            fails: true,
        },
    );
    for _ in 0..2 {
        let error = send(&service, chat()).await.unwrap_err();
        assert!(Error::find(&*error).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn covers_the_call_and_drops_it() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = with_deadline(seconds(3), upstream.clone());
    let mut call = Box::pin(send(&service, chat()));
    assert_eq!(kind(&(&mut call).await.unwrap_err()), ErrorKind::Deadline);
    // The future is still alive; what it held is not.
    assert_eq!(upstream.attempts(), 1);
    assert_eq!(upstream.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn covers_the_body_to_its_last_frame_and_drops_it() {
    let upstream = Upstream::new([Answer::bytes(vec![
        Step::Data("a".into()),
        wait(2),
        Step::Data("b".into()),
        wait(2),
        Step::Data("c".into()),
    ])
    .after(seconds(1))]);
    let service = with_deadline(seconds(4), upstream.clone());
    let start = Instant::now();
    let response = send(&service, chat()).await.unwrap();
    assert!(response.extensions().get::<Trail>().is_some());
    let mut body = response.into_body();
    let (data, error) = read(&mut body).await;
    assert_eq!(data, "ab");
    assert_eq!(kind(&error.unwrap()), ErrorKind::Deadline);
    assert_eq!(Instant::now() - start, seconds(4));
    assert_eq!(upstream.live(), 0);
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reply_in_time_passes_whole() {
    let upstream = Upstream::new([Answer::bytes(vec![
        Step::Data("a".into()),
        wait(3),
        Step::Data("b".into()),
        Step::Trailers,
    ])]);
    let service = with_deadline(seconds(4), upstream);
    let response = send(&service, chat()).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert!(collected.trailers().is_some());
    assert_eq!(collected.to_bytes(), "ab");
}

#[tokio::test(start_paused = true)]
async fn the_earliest_of_layer_extension_and_ambient_holds() {
    for (layer, extension, ambient, expected) in [(9, 5, 2, 2), (9, 2, 5, 2), (2, 5, 9, 2)] {
        let upstream = Upstream::new([Answer::hang()]);
        let service = with_deadline(seconds(layer), upstream);
        let mut request = chat();
        request
            .extensions_mut()
            .insert(Deadline::after(seconds(extension)));
        let start = Instant::now();
        let call = send(&service, request);
        let error = Deadline::after(seconds(ambient))
            .scope(call)
            .await
            .unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Deadline);
        assert_eq!(Instant::now() - start, seconds(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn the_ambient_deadline_holds_behind_a_buffer() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = ServiceBuilder::new()
        .layer(tower::buffer::BufferLayer::new(4))
        .deadline(seconds(60))
        .unwrap()
        .service(upstream);
    let start = Instant::now();
    let call = async { send(&service, chat()).await };
    let error = Deadline::after(seconds(1)).scope(call).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert_eq!(Instant::now() - start, seconds(1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_deadline() {
    let upstream = Upstream::new([Answer::json("{}")]);
    let service = with_deadline(seconds(5), upstream.clone());
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Deadline::at(Instant::now()));
    let error = send(&service, request).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert_eq!(upstream.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_nested_deadline_only_shrinks() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = ServiceBuilder::new()
        .deadline(seconds(2))
        .unwrap()
        .deadline(seconds(60))
        .unwrap()
        .service(upstream);
    let start = Instant::now();
    let error = send(&service, chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert_eq!(Instant::now() - start, seconds(2));
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_outrun_it() {
    // Each frame takes time, and none is ever pending: the timer is never polled.
    struct Flood(usize);
    impl http_body::Body for Flood {
        type Data = bytes::Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, BoxError>>> {
            self.0 += 1;
            Poll::Ready(Some(Ok(http_body::Frame::data("x".into()))))
        }
    }
    let service = with_deadline(
        seconds(1),
        tower::service_fn(|_: http::Request<backstay::Body>| async {
            Ok::<_, BoxError>(http::Response::new(Flood(0)))
        }),
    );
    let mut body: DeadlineBody<Flood> = send(&service, chat()).await.unwrap().into_body();
    for _ in 0..100 {
        body.frame().await.unwrap().unwrap();
    }
    tokio::time::advance(seconds(2)).await;
    let mut frames = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => frames += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert!(frames < 64, "{frames}");
}

#[tokio::test(start_paused = true)]
async fn forever_is_a_legal_budget() {
    let upstream = Upstream::new([Answer::json("{}").after(seconds(100_000_000))]);
    let service = with_deadline(Duration::MAX, upstream);
    send(&service, chat()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_body_keeps_its_size() {
    let sized = tower::service_fn(|_: http::Request<backstay::Body>| async {
        Ok::<_, BoxError>(http::Response::new(http_body_util::Full::new(
            bytes::Bytes::from_static(b"12345"),
        )))
    });
    let service = with_deadline(seconds(1), sized);
    let body = send(&service, chat()).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    assert!(DeadlineBody::<http_body_util::Empty<bytes::Bytes>>::default().is_end_stream());
}

#[test]
fn a_budget_of_zero_is_refused() {
    assert!(ServiceBuilder::new().deadline(Duration::ZERO).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_mock_that_is_not_ready_is_waited_for_inside_the_call() {
    let (mut mock, mut handle) = tower_test::mock::spawn_layer::<
        http::Request<backstay::Body>,
        http::Response<http_body_util::Full<bytes::Bytes>>,
        _,
    >(backstay::deadline::DeadlineLayer::new(seconds(3)).unwrap());
    handle.allow(0);
    // Ready at once: the waiting is the call's, and so under its deadline.
    assert!(mock.poll_ready().is_ready());
    let mut call = tokio_test::task::spawn(mock.call(chat()));
    assert!(call.poll().is_pending());
    handle.allow(1);
    assert!(call.is_woken());
    assert!(call.poll().is_pending());
    let (request, reply) = handle.next_request().await.unwrap();
    assert_eq!(request.uri(), "https://api.example.com/v1/chat/completions");
    reply.send_response(http::Response::new("{}".into()));
    assert!(call.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_a_layer_between_puts_into_the_extensions_holds() {
    let up = Upstream::new([Answer::hang()]);
    let service = ServiceBuilder::new()
        .layer(CancelLayer::new())
        .map_request(|mut request: http::Request<backstay::Body>| {
            let deadline = Deadline::after(seconds(2));
            request.extensions_mut().insert(deadline);
            request
        })
        .deadline(seconds(20))
        .unwrap()
        .service(up.clone());
    let start = Instant::now();
    let error = send(&service, chat()).await.err().unwrap();
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert_eq!(Instant::now() - start, seconds(2));
    assert_eq!(up.live(), 0);
}
