//! Many calls with a window: nothing more is in flight, nothing is lost, and nobody harms another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, BuildError, Deadline, Error, ErrorKind, ServiceBuilderExt,
    batch::{Batch, Progress},
    cancel::{CancelLayer, Ended, Why},
    drain::Drain,
    error::Cancellation,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use support::{Answer, Upstream, chat, kind, read, seconds};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Duration, Instant, Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimit, service_fn};

const MS: Duration = Duration::from_millis(1);

/// Where an item is when it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Call,
    Reading,
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

/// What became of the batch of two: the first item is left in this way after one second, the second
/// would be complete after two.
struct Left {
    results: Vec<(usize, Option<ErrorKind>)>,
    ends: Vec<Why>,
    hooks: usize,
    tasks: usize,
    live: usize,
    progress: Progress,
}

#[tokio::test(start_paused = true)]
async fn each_way_of_leaving_each_thing_harms_no_other_item_and_leaves_nothing_behind() {
    for thing in [Thing::Call, Thing::Reading] {
        for way in WAYS {
            for in_order in [false, true] {
                let cell = format!("{way:?} of {thing:?}, in order: {in_order}");
                let left = leave(thing, way, in_order).await;
                let error = match way {
                    Way::Token => Some(ErrorKind::Cancelled(Cancellation::Token)),
                    Way::Deadline => Some(ErrorKind::Deadline),
                    Way::Shutdown => Some(ErrorKind::Cancelled(Cancellation::Shutdown)),
                    Way::Panic => Some(ErrorKind::Panicked),
                    _ => None,
                };
                // An error that is not backstay's is told as transport here.
                let error = match way {
                    Way::Error => Some(ErrorKind::Transport),
                    _ => error,
                };
                let whole = matches!(way, Way::Drop | Way::Parent);
                let expected = if whole {
                    vec![]
                } else {
                    vec![(0, error), (1, None)]
                };
                let second_too = way == Way::Shutdown;
                if second_too {
                    let kinds: Vec<_> = left.results.iter().map(|(_, kind)| *kind).collect();
                    assert_eq!(kinds, [error, error], "{cell}");
                } else {
                    assert_eq!(left.results, expected, "{cell}");
                }
                let why = match way {
                    Way::Value => Why::Complete,
                    Way::Error => Why::Failed(None),
                    Way::Deadline => Why::Deadline,
                    Way::Token => Why::Token,
                    Way::Shutdown => Why::Shutdown,
                    Way::Panic | Way::Drop | Way::Parent => Why::Dropped,
                };
                let second = match why {
                    _ if whole => Why::Dropped,
                    Why::Shutdown => Why::Shutdown,
                    _ => Why::Complete,
                };
                assert_eq!(left.ends, [why, second], "{cell}");
                let cut = [why, second]
                    .iter()
                    .filter(|why| !why.is_complete())
                    .count();
                assert_eq!(left.hooks, cut, "{cell}");
                assert_eq!((left.tasks, left.live), (0, 0), "{cell}");
                let progress = &left.progress;
                let counts = (
                    progress.succeeded(),
                    progress.failed(),
                    progress.cancelled(),
                );
                let wanted = match way {
                    Way::Value => (2, 0, 0),
                    Way::Error | Way::Deadline | Way::Panic => (1, 1, 0),
                    Way::Token => (1, 0, 1),
                    Way::Drop | Way::Parent | Way::Shutdown => (0, 0, 2),
                };
                assert_eq!(counts, wanted, "{cell}");
                assert_eq!((progress.started(), progress.in_flight()), (2, 0), "{cell}");
                assert_eq!(progress.expected(), Some(2), "{cell}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn results_come_in_order_of_completion() {
    let results = Batch::new(echo())
        .window(4)
        .run(numbered(4), |response| after(40 - 10 * number(&response)))
        .unwrap();
    let order: Vec<_> = results.map(|(index, _)| index).collect().await;
    assert_eq!(order, [3, 2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn in_order_what_waits_for_its_turn_keeps_its_place_in_the_window() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let mut results = Batch::new(echo())
        .window(4)
        .in_order()
        .run(counted(20, &pulled), |response| {
            after(if number(&response) == 0 { 1000 } else { 1 })
        })
        .unwrap();
    // The first is slow: three others wait for it, and no fifth is begun.
    assert!(timeout(500 * MS, results.next()).await.is_err());
    assert_eq!(pulled.load(SeqCst), 4);
    let progress = results.progress();
    assert_eq!((progress.done(), progress.in_flight()), (3, 1));
    let order: Vec<_> = results.map(|(index, _)| index).collect().await;
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_window_is_in_flight_and_the_input_is_taken_as_needed() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut results = Batch::new(echo())
        .window(16)
        .run(counted(1000, &pulled), {
            let (now, peak) = (now.clone(), peak.clone());
            move |response| {
                let (now, peak) = (now.clone(), peak.clone());
                peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                async move {
                    sleep((1 + u32::try_from(number(&response)).unwrap() % 7) * MS).await;
                    now.fetch_sub(1, SeqCst);
                    Ok::<_, Infallible>(())
                }
            }
        })
        .unwrap();
    assert_eq!(pulled.load(SeqCst), 0);
    let mut yielded = 0;
    while let Some((_, result)) = results.next().await {
        result.unwrap();
        yielded += 1;
        assert!(pulled.load(SeqCst) <= yielded + 16);
    }
    assert_eq!((yielded, peak.load(SeqCst)), (1000, 16));
}

#[tokio::test(start_paused = true)]
async fn an_input_without_end_is_no_matter() {
    let endless = (0..).map(|_| chat());
    let mut results = Batch::new(echo())
        .window(2)
        .run(endless, |_| after(1))
        .unwrap();
    for _ in 0..100 {
        results.next().await.unwrap().1.unwrap();
    }
    assert_eq!(results.progress().expected(), None);
}

#[tokio::test(start_paused = true)]
async fn requests_may_come_over_time() {
    let requests = stream::unfold(0, |sent| async move {
        sleep(seconds(1)).await;
        (sent < 3).then(|| (chat(), sent + 1))
    });
    let mut results = Box::pin(
        Batch::new(echo())
            .run_stream(requests, |_| after(1500))
            .unwrap(),
    );
    let began = Instant::now();
    let mut times = Vec::new();
    while let Some((index, _)) = results.next().await {
        times.push((
            index,
            Instant::now().saturating_duration_since(began).as_millis(),
        ));
    }
    assert_eq!(times, [(0, 2500), (1, 3500), (2, 4500)]);
}

#[tokio::test(start_paused = true)]
async fn fail_fast_cancels_what_is_in_flight_and_takes_nothing_more() {
    for in_order in [false, true] {
        let pulled = Arc::new(AtomicUsize::new(0));
        let mut batch = Batch::new(echo()).window(4).fail_fast();
        if in_order {
            batch = batch.in_order();
        }
        let mut results = batch
            .run(counted(100, &pulled), |response| async move {
                match number(&response) {
                    0 => sleep(seconds(60)).await,
                    1 => sleep(MS).await,
                    2 => sleep(5 * MS).await,
                    _ => sleep(seconds(1)).await,
                }
                if number(&response) == 2 {
                    Err("no")
                } else {
                    Ok(())
                }
            })
            .unwrap();
        let (first, result) = results.next().await.unwrap();
        assert_eq!((first, result.is_ok()), (1, true));
        let (second, result) = results.next().await.unwrap();
        assert_eq!((second, result.is_ok()), (2, false));
        assert!(results.next().await.is_none());
        let taken = if in_order { 4 } else { 5 };
        assert_eq!(pulled.load(SeqCst), taken);
        let progress = results.progress();
        assert_eq!((progress.succeeded(), progress.failed()), (1, 1));
        assert_eq!((progress.cancelled(), progress.in_flight()), (taken - 2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_item_budget_lies_inside_of_the_batchs() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn({
        let seen = seen.clone();
        move |request: Request<Body>| {
            let deadline = *request.extensions().get::<Deadline>().unwrap();
            seen.lock().push(deadline.time_left(Instant::now()));
            assert_eq!(Deadline::ambient(), Some(deadline));
            pending::<Result<Response<()>, BoxError>>()
        }
    });
    let began = Instant::now();
    let mut results = Batch::new(service)
        .window(2)
        .item_budget(seconds(3))
        .budget(seconds(5))
        .run((0..).map(|_| chat()), |_| ready(Ok::<_, Infallible>(())))
        .unwrap();
    let mut ended = Vec::new();
    while let Some((_, result)) = results.next().await {
        let error = result.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Deadline);
        ended.push(Instant::now() - began);
    }
    assert_eq!(ended, [3, 3, 5, 5].map(seconds));
    assert_eq!(*seen.lock(), [3, 3, 2, 2].map(seconds));
    // After the deadline nothing was sent, and the input was let be.
    assert_eq!(results.progress().started(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_the_requests_own_stands_if_it_is_earlier() {
    let mut request = chat();
    request.extensions_mut().insert(Deadline::after(seconds(1)));
    let hangs = Upstream::new([Answer::hang()]);
    let mut results = Batch::new(hangs)
        .item_budget(seconds(3))
        .run([request], |_| ready(Ok::<_, Infallible>(())))
        .unwrap();
    let began = Instant::now();
    results.next().await.unwrap().1.unwrap_err();
    assert_eq!(Instant::now() - began, seconds(1));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_waited_for_by_each_item_and_an_error_of_it_fails_that_item_only() {
    // Fewer permits than the window has places.
    let permits = Arc::new(Semaphore::new(2));
    let limited = ConcurrencyLimit::with_semaphore(echo(), permits.clone());
    let results = Batch::new(limited)
        .window(8)
        .run(numbered(8), |_| after(10))
        .unwrap();
    let ended: Vec<_> = results.map(|(_, result)| result.is_ok()).collect().await;
    assert_eq!(ended, [true; 8]);
    assert_eq!(permits.available_permits(), 2);

    let mut results = Batch::new(Unready::default())
        .window(1)
        .run(numbered(3), |_| after(1))
        .unwrap();
    let mut ended = Vec::new();
    while let Some((_, result)) = results.next().await {
        ended.push(result.is_ok());
    }
    assert_eq!(ended, [true, false, true]);
}

#[test]
fn what_can_never_work_is_said_when_it_is_run() {
    let run = |batch: Batch<Unready>| {
        let results = batch.run(Vec::<Request<Body>>::new(), |_| {
            ready(Ok::<_, Infallible>(()))
        });
        results.map(drop)
    };
    let batch = Batch::new(Unready::default());
    let zero = |setting| Err(BuildError::ZeroDuration { setting });
    assert_eq!(
        run(batch.clone().window(0)),
        Err(BuildError::Zero { setting: "window" })
    );
    assert_eq!(run(batch.clone().budget(Duration::ZERO)), zero("budget"));
    assert_eq!(
        run(batch.clone().item_budget(Duration::ZERO)),
        zero("item_budget")
    );
    assert_eq!(run(batch), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_panic_wherever_it_is_fails_its_item_only() {
    for panics in [
        Panics::Ready,
        Panics::Call,
        Panics::Response,
        Panics::Closure,
        Panics::Reading,
        Panics::Drop,
    ] {
        let mut results = Batch::new(Panicking(panics))
            .window(2)
            .run(numbered(3), |response| {
                assert!(panics != Panics::Closure);
                let number = number(&response);
                async move {
                    let _drop = PanicsInDrop(panics == Panics::Drop);
                    sleep(MS).await;
                    assert!(panics != Panics::Reading);
                    Ok::<_, BoxError>(number)
                }
            })
            .unwrap();
        let mut ended = Vec::new();
        while let Some((index, result)) = results.next().await {
            assert_eq!(told(&result.unwrap_err()), ErrorKind::Panicked);
            ended.push(index);
        }
        assert_eq!(ended, [0, 1, 2], "{panics:?}");
        let progress = results.progress();
        assert_eq!((progress.failed(), progress.in_flight()), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_that_panics_does_not_keep_the_others_from_being_dropped() {
    let permits = Arc::new(Semaphore::new(3));
    let held = permits.clone();
    let mut results = Batch::new(echo())
        .run(numbered(3), move |_| {
            let permit = held.clone().try_acquire_owned().unwrap();
            async move {
                let (_drop, _permit) = (PanicsInDrop(true), permit);
                pending::<Result<(), BoxError>>().await
            }
        })
        .unwrap();
    assert!(timeout(MS, results.next()).await.is_err());
    let progress = results.progress();
    drop(results);
    assert_eq!((permits.available_permits(), progress.cancelled()), (3, 3));
}

// --- How it is done ---

async fn leave(thing: Thing, way: Way, in_order: bool) -> Left {
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
            move |ended: &Ended| {
                let index = ended.labels.get("index").unwrap().to_owned();
                ends.lock().push((index, ended.why));
            }
        });
    let drain = Drain::new().grace(seconds(1));
    let live = Arc::new(AtomicUsize::new(0));
    let leaf = LeafService {
        thing,
        way,
        live: live.clone(),
    };
    let service = ServiceBuilder::new()
        .drain(&drain)
        .layer(cancel)
        .deadline(Duration::MAX)
        .unwrap()
        .service(leaf);
    let token = CancellationToken::new();
    let requests: Vec<_> = numbered(2)
        .enumerate()
        .map(|(index, mut request)| {
            let labels = backstay::Labels::new().with("index", index.to_string());
            request.extensions_mut().insert(labels);
            if index == 0 {
                request.extensions_mut().insert(token.clone());
                if way == Way::Deadline {
                    request.extensions_mut().insert(Deadline::after(seconds(1)));
                }
            }
            request
        })
        .collect();
    let mut batch = Batch::new(service);
    if in_order {
        batch = batch.in_order();
    }
    let mut results = batch
        .run(requests, |response| async {
            match read(response.into_body()).await.1 {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
        .unwrap();
    let progress = results.progress();
    let drive = async move {
        let mut seen = Vec::new();
        while let Some((index, result)) = results.next().await {
            let error = result.err();
            seen.push((index, error.map(|error| told(&error))));
        }
        seen
    };
    let task = tokio::spawn(async move {
        match way {
            Way::Drop => timeout(seconds(1), drive).await.unwrap_or_default(),
            _ => drive.await,
        }
    });
    if way == Way::Shutdown {
        tokio::task::yield_now().await;
        drain.start();
    }
    sleep(seconds(1)).await;
    match way {
        Way::Token => token.cancel(),
        Way::Parent => task.abort(),
        _ => {}
    }
    if !matches!(way, Way::Drop | Way::Parent | Way::Shutdown) {
        sleep(seconds(1)).await;
    }
    sleep(50 * MS).await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let results = match task.await {
        Ok(results) => results,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => vec![],
    };
    let mut ends = ends.lock().clone();
    ends.sort_by(|a, b| a.0.cmp(&b.0));
    Left {
        results,
        ends: ends.into_iter().map(|(_, why)| why).collect(),
        hooks: hooks.load(SeqCst),
        tasks,
        live: live.load(SeqCst),
        progress,
    }
}

/// backstay's own kind; transport for anything else.
fn told(error: &BoxError) -> ErrorKind {
    Error::find(&**error).map_or(ErrorKind::Transport, Error::kind)
}

/// The first item is left in some way after a second, the second is complete after two.
#[derive(Clone)]
struct LeafService {
    thing: Thing,
    way: Way,
    live: Arc<AtomicUsize>,
}

impl Service<Request<Body>> for LeafService {
    type Response = Response<Leaf>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Leaf>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let thing = self.thing;
        let mut body = match &request.headers()["number"] {
            first if first == "0" => Leaf::new(self.way, seconds(1), &self.live),
            _ => Leaf::new(Way::Value, seconds(2), &self.live),
        };
        Box::pin(async move {
            if thing == Thing::Call {
                if let (_, Some(error)) = read(&mut body).await {
                    return Err(error);
                }
                body.way = Way::Value;
            }
            Ok(Response::new(body))
        })
    }
}

/// A body that ends in some way after some time.
struct Leaf {
    way: Way,
    sleep: Pin<Box<Sleep>>,
    live: Arc<AtomicUsize>,
}

impl Leaf {
    fn new(way: Way, after: Duration, live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, SeqCst);
        Self {
            way,
            sleep: Box::pin(sleep(after)),
            live: live.clone(),
        }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.live.fetch_sub(1, SeqCst);
    }
}

impl HttpBody for Leaf {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        match self.way {
            Way::Value => Poll::Ready(None),
            Way::Error => Poll::Ready(Some(Err("it broke off".into()))),
            Way::Panic => panic!("in the inner service"),
            _ => Poll::Pending,
        }
    }
}

/// Requests that say their number.
fn numbered(requests: usize) -> impl ExactSizeIterator<Item = Request<Body>> {
    (0..requests).map(|number| {
        let mut request = chat();
        request.headers_mut().insert("number", number.into());
        request
    })
}

/// The same, counting how many were taken.
fn counted(
    requests: usize,
    pulled: &Arc<AtomicUsize>,
) -> impl Iterator<Item = Request<Body>> + use<> {
    let pulled = pulled.clone();
    numbered(requests).inspect(move |_| {
        pulled.fetch_add(1, SeqCst);
    })
}

/// A service whose response has the number of its request.
fn echo() -> impl Service<
    Request<Body>,
    Response = Response<()>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<()>, Infallible>>,
> + Clone {
    service_fn(|request: Request<Body>| {
        let mut response = Response::new(());
        if let Some(number) = request.headers().get("number") {
            response.headers_mut().insert("number", number.clone());
        }
        ready(Ok(response))
    })
}

fn number(response: &Response<()>) -> u64 {
    response.headers()["number"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn after(milliseconds: u64) -> Result<(), Infallible> {
    sleep(Duration::from_millis(milliseconds)).await;
    Ok(())
}

/// One that panics wherever the batch lets it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Panics {
    Ready,
    Call,
    Response,
    Closure,
    Reading,
    /// When what the closure made is dropped: at its end, or with the batch.
    Drop,
}

#[derive(Clone)]
struct Panicking(Panics);

impl Service<Request<Body>> for Panicking {
    type Response = Response<()>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        assert_ne!(self.0, Panics::Ready);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let panics = self.0;
        assert_ne!(panics, Panics::Call);
        Box::pin(async move {
            assert_ne!(panics, Panics::Response);
            echo().oneshot(request).await.map_err(Into::into)
        })
    }
}

struct PanicsInDrop(bool);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        assert!(!self.0);
    }
}

/// Every second clone is dead.
#[derive(Default)]
struct Unready {
    clones: Arc<AtomicUsize>,
    number: usize,
}

impl Clone for Unready {
    fn clone(&self) -> Self {
        Self {
            clones: self.clones.clone(),
            number: self.clones.fetch_add(1, SeqCst),
        }
    }
}

impl Service<Request<Body>> for Unready {
    type Response = Response<()>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<()>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(if self.number % 2 == 1 {
            Err("dead".into())
        } else {
            Ok(())
        })
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}
