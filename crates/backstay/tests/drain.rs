//! An orderly end: nothing is lost, nobody hangs, and the report says what became of each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Deadline, Error, ErrorKind, Labels, ServiceBuilderExt,
    cancel::{CancelLayer, Ended, Why},
    drain::{Drain, DrainReport},
    error::Cancellation,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Empty, Full};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use support::{Answer, Upstream, chat, done, kind, read, seconds, send, token, wait};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Future,
    Body,
    Tracked,
    Request,
}

/// How it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Value,
    Error,
    Panic,
    Drop,
    Token,
    Deadline,
    Parent,
    Shutdown,
}

const THINGS: [Thing; 4] = [Thing::Future, Thing::Body, Thing::Tracked, Thing::Request];

const WAYS: [Way; 8] = [
    Way::Value,
    Way::Error,
    Way::Panic,
    Way::Drop,
    Way::Token,
    Way::Deadline,
    Way::Parent,
    Way::Shutdown,
];

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn each_way_of_leaving_each_thing_is_counted_once_and_leaves_nothing_behind() {
    for thing in THINGS {
        for way in WAYS {
            let cell = format!("{way:?} of {thing:?}");
            let left = leave(thing, way).await;
            let (completed, failed, cancelled) = match way {
                Way::Value => (1, 0, 0),
                // A handler made a response of the error.
                Way::Error | Way::Deadline | Way::Token if thing == Thing::Request => (1, 0, 0),
                // A tracked future has come to its end with whatever it yields.
                Way::Error | Way::Deadline | Way::Token if thing == Thing::Tracked => (1, 0, 0),
                Way::Error | Way::Panic | Way::Deadline => (0, 1, 0),
                Way::Drop | Way::Token | Way::Parent | Way::Shutdown => (0, 0, 1),
            };
            let report = &left.report;
            assert_eq!(report.in_flight, 1, "{cell}");
            assert_eq!(
                (
                    report.completed,
                    report.failed,
                    report.cancelled,
                    report.unpolled
                ),
                (completed, failed, cancelled, 0),
                "{cell}"
            );
            let outcome = match way {
                Way::Value => Seen::Value,
                Way::Error => Seen::Error(None),
                Way::Panic => Seen::Panicked,
                Way::Drop | Way::Parent => Seen::Nothing,
                Way::Token => Seen::Error(Some(ErrorKind::Cancelled(Cancellation::Token))),
                Way::Deadline => Seen::Error(Some(ErrorKind::Deadline)),
                Way::Shutdown if thing == Thing::Request => Seen::Status(503),
                Way::Shutdown => Seen::Error(Some(ErrorKind::Cancelled(Cancellation::Shutdown))),
            };
            assert_eq!(left.seen, outcome, "{cell}");
            let why = match way {
                Way::Value => Why::Complete,
                Way::Error => Why::Failed(None),
                Way::Panic | Way::Drop | Way::Parent => Why::Dropped,
                Way::Token => Why::Token,
                Way::Deadline => Why::Deadline,
                Way::Shutdown => Why::Shutdown,
            };
            assert_eq!(left.ends, [why], "{cell}");
            let hooks = usize::from(way != Way::Value);
            assert_eq!(left.hooks, hooks, "{cell}");
            assert_eq!(report.hooks.finished, hooks, "{cell}");
            assert_eq!(report.hooks.running, 0, "{cell}");
            assert_eq!(left.tasks, 0, "{cell}");
        }
    }
}

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

// --- How it is done ---

/// What the caller saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Value,
    Status(u16),
    Error(Option<ErrorKind>),
    Panicked,
    Nothing,
}

struct Left {
    seen: Seen,
    report: DrainReport,
    ends: Vec<Why>,
    hooks: usize,
    tasks: usize,
}

