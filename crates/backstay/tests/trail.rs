//! What the trail tells of each attempt, and until when.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Error, ErrorKind, ServiceBuilderExt, Timeouts,
    cancel::CancelLayer,
    fallback::{Commit, Targets},
    trail::{Note, Outcome},
    transport::{Delivery, SendFailure},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use support::{
    Answer, Step, Upstream, chat, data, done, finish, kind, live_trail, read, seconds, send, stack,
    token, trail_of, wait,
};
use tokio::time::Duration;
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_body_is_one_in_the_trail() {
    let up = Upstream::new([Answer::events(vec![token("x"), Step::Hang])]);
    let s = ServiceBuilder::new()
        .deadline(seconds(3))
        .unwrap()
        .fallback(Targets::new("a"))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    let (_, e) = read(r.into_body()).await;
    assert_eq!(kind(&e.unwrap()), ErrorKind::Deadline);
    assert_eq!(t.attempts()[0].outcome, Outcome::Deadline);
}

#[tokio::test(start_paused = true)]
async fn an_in_band_error_is_one_though_the_body_is_dropped_at_it() {
    let up = Upstream::new([Answer::events(vec![
        token("x"),
        data(r#"{"error":{"type":"server_error","code":"server_error","message":"x"}}"#),
        Step::Hang,
    ])]);
    let s = stack(Targets::new("a"), &up);
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    let mut b = r.into_body();
    b.frame().await.unwrap().unwrap();
    b.frame().await.unwrap().unwrap();
    drop(b);
    assert_eq!(t.attempts()[0].outcome, Outcome::InBand);
    assert_eq!(t.attempts()[0].code.as_deref(), Some("server_error"));
}

#[tokio::test(start_paused = true)]
async fn timeouts_alone_tell_that_an_attempt_is_complete() {
    let up = Upstream::new([Answer::stream(&["x"])]);
    let s = ServiceBuilder::new()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    read(r.into_body()).await;
    assert_eq!(t.attempts()[0].outcome, Outcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn timeouts_alone_tell_that_an_attempt_was_cancelled() {
    let up = Upstream::new([Answer::hang()]);
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let s = ServiceBuilder::new()
        .layer(CancelLayer::new().observe(move |e| e2.lock().push(e.clone())))
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let _ = tokio::time::timeout(seconds(1), send(&s, chat())).await;
    assert_eq!(
        ends.lock()[0].trail.attempts()[0].outcome,
        Outcome::Cancelled
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_has_no_first_token() {
    let up = Upstream::new([Answer::status(500, "{}")]);
    let s = stack(Targets::new("a").retries(0), &up);
    let r = send(&s, chat()).await.unwrap();
    assert_eq!(live_trail(&r).attempts()[0].first_token, None);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_an_attempt_that_failed_in_the_hold_are_counted() {
    let up = Upstream::new([Answer::json("{\"a\":"), Answer::json("{}")]);
    let service = ServiceBuilder::new()
        .fallback(Targets::new("a").then("b").retries(0))
        .unwrap()
        .service(up);
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(live_trail(&response).attempts()[0].bytes, 5);
}

#[tokio::test(start_paused = true)]
async fn a_later_note_overwrites_no_earlier_one() {
    let up = Upstream::new([Answer::events(vec![
        token("x"),
        finish(),
        done(),
        Step::Hang,
    ])]);
    let n = Arc::new(AtomicUsize::new(0));
    let u2 = up.clone();
    let s = ServiceBuilder::new()
        .fallback(Targets::new("a").retries(1).seed(1))
        .unwrap()
        .service(service_fn(move |q: Request<Body>| {
            let up = u2.clone();
            let n = n.clone();
            async move {
                if n.fetch_add(1, SeqCst) == 0 {
                    return Err(BoxError::from(SendFailure::new(Delivery::maybe_sent(true))));
                }
                up.oneshot(q).await
            }
        }));
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    assert!(t.attempts()[0].notes.contains(&Note::Resent));
    let mut b = r.into_body();
    for _ in 0..3 {
        b.frame().await.unwrap().unwrap();
    }
    drop(b);
    assert!(t.attempts()[0].notes.contains(&Note::Resent));
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_somebody_elses_is_an_attempt_of_its_own() {
    let up = Upstream::new([Answer::hang(), Answer::stream(&["ok"])]);
    let inner = ServiceBuilder::new()
        .timeouts(Timeouts::new().headers(seconds(2)))
        .unwrap()
        .service(up.clone());
    // as tower's Retry: a clone of the request, extensions included
    let s = ServiceBuilder::new()
        .deadline(seconds(30))
        .unwrap()
        .service(service_fn(move |q: Request<Body>| {
            let s = inner.clone();
            async move {
                let ext = q.extensions().clone();
                let uri = q.uri().clone();
                if let Ok(r) = s.clone().oneshot(q).await {
                    return Ok(r);
                }
                let mut again = Request::new(Body::from(support::PROMPT));
                *again.extensions_mut() = ext;
                *again.uri_mut() = uri;
                s.oneshot(again).await
            }
        }));
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    read(r.into_body()).await;
    assert_eq!(t.attempts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn cancel_inside_of_an_attempt_ends_no_call() {
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let up = Upstream::new([Answer::hang()]);
    let s = ServiceBuilder::new()
        .deadline(seconds(6))
        .unwrap()
        .fallback(Targets::new("a").then("b").retries(0).reserve(seconds(3)))
        .unwrap()
        .layer(CancelLayer::new().observe(move |e| e2.lock().push(e.why)))
        .service(up.clone());
    let e = send(&s, chat()).await.err().unwrap();
    let t = Error::find(&*e).unwrap().trail().unwrap();
    assert_eq!(t.attempts()[1].outcome, Outcome::Deadline);
    assert_eq!(t.ended(), Some(seconds(6)));
}

#[tokio::test(start_paused = true)]
async fn the_trail_ends_when_the_body_does() {
    let up = Upstream::new([Answer::json("{}")]);
    let s = ServiceBuilder::new()
        .deadline(seconds(30))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    let mut b = r.into_body();
    while b.frame().await.is_some() {}
    tokio::time::sleep(seconds(10)).await;
    drop(b);
    assert_eq!(t.ended(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_body_though_the_outermost_layer_has_none() {
    for steps in [vec![Step::Hang], vec![wait(1), finish(), done()]] {
        let hangs = matches!(steps[0], Step::Hang);
        let up = Upstream::new([Answer::events([vec![token("x")], steps].concat())]);
        let s = ServiceBuilder::new()
            .status_error()
            .deadline(seconds(3))
            .unwrap()
            .fallback(Targets::new("a"))
            .unwrap()
            .timeouts(Timeouts::new())
            .unwrap()
            .service(up);
        let r = send(&s, chat()).await.unwrap();
        let t = live_trail(&r);
        assert_eq!(t.ended(), None);
        read(r.into_body()).await;
        let (outcome, end) = match hangs {
            true => (Outcome::Deadline, 3),
            false => (Outcome::Complete, 1),
        };
        assert_eq!(t.attempts()[0].outcome, outcome);
        assert_eq!(t.ended(), Some(seconds(end)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_timeouts_alone_ends_with_its_body_under_a_layer_that_has_none() {
    let up = Upstream::new([Answer::bytes(vec![data("x"), wait(2), data("y")])]);
    let s = ServiceBuilder::new()
        .status_error()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up);
    let r = send(&s, chat()).await.unwrap();
    let t = live_trail(&r);
    read(r.into_body()).await;
    assert_eq!(t.ended(), Some(seconds(2)));
}

#[tokio::test(start_paused = true)]
async fn fallback_alone_counts_the_bytes_of_every_attempt() {
    let up = Upstream::new([
        Answer::status(503, "busy"),
        Answer::events(vec![token("x"), Step::Hang]),
    ]);
    let seen = Arc::new(Mutex::new(vec![]));
    let told = seen.clone();
    let s = ServiceBuilder::new()
        .layer(CancelLayer::new().observe(move |e| {
            let bytes = e.trail.attempts().iter().map(|a| a.bytes).collect();
            *told.lock() = bytes;
        }))
        .fallback(
            Targets::new("a")
                .then("b")
                .then("c")
                .retries(0)
                .commit(Commit::End),
        )
        .unwrap()
        .service(up);
    // The second one is cancelled while its answer is held.
    let _ = tokio::time::timeout(seconds(1), send(&s, chat())).await;
    let Step::Data(event) = token("x") else {
        unreachable!()
    };
    assert_eq!(*seen.lock(), [4, event.len() as u64]);
}

#[tokio::test(start_paused = true)]
async fn timeouts_alone_tell_that_an_attempt_is_complete_though_nobody_polled_to_the_end() {
    // Of known length, read to it or empty.
    for text in ["{}", ""] {
        let ends = Arc::new(Mutex::new(vec![]));
        let told = ends.clone();
        let leaf = service_fn(move |_: Request<Body>| async move {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(text)))
        });
        let observer = CancelLayer::new().observe(move |e| {
            told.lock().push(e.trail.attempts()[0].outcome);
        });
        let s = ServiceBuilder::new()
            .timeouts(Timeouts::new())
            .unwrap()
            .service(leaf);
        for under_cancel in [false, true] {
            let trail = match under_cancel {
                false => {
                    let r = s.clone().oneshot(chat()).await.unwrap();
                    let t = live_trail(&r);
                    all_but_the_end(r.into_body()).await;
                    t
                }
                true => {
                    let s = ServiceBuilder::new().layer(&observer).service(s.clone());
                    let r = s.oneshot(chat()).await.unwrap();
                    let t = live_trail(&r);
                    all_but_the_end(r.into_body()).await;
                    t
                }
            };
            assert_eq!(trail.attempts()[0].outcome, Outcome::Complete);
        }
        assert_eq!(*ends.lock(), [Outcome::Complete]);
    }
}

async fn all_but_the_end(mut body: impl HttpBody + Unpin) {
    while !body.is_end_stream() {
        assert!(body.frame().await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn timeouts_alone_tell_that_an_attempt_is_complete_at_its_end_marker() {
    let events = vec![token("x"), finish(), done(), Step::Hang];
    let s = ServiceBuilder::new()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(Upstream::new([Answer::events(events)]));
    for (frames, outcome) in [(3, Outcome::Complete), (2, Outcome::Cancelled)] {
        let r = s.clone().oneshot(chat()).await.unwrap();
        let t = live_trail(&r);
        let mut body = r.into_body();
        for _ in 0..frames {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(t.attempts()[0].outcome, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_inside_of_timeouts_alone_is_one_in_the_trail() {
    for answer in [Answer::hang(), Answer::events(vec![token("x"), Step::Hang])] {
        let s = ServiceBuilder::new()
            .timeouts(Timeouts::new())
            .unwrap()
            .deadline(seconds(2))
            .unwrap()
            .service(Upstream::new([answer]));
        let error = match send(&s, chat()).await {
            Ok(r) => read(r.into_body()).await.1.unwrap(),
            Err(error) => error,
        };
        assert_eq!(kind(&error), ErrorKind::Deadline);
        assert_eq!(trail_of(&error).attempts()[0].outcome, Outcome::Deadline);
    }
}

/// The layer that made the record has let go of it; a clone of the request is a call of its own.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_again_under_status_error_is_another_call() {
    let upstream = Upstream::new([Answer::stream(&["ok"])]);
    let inner = ServiceBuilder::new()
        .timeouts(Timeouts::new().headers(seconds(2)))
        .unwrap()
        .service(upstream);
    let kept: Arc<Mutex<Option<http::Extensions>>> = Arc::default();
    let keep = kept.clone();
    let service = ServiceBuilder::new()
        .status_error()
        .map_request(move |request: Request<Body>| {
            keep.lock().get_or_insert(request.extensions().clone());
            request
        })
        .service(inner);
    let first = send(&service, chat()).await.unwrap();
    tokio::time::sleep(seconds(1)).await;
    let mut again = chat();
    *again.extensions_mut() = kept.lock().clone().unwrap();
    let second = send(&service, again).await.unwrap();
    let (first, second) = (live_trail(&first), live_trail(&second));
    assert_eq!(second.attempts().len(), 1);
    assert_eq!(second.started() - first.started(), seconds(1));
}
