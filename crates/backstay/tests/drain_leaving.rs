//! Each way of leaving what a drain knows of: it is counted once, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Deadline, Error, ErrorKind, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Ended, Why},
    drain::{Drain, DrainReport},
    error::Cancellation,
    fallback::Targets,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Empty};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use support::{Answer, Step, Upstream, chat, kind, read, seconds, send, token};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

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

/// Frames that are there at once; it is seen when the last of it is let go.
struct Kept {
    frames: VecDeque<Frame<Bytes>>,
    _alive: Arc<()>,
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.frames.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }
}

#[tokio::test(start_paused = true)]
async fn after_its_trailers_nothing_of_an_answer_is_held() {
    let alive = Arc::new(());
    let drain = Drain::new();
    let upstream = service_fn(|_: Request<Body>| {
        let mut trailers = HeaderMap::new();
        trailers.insert("server-timing", HeaderValue::from_static("total;dur=1"));
        let events = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        let body = Kept {
            frames: [Frame::data(Bytes::from(events)), Frame::trailers(trailers)].into(),
            _alive: alive.clone(),
        };
        async move {
            let response = Response::builder().header("content-type", "text/event-stream");
            Ok::<_, Infallible>(response.body(body).unwrap())
        }
    });
    let service = ServiceBuilder::new()
        .drain(&drain)
        .timeouts(Timeouts::new().headers(seconds(2)))
        .unwrap()
        .service(upstream);
    let mut body = service.oneshot(chat()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    // The end marker has come: the drain does not wait for what follows.
    assert_eq!((drain.in_flight(), Arc::strong_count(&alive)), (0, 2));
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// Like [`Kept`], but it does not say when it is at its end: `StreamBody` is one.
struct Streamed(Kept);

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_complete_at_its_trailers_though_nobody_comes_back_for_the_end() {
    let upstream = service_fn(|_: Request<Body>| {
        let mut trailers = HeaderMap::new();
        trailers.insert("server-timing", HeaderValue::from_static("total;dur=1"));
        let frames = [
            Frame::data(Bytes::from("answer")),
            Frame::trailers(trailers),
        ];
        let body = Streamed(Kept {
            frames: frames.into(),
            _alive: Arc::default(),
        });
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    for server in [false, true] {
        let drain = Drain::new();
        let mut body = if server {
            let service = drain.server_layer().layer(upstream);
            service.oneshot(chat()).await.unwrap().into_body()
        } else {
            let service = drain.layer().layer(upstream);
            service.oneshot(chat()).await.unwrap().into_body()
        };
        drain.start();
        // hyper's HTTP/2 server does not poll a body again that has given its trailers.
        assert!(body.frame().await.unwrap().unwrap().is_data());
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        drop(body);
        let report = drain.shutdown().await;
        assert_eq!((report.completed, report.cancelled), (1, 0), "{server}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_comes_after_the_trailers_is_told_and_counted() {
    let drain = Drain::new();
    let upstream = Upstream::new([Answer::events(vec![token("x"), Step::Trailers])]);
    let service = ServiceBuilder::new()
        .drain(&drain)
        .fallback(Targets::new("m"))
        .unwrap()
        .service(upstream);
    let body = send(&service, chat()).await.unwrap().into_body();
    drain.start();
    let (_, error) = read(body).await;
    assert_eq!(kind(&error.unwrap()), ErrorKind::Truncated);
    let report = drain.shutdown().await;
    assert_eq!((report.failed, report.completed), (1, 0));
}