/// Something begins, a drain begins 500 ms later, and after a second it is left in this way.
async fn leave(thing: Thing, way: Way) -> Left {
    let hooks = Arc::new(AtomicUsize::new(0));
    let ends = Arc::new(Mutex::new(Vec::new()));
    let cancel = CancelLayer::new()
        .on_cancel({
            let hooks = hooks.clone();
            move |_| {
                hooks.fetch_add(1, SeqCst);
                async {}
            }
        })
        .observe({
            let ends = ends.clone();
            move |ended: &Ended| ends.lock().push(ended.why)
        });
    let grace = if way == Way::Shutdown {
        500 * MS
    } else {
        seconds(20)
    };
    let drain = Drain::new().grace(grace);
    let token = CancellationToken::new();
    let mut request = chat();
    request.extensions_mut().insert(token.clone());
    if way == Way::Deadline {
        request.extensions_mut().insert(Deadline::after(seconds(1)));
    }
    let leaf = leaf(thing, way);
    let with_deadline = ServiceBuilder::new()
        .layer(cancel)
        .deadline(Duration::MAX)
        .unwrap()
        .service(leaf);
    let begun = Instant::now();
    let caller: Pin<Box<dyn Future<Output = Result<StatusCode, BoxError>> + Send>> = match thing {
        Thing::Future | Thing::Body => {
            let service = ServiceBuilder::new()
                .layer(drain.layer())
                .service(with_deadline);
            Box::pin(exchange(service.oneshot(request)))
        }
        Thing::Tracked => {
            let tracked = drain.track(exchange(with_deadline.oneshot(request)));
            Box::pin(async move { tracked.await? })
        }
        Thing::Request => {
            // A handler that makes the call, and passes the error on as a marked response.
            let handler = service_fn(move |request: Request<Body>| {
                let call = exchange(with_deadline.clone().oneshot(request));
                async move {
                    let mut response = Response::new(Empty::<Bytes>::new());
                    if let Err(error) = call.await {
                        response
                            .extensions_mut()
                            .insert(Arc::new(Mutex::new(Some(error))));
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let server = ServiceBuilder::new()
                .layer(drain.server_layer())
                .service(handler);
            Box::pin(async move {
                let mut response = server.oneshot(request).await.unwrap();
                let error = response
                    .extensions_mut()
                    .remove::<Arc<Mutex<Option<BoxError>>>>();
                match error.and_then(|error| error.lock().take()) {
                    Some(error) => Err(error),
                    None => Ok(response.status()),
                }
            })
        }
    };
    let task = tokio::spawn(async move {
        if way == Way::Drop {
            return timeout(seconds(1), caller).await.ok();
        }
        Some(caller.await)
    });
    sleep(500 * MS).await;
    drain.start();
    tokio::time::sleep_until(begun + seconds(1)).await;
    match way {
        Way::Token => token.cancel(),
        Way::Parent => task.abort(),
        _ => {}
    }
    sleep(50 * MS).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let seen = match task.await {
        Ok(None) => Seen::Nothing,
        Ok(Some(Ok(StatusCode::OK))) => Seen::Value,
        Ok(Some(Ok(status))) => Seen::Status(status.as_u16()),
        Ok(Some(Err(error))) => Seen::Error(Error::find(&*error).map(Error::kind)),
        Err(error) if error.is_panic() => Seen::Panicked,
        Err(_) => Seen::Nothing,
    };
    let report = drain.shutdown().await;
    Left {
        seen,
        report,
        ends: ends.lock().clone(),
        hooks: hooks.load(SeqCst),
        tasks,
    }
}

async fn exchange<F, R>(call: F) -> Result<StatusCode, BoxError>
where
    F: Future<Output = Result<Response<R>, BoxError>>,
    R: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    let response = call.await?;
    let status = response.status();
    match read(response.into_body()).await.1 {
        Some(error) => Err(error),
        None => Ok(status),
    }
}

/// Answers after a second, with its head or with its body; or not at all.
fn leaf(
    thing: Thing,
    way: Way,
) -> impl Service<
    Request<Body>,
    Response = Response<Leaf>,
    Error = BoxError,
    Future = impl Future<Output = Result<Response<Leaf>, BoxError>> + Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |_| async move {
        let mut body = Leaf(way, Box::pin(sleep(seconds(1))));
        if thing != Thing::Body {
            match body.frame().await {
                Some(Err(error)) => return Err(error),
                _ => body = Leaf(Way::Value, Box::pin(sleep(Duration::ZERO))),
            }
        }
        Ok(Response::new(body))
    })
}

struct Leaf(Way, Pin<Box<Sleep>>);

impl HttpBody for Leaf {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.1.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        match self.0 {
            Way::Value => Poll::Ready(None),
            Way::Error => Poll::Ready(Some(Err("it broke off".into()))),
            Way::Panic => panic!("in the inner service"),
            _ => Poll::Pending,
        }
    }
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
