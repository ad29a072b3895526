//! What is under way has the grace period to end, and everybody gets the same report of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, ErrorKind, ServiceBuilderExt, cancel::CancelLayer, drain::Drain,
    error::Cancellation,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Full};
use std::{
    future::pending,
    pin::Pin,
    task::{Context, Poll},
};
use support::{Answer, Upstream, chat, done, kind, seconds, send, token, wait};
use tokio::time::{Duration, Instant, sleep, timeout};
use tower::{ServiceBuilder, service_fn};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn it_ends_at_once_when_nothing_is_under_way() {
    let began = Instant::now();
    let report = Drain::new().shutdown().await;
    assert_eq!(report.in_flight, 0);
    assert!(report.is_clean());
    assert_eq!(Instant::now(), began);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_last_has_ended_and_not_later() {
    let drain = Drain::new().grace(seconds(30));
    let short = tokio::spawn(drain.track(sleep(seconds(1))));
    let long = tokio::spawn(drain.track(sleep(seconds(7))));
    let report = drain.shutdown().await;
    assert_eq!((report.completed, report.took), (2, seconds(7)));
    short.await.unwrap().unwrap();
    long.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn hurrying_ends_the_grace_period() {
    let drain = Drain::new().grace(Duration::MAX);
    let stuck = tokio::spawn(drain.track(pending::<()>()));
    drain.start();
    sleep(seconds(60)).await;
    assert!(!stuck.is_finished());
    drain.hurry();
    let report = drain.shutdown().await;
    assert!(report.hurried);
    assert_eq!((report.cancelled, report.took), (1, seconds(60)));
    assert!(stuck.await.unwrap().unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn without_grace_everything_is_cancelled_at_once() {
    let drain = Drain::new().grace(Duration::ZERO);
    let stuck = tokio::spawn(drain.track(pending::<()>()));
    let report = drain.shutdown().await;
    assert_eq!((report.cancelled, report.took), (1, Duration::ZERO));
    stuck.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn every_caller_gets_the_same_report_however_often_and_late_it_is_asked_for() {
    let drain = Drain::new().grace(seconds(3));
    let _stuck = tokio::spawn(drain.track(pending::<()>()));
    tokio::task::yield_now().await;
    let first = tokio::spawn({
        let drain = drain.clone();
        async move { drain.shutdown().await }
    });
    let second = tokio::spawn({
        // Its settings come too late.
        let drain = drain.clone().grace(Duration::MAX);
        async move { drain.shutdown().await }
    });
    // Whoever goes away takes nothing with him.
    assert!(timeout(seconds(1), drain.shutdown()).await.is_err());
    let report = first.await.unwrap();
    assert_eq!(second.await.unwrap(), report);
    assert_eq!(drain.shutdown().await, report);
    assert_eq!((report.cancelled, report.took), (1, seconds(3)));
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_outrun_it() {
    struct Flood;
    impl HttpBody for Flood {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }
    let drain = Drain::new().grace(seconds(1));
    let service =
        ServiceBuilder::new()
            .drain(&drain)
            .service(service_fn(|_: Request<Body>| async {
                Ok::<_, BoxError>(Response::new(Flood))
            }));
    let mut body = send(&service, chat()).await.unwrap().into_body();
    let reading = tokio::spawn(async move {
        loop {
            if let Err(error) = body.frame().await.unwrap() {
                return error;
            }
            sleep(MS).await;
        }
    });
    let report = drain.shutdown().await;
    assert_eq!((report.cancelled, report.unpolled), (1, 0));
    let error = reading.await.unwrap();
    assert_eq!(kind(&error), ErrorKind::Cancelled(Cancellation::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_shown_its_end_marker_is_complete_whatever_its_connection_does() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), done(), wait(600)])]);
    let drain = Drain::new().grace(seconds(1));
    let service = ServiceBuilder::new()
        .drain(&drain)
        .timeouts(backstay::Timeouts::new())
        .unwrap()
        .service(upstream);
    let mut body = send(&service, chat()).await.unwrap().into_body();
    drain.start();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    let report = drain.shutdown().await;
    assert_eq!((report.completed, report.took), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_known_length_is_complete_at_its_last_frame() {
    let drain = Drain::new();
    let service =
        ServiceBuilder::new()
            .drain(&drain)
            .service(service_fn(|_: Request<Body>| async {
                Ok::<_, BoxError>(Response::new(Full::new(Bytes::from_static(b"12345"))))
            }));
    let mut body = send(&service, chat()).await.unwrap().into_body();
    assert_eq!((body.size_hint().exact(), drain.in_flight()), (Some(5), 1));
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
    assert_eq!(drain.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_dropped_with_its_runtime_is_taken_up_by_another() {
    let drain = Drain::new().grace(seconds(1));
    let admission = drain.admit().unwrap();
    let other = std::thread::spawn({
        let drain = drain.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let _entered = runtime.enter();
            drain.start();
            assert!(drain.is_draining());
        }
    });
    tokio::task::spawn_blocking(|| other.join().unwrap())
        .await
        .unwrap();
    drop(admission);
    assert_eq!(drain.shutdown().await.cancelled, 1);
}

#[test]
fn one_that_is_taken_up_again_after_it_has_counted_does_not_count_again() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let drain = Drain::new().grace(Duration::ZERO).hook_wait(seconds(9));
    let _never_polled = drain.track(pending::<()>());
    let layer = CancelLayer::new().on_cancel(|_| pending());
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(layer)
        .service(Upstream::new([Answer::hang()]));
    let first = runtime();
    first.block_on(async {
        let _ = timeout(MS, send(&service, chat())).await;
        // It waits for the hook when its runtime goes.
        assert!(timeout(seconds(3), drain.shutdown()).await.is_err());
    });
    drop(first);
    let report = runtime().block_on(drain.shutdown());
    assert_eq!((report.in_flight, report.unpolled), (1, 1));
    assert_eq!((report.hooks.lost, report.hooks.running), (1, 0));
}
