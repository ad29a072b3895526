//! A batch over real sockets: the window holds, results come as they are there, and dropping it closes all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use backstay::{
    BoxError, ServiceBuilderExt, Timeouts,
    batch::Batch,
    fallback::{Target, Targets},
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{HANGS, MS, answer, ask::Api, stack::http1, within};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;
use tower::{Service, ServiceBuilder};

const WINDOW: usize = 16;
const ITEMS: usize = 1000;
const RUNS: usize = 20;
const MEDIAN: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_thousand_with_a_window_of_sixteen() {
    let mock = Mock::start().await.unwrap();
    for delay in 0..5 {
        let reply = Reply::text("done").delay_headers(3 * delay * MS);
        mock.script(format!("m{delay}"), reply);
    }
    let url = mock.url();
    let pulled = AtomicUsize::new(0);
    let requests = (0..ITEMS).map(|number| {
        pulled.fetch_add(1, Relaxed);
        // The first of five is the slowest, so the order of completion is another than that of the input.
        Api::OpenAi.unary(&url, &format!("m{}", 4 - number % 5))
    });
    let mut results = Batch::new(stack())
        .window(WINDOW)
        .run(requests, |response| async {
            let answer = answer::read(response).await;
            assert!(answer.contains("done"));
            Ok::<_, BoxError>(Instant::now())
        })
        .unwrap();
    let progress = results.progress();
    let mut order = Vec::new();
    let mut last = None;
    while let Some((index, done)) = within(results.next()).await {
        let done = Some(done.unwrap());
        assert!(done >= last);
        last = done;
        order.push(index);
        assert!(pulled.load(Relaxed) <= order.len() + WINDOW);
        assert!(progress.in_flight() <= WINDOW);
    }
    let peak = mock.peak_in_flight();
    assert!((WINDOW / 2..=WINDOW).contains(&peak), "{peak} in flight");
    assert_eq!((progress.succeeded(), mock.log().len()), (ITEMS, ITEMS));
    assert!(!order.is_sorted());
    order.sort_unstable();
    assert_eq!(order, (0..ITEMS).collect::<Vec<_>>());
}

#[tokio::test]
async fn dropped_after_ten_results_it_closes_every_socket() {
    let mut delays = Vec::new();
    for _ in 0..RUNS {
        let mock = Mock::start().await.unwrap();
        mock.script(
            "stalled",
            Reply::tokens(["one", "two"]).stall_after_tokens(1),
        );
        let url = mock.url();
        let requests = (0..ITEMS).map(|number| {
            let model = if number < 10 { "quick" } else { "stalled" };
            Api::OpenAi.stream(&url, model)
        });
        let mut results = Batch::new(stack())
            .window(WINDOW)
            .run(requests, |response| async {
                answer::read(response).await;
                Ok::<_, BoxError>(())
            })
            .unwrap();
        for _ in 0..10 {
            within(results.next()).await.unwrap().1.unwrap();
        }
        // The window is full of streams that would never end.
        let full = async { while results.next().await.is_some() {} };
        let stalled = |log: &[backstay_mock::Logged]| {
            log.iter().filter(|seen| seen.tokens_sent == 1).count() >= WINDOW
        };
        tokio::select! {
            () = full => panic!("the batch has ended"),
            there = mock.wait_until(stalled, HANGS) => assert!(there),
        }
        let left = Instant::now();
        drop(results);
        assert!(
            mock.wait_until(|_| mock.connections_open() == 0, HANGS)
                .await
        );
        delays.push(Instant::now().saturating_duration_since(left));
        assert_eq!(mock.in_flight(), 0);
    }
    delays.sort();
    assert!(delays[RUNS / 2] <= MEDIAN, "{delays:?}");
    assert!(delays[RUNS - 1] <= LONGEST, "{delays:?}");
}

/// A stack of its own, which takes its connections with it when it goes.
fn stack() -> impl Service<
    Request<backstay::Body>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = BoxError> + Unpin>,
    Error = BoxError,
> + Clone {
    ServiceBuilder::new()
        .on_cancel(|_| async {})
        .deadline(Duration::from_secs(60))
        .unwrap()
        .fallback(Targets::new(Target::named("only")))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(http1())
}
