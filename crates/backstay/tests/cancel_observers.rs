//! What an observer of the ends of calls is told, and when.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Hooks, Why},
    fallback::Targets,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use support::{Answer, Step, Upstream, chat, done, finish, read, seconds, send, token};
use tower::{Layer, ServiceBuilder, service_fn};

#[tokio::test(start_paused = true)]
async fn after_the_marker_the_call_is_complete() {
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let up = Upstream::new([Answer::events(vec![
        token("x"),
        finish(),
        done(),
        Step::Hang,
    ])]);
    let s = ServiceBuilder::new()
        .layer(CancelLayer::new().observe(move |e| e2.lock().push(e.clone())))
        .deadline(seconds(5))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let (_, e) = read(r.into_body()).await;
    assert_eq!(ends.lock()[0].why, Why::Complete);
    assert!(e.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_an_observer_sees_is_final() {
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let s = ServiceBuilder::new()
        .layer(
            CancelLayer::new()
                .observe(move |e| e2.lock().push(e.trail.attempts().pop().unwrap().bytes)),
        )
        .fallback(Targets::new("a").retries(1))
        .unwrap()
        .service(service_fn(|_: Request<Body>| async {
            Ok::<_, BoxError>(
                Response::builder()
                    .header("content-type", "application/json")
                    .body(Full::<Bytes>::from("{\"choices\":[]}"))
                    .unwrap(),
            )
        }));
    let r = send(&s, chat()).await.unwrap();
    read(r.into_body()).await;
    assert_eq!(ends.lock()[0], 14);
}

#[tokio::test(start_paused = true)]
async fn no_gap_between_in_flight_and_running() {
    let handle: Arc<Mutex<Option<Hooks>>> = Arc::default();
    let h2 = handle.clone();
    let gap = Arc::new(AtomicUsize::new(0));
    let g2 = gap.clone();
    let layer = CancelLayer::new()
        .on_cancel(|_| async {})
        .observe(move |_| {
            let h = h2.lock();
            let h = h.as_ref().unwrap();
            if h.in_flight() + h.running() == 0 {
                g2.fetch_add(1, SeqCst);
            }
        });
    *handle.lock() = Some(layer.hooks());
    let up = Upstream::new([Answer::hang()]);
    let s = layer.layer(up);
    let _ = tokio::time::timeout(seconds(1), send(&s, chat())).await;
    assert_eq!(gap.load(SeqCst), 0);
}
