//! Hooks under a drain: those of calls that nobody polls too, once, and waited for within a bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    BoxError, ErrorKind, Labels, ServiceBuilderExt,
    cancel::{CancelLayer, Ended, Why},
    drain::Drain,
    error::Cancellation,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use support::{Answer, Upstream, chat, done, kind, read, seconds, send, token, wait};
use tokio::time::{Duration, sleep, timeout};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn the_hooks_of_a_body_that_nobody_polls_run_once_from_the_record() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), wait(600), done()])]);
    let (hooks, layer) = hook();
    let drain = Drain::new().grace(seconds(1));
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(layer.clone())
        .timeouts(backstay::Timeouts::new())
        .unwrap()
        .service(upstream.clone());
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Labels::new().with("step", "generate"));
    let mut body = send(&service, request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();

    let report = drain.shutdown().await;
    assert_eq!(
        (report.in_flight, report.unpolled, report.cancelled),
        (1, 1, 0)
    );
    assert_eq!(report.hooks.finished, 1);
    assert!(report.took < seconds(2));
    let told = hooks.lock().clone();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].why, Why::Shutdown);
    assert_eq!(told[0].labels.get("step"), Some("generate"));
    assert_eq!(told[0].trail.response_id().as_deref(), Some("chatcmpl-1"));
    assert_eq!(layer.hooks().in_flight(), 0);
    // Only now is the upstream let go, and whoever comes back is told why.
    assert_eq!(upstream.live(), 1);
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Cancelled(Cancellation::Shutdown));
    assert!(body.frame().await.is_none());
    assert_eq!(upstream.live(), 0);
    drop(body);
    sleep(seconds(1)).await;
    assert_eq!(hooks.lock().len(), 1);
    assert_eq!(layer.hooks().finished(), 1);
    assert_eq!(drain.shutdown().await, report);
}

