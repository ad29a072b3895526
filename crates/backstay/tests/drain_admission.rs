//! Who is let in, who is refused with what, and how an admission ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Error, ErrorKind, Labels, ServiceBuilderExt, drain::Drain, error::Cancellation,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    task::{Context, Poll},
};
use support::{Answer, Upstream, chat, kind, read, seconds, send};
use tokio::time::{Duration, sleep, timeout};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[tokio::test(start_paused = true)]
async fn new_work_is_refused_with_a_typed_error_and_never_reaches_the_service() {
    let upstream = Upstream::new([Answer::stream(&["a"])]);
    let drain = Drain::new();
    let service = ServiceBuilder::new()
        .drain(&drain)
        .service(upstream.clone());
    let read_before = read(send(&service, chat()).await.unwrap().into_body()).await;
    assert!(read_before.1.is_none());
    let going = tokio::spawn(drain.track(sleep(seconds(1))));
    drain.start();
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Labels::new().with("step", "late"));
    let error = send(&service, request).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Draining);
    let error = Error::find(&*error).unwrap();
    assert_eq!(error.labels().get("step"), Some("late"));
    assert!(!error.is_cancelled());
    assert_eq!(
        drain.track(async {}).await.unwrap_err().kind(),
        ErrorKind::Draining
    );
    assert_eq!(drain.admit().unwrap_err().kind(), ErrorKind::Draining);
    assert_eq!(upstream.attempts(), 1);
    going.await.unwrap().unwrap();
    let report = drain.shutdown().await;
    assert_eq!(
        (report.refused, report.in_flight, report.completed),
        (3, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_keeps_nobody_waiting_for_a_refusal() {
    let drain = Drain::new();
    let (service, _handle) = tower_test::mock::pair::<Request<Body>, Response<Empty<Bytes>>>();
    let mut service = ServiceBuilder::new().drain(&drain).service(service);
    let never = timeout(seconds(5), service.ready()).await;
    // The mock is ready for nobody who has no permit of the handle's.
    drop(never);
    drain.start();
    let mut ready = ServiceBuilder::new().drain(&drain).service(NeverReady);
    let error = ready.ready().await.unwrap().call(chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Draining);
}

#[test]
fn begun_outside_of_a_runtime_it_refuses_at_once() {
    let drain = Drain::new();
    drain.start();
    assert_eq!(drain.admit().unwrap_err().kind(), ErrorKind::Draining);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(drain.shutdown()).refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_answers_503_and_when_to_come_back() {
    let drain = Drain::new()
        .grace(seconds(1))
        .retry_after(Duration::from_millis(2500));
    let server = ServiceBuilder::new()
        .layer(drain.server_layer())
        .service(service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        }));
    let fine = server.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(fine.into_body().collect().await.unwrap().to_bytes(), "ok");
    drain.start();
    for (version, connection) in [(Version::HTTP_11, Some("close")), (Version::HTTP_2, None)] {
        let mut request = Request::new(());
        *request.version_mut() = version;
        let response = server.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "3");
        let header = response.headers().get("connection");
        assert_eq!(header.map(|value| value.to_str().unwrap()), connection);
        assert!(response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), Some(0));
    }
    // What axum asks of a layer: the error stays what it was, and the body is anybody's.
    fn fits_axum<S, R>(_: &S)
    where
        S: Service<Request<()>, Response = Response<R>, Error = Infallible> + Clone + Send + Sync,
        S::Future: Send + 'static,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
    }
    fits_axum(&server);
}

#[tokio::test(start_paused = true)]
async fn an_admission_says_how_it_ended() {
    let drain = Drain::new();
    let [done, wrong, left, gone] = [(); 4].map(|()| drain.admit().unwrap());
    assert_eq!(drain.in_flight(), 4);
    drain.start();
    done.complete();
    wrong.failed(&std::fmt::Error);
    let cancelled = left.error();
    left.failed(&cancelled);
    drop(gone);
    let report = drain.shutdown().await;
    assert_eq!(
        (report.completed, report.failed, report.cancelled),
        (1, 1, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn late_subscribers_do_not_miss_it() {
    let drain = Drain::new().grace(seconds(1));
    let mut admission = drain.admit().unwrap();
    let early = tokio::spawn(drain.started());
    drain.start();
    early.await.unwrap();
    drain.started().await;
    sleep(seconds(2)).await;
    // The first look, long after.
    assert!(admission.is_shut_down());
    admission.shutdown().await;
    assert_eq!(
        admission.error().kind(),
        ErrorKind::Cancelled(Cancellation::Shutdown)
    );
}

#[derive(Clone)]
struct NeverReady;

impl Service<Request<Body>> for NeverReady {
    type Response = Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        panic!("called without having been ready")
    }
}
