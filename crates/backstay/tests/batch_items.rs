//! Each item has a deadline, a readiness and a panic of its own, and harms no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{Body, BoxError, Deadline, ErrorKind, batch::Batch};
use futures_util::StreamExt;
use http::{Request, Response};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use support::{
    Answer, Upstream,
    batch::{MS, Unready, after, echo, number, numbered, told},
    chat, kind, seconds,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tower::{Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

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