#[tokio::test(start_paused = true)]
async fn the_hooks_of_an_unpolled_body_do_not_run_again_when_it_is_dropped() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), wait(600), done()])]);
    let (hooks, layer) = hook();
    let drain = Drain::new().grace(seconds(1));
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(layer.clone())
        .service(upstream.clone());
    // Its future was ready at its first poll, and the body was never polled: nothing ever waited.
    let response = send(&service, chat()).await.unwrap();
    let report = drain.shutdown().await;
    assert_eq!((report.unpolled, hooks.lock().len()), (1, 1));
    drop(response);
    sleep(seconds(1)).await;
    assert_eq!(
        (upstream.live(), hooks.lock().len(), drain.in_flight()),
        (0, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_never_polled_is_unpolled_and_its_hook_runs_once_from_the_record() {
    let upstream = Upstream::new([Answer::hang()]);
    let (hooks, layer) = hook();
    let drain = Drain::new().grace(seconds(1));
    let mut service = ServiceBuilder::new()
        .drain(&drain)
        .layer(layer)
        .service(upstream.clone());
    let call = service.call(chat());
    let report = drain.shutdown().await;
    assert_eq!(
        (report.in_flight, report.unpolled, report.hooks.finished),
        (1, 1, 1)
    );
    let error = call.await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Cancelled(Cancellation::Shutdown));
    sleep(MS).await;
    let told: Vec<_> = hooks.lock().iter().map(|ended| ended.why).collect();
    assert_eq!(told, [Why::Shutdown]);
    assert_eq!(upstream.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn hooks_are_waited_for_within_a_bound_and_what_became_of_each_is_told() {
    let layer = CancelLayer::new()
        .on_cancel(|_| sleep(seconds(1)))
        .on_cancel(|_| async { panic!("a hook") })
        .on_cancel(|_| pending())
        .hook_timeout(seconds(2))
        .unwrap();
    let slow = CancelLayer::new()
        .on_cancel(|_| sleep(seconds(60)))
        .hook_timeout(seconds(90))
        .unwrap();
    let drain = Drain::new().grace(seconds(1)).hook_wait(seconds(4));
    // Two services, one drain.
    for layer in [layer.clone(), slow.clone()] {
        let upstream = Upstream::new([Answer::hang()]);
        let service = ServiceBuilder::new()
            .drain(&drain)
            .layer(layer)
            .service(upstream);
        tokio::spawn(async move { send(&service, chat()).await.map(drop) });
    }
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!(report.cancelled, 2);
    let hooks = report.hooks;
    assert_eq!(
        (
            hooks.finished,
            hooks.panicked,
            hooks.timed_out,
            hooks.running
        ),
        (1, 1, 1, 1)
    );
    assert_eq!(report.took, seconds(5));
    assert!(!report.is_clean());
    // What it does not wait for any more runs on.
    assert!(slow.hooks().wait(seconds(90)).await);
    assert_eq!(slow.hooks().finished(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_was_running_when_it_began_is_waited_for() {
    let layer = CancelLayer::new().on_cancel(|_| sleep(seconds(3)));
    let drain = Drain::new();
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(layer)
        .service(Upstream::new([Answer::hang()]));
    let _ = timeout(seconds(1), send(&service, chat())).await;
    let report = drain.shutdown().await;
    assert_eq!((report.in_flight, report.hooks.finished), (0, 1));
    assert_eq!(report.took, seconds(3));
}

#[tokio::test(start_paused = true)]
async fn the_hooks_of_calls_that_a_servers_body_makes_are_waited_for() {
    let layer = CancelLayer::new().on_cancel(|_| sleep(seconds(1)));
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(Upstream::new([Answer::hang()]));
    let drain = Drain::new().grace(seconds(1));
    let server = ServiceBuilder::new()
        .layer(drain.server_layer())
        .service(service_fn(move |_: Request<()>| {
            let call = send(&service, chat());
            // As an event stream that calls a model for each of its events.
            let body = Calling(Box::pin(async move { call.await.map(drop) }));
            async move { Ok::<_, Infallible>(Response::new(body)) }
        }));
    let body = server.oneshot(Request::new(())).await.unwrap().into_body();
    let reading = tokio::spawn(read(body));
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!((report.cancelled, report.hooks.finished), (1, 1));
    assert_eq!(report.took, seconds(2));
    let error = reading.await.unwrap().1.unwrap();
    assert_eq!(kind(&error), ErrorKind::Cancelled(Cancellation::Shutdown));
}

/// A body that makes a call while it is polled.
struct Calling(Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>);

impl HttpBody for Calling {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll(cx).map(|called| called.err().map(Err))
    }
}

fn hook() -> (Arc<Mutex<Vec<Ended>>>, CancelLayer) {
    let told = Arc::<Mutex<Vec<Ended>>>::default();
    let layer = CancelLayer::new().on_cancel({
        let told = told.clone();
        move |ended| {
            let told = told.clone();
            async move { told.lock().push(ended) }
        }
    });
    (told, layer)
}

#[tokio::test(start_paused = true)]
async fn the_hooks_of_calls_that_a_hook_makes_are_waited_for() {
    let told = Arc::new(Mutex::new(0));
    let inner = CancelLayer::new().on_cancel({
        let told = told.clone();
        move |_| {
            let told = told.clone();
            async move {
                sleep(Duration::from_millis(100)).await;
                *told.lock() += 1;
            }
        }
    });
    let drain = Drain::new().grace(Duration::ZERO);
    let service = ServiceBuilder::new()
        .drain(&drain)
        .on_cancel(move |_| {
            let inner = inner.clone();
            async move {
                let service = ServiceBuilder::new()
                    .layer(inner)
                    .service(Upstream::new([Answer::hang()]));
                let _ = timeout(Duration::from_millis(1), send(&service, chat())).await;
            }
        })
        .service(Upstream::new([Answer::hang()]));
    let call = tokio::spawn(send(&service, chat()));
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!((*told.lock(), report.hooks.finished), (1, 2));
    drop(call);
}
