//! Each way of leaving an item or the batch: no other item is harmed, and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Deadline, ErrorKind, ServiceBuilderExt,
    batch::{Batch, Progress},
    cancel::{CancelLayer, Ended, Why},
    drain::Drain,
    error::Cancellation,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use support::{
    batch::{MS, numbered, told},
    read, seconds,
};
use tokio::{
    runtime::Handle,
    time::{Duration, Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};

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
