//! What a whole answer is, and when it is at its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, ServiceBuilderExt,
    cancel::{CancelLayer, Why},
    fallback::{Target, Targets},
    trail::Outcome,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::sync::Arc;
use support::{Answer, Step, Upstream, chat, live_trail, read, send, stack};
use tower::{ServiceBuilder, service_fn};

fn get(path: &str) -> Request<Body> {
    Request::get(format!("https://db.example.com{path}"))
        .body(Body::empty())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_json_scalar_is_a_whole_answer() {
    for text in ["42", "null", "\"1.0.0\"", "true"] {
        let up = Upstream::new([Answer::json(text)]);
        let s = stack(Targets::plain(Target::named("db")).retries(2), &up);
        let r = send(&s, get("/api/v2/collections/x/count")).await;
        assert_eq!(up.attempts(), 1, "{text} was retried");
        let (_, error) = read(r.unwrap().into_body()).await;
        assert!(error.is_none(), "{text}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_an_answer() {
    for (method, status) in [("HEAD", 200), ("DELETE", 204), ("GET", 304)] {
        // Held, and let through at its head.
        for retries in [1, 0] {
            let mut answer = Answer::status(status, "");
            answer.steps.clear();
            let up = Upstream::new([answer]);
            let service = stack(Targets::plain(Target::named("db")).retries(retries), &up);
            let mut request = get("/x");
            *request.method_mut() = method.parse().unwrap();
            let response = send(&service, request).await.unwrap();
            assert_eq!(up.attempts(), 1, "{method} {status}");
            assert!(
                read(response.into_body()).await.1.is_none(),
                "{method} {status}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_that_is_dropped_unread_is_complete() {
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let s = ServiceBuilder::new()
        .layer(CancelLayer::new().observe(move |e| e2.lock().push(e.clone())))
        .fallback(Targets::plain(Target::named("db")))
        .unwrap()
        .service(service_fn(|_: Request<Body>| async {
            let mut r = Response::new(Full::<Bytes>::default());
            *r.status_mut() = StatusCode::NO_CONTENT;
            Ok::<_, BoxError>(r)
        }));
    let r = send(&s, get("/x")).await.unwrap();
    let t = live_trail(&r);
    assert!(r.body().is_end_stream());
    drop(r);
    assert_eq!(ends.lock()[0].why, Why::Complete);
    assert_eq!(t.attempts()[0].outcome, Outcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn an_ended_hold_is_complete() {
    // content and [DONE] in one frame, the socket stays open; the SDK drops at the marker
    let all = Step::Data(Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"));
    for read_on in [false, true] {
        let up = Upstream::new([Answer::events(vec![all.clone(), Step::Hang])]);
        let s = stack(Targets::new("a").retries(1), &up);
        let r = send(&s, chat()).await.unwrap();
        let t = live_trail(&r);
        let mut b = r.into_body();
        b.frame().await.unwrap().unwrap();
        if read_on {
            assert!(b.frame().await.is_none());
        }
        drop(b);
        assert_eq!(
            t.attempts()[0].outcome,
            Outcome::Complete,
            "read_on {read_on}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_finished_stream_of_known_length_is_complete_at_it() {
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let s = ServiceBuilder::new().layer(CancelLayer::new().observe(move |e| e2.lock().push(e.clone())))
        .fallback(Targets::new("a").retries(0)).unwrap()
        .service(service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::builder().header("content-type", "text/event-stream").body(Full::<Bytes>::from("data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n")).unwrap()) }));
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    let mut b = r.into_body();
    b.frame().await.unwrap().unwrap();
    // hyper's server stops here: as many bytes as content-length says
    drop(b);
    assert_eq!(t.attempts()[0].outcome, Outcome::Complete);
    assert_eq!(ends.lock()[0].why, Why::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_document_is_not_at_its_end() {
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let s = ServiceBuilder::new()
        .layer(CancelLayer::new().observe(move |e| e2.lock().push(e.clone())))
        .fallback(Targets::new("a").retries(0))
        .unwrap()
        .service(service_fn(|_: Request<Body>| async {
            Ok::<_, BoxError>(
                Response::builder()
                    .header("content-type", "application/json")
                    .body(Full::<Bytes>::from("{\"choices\":["))
                    .unwrap(),
            )
        }));
    let r = send(&s, chat()).await.unwrap();
    let (_, e) = read(r.into_body()).await;
    assert!(e.is_some());
    assert_ne!(ends.lock()[0].why, Why::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_whole_document_that_is_held_survives_its_connection() {
    let mut a = Answer::json("{\"choices\":[]}");
    a.steps.push(Step::Fail);
    let up = Upstream::new([a]);
    let s = stack(Targets::new("a").retries(2), &up);
    let _ = send(&s, chat()).await;
    assert_eq!(up.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_whole_document_that_was_let_through_survives_its_connection() {
    let mut answer = Answer::json("{\"choices\":[]}");
    answer.steps.push(Step::Fail);
    let up = Upstream::new([answer]);
    let response = send(&stack(Targets::new("a").retries(0), &up), chat())
        .await
        .unwrap();
    let trail = live_trail(&response);
    let (body, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(body, "{\"choices\":[]}");
    assert_eq!(trail.attempts()[0].outcome, Outcome::Complete);
}
