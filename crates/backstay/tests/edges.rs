//! Corners where a promise was once broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Error, ErrorKind, ServiceBuilderExt, Timeouts, Trail,
    cancel::{CancelLayer, Hooks, Why},
    fallback::{Backoff, Decision, Failed, FallbackLayer, Policy, Target, Targets},
    timeout::Clock,
    trail::{Next, Note, Outcome, Reason},
    transport::{Delivery, SendFailure},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use support::{
    Answer, Step, Upstream, chat, data, done, finish, kind, read, seconds, send, stack, token, wait,
};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

fn tr<B>(r: &Response<B>) -> Trail {
    r.extensions().get::<Trail>().unwrap().clone()
}

fn post(path: &str, body: &'static str) -> Request<Body> {
    Request::post(format!("https://db.example.com{path}"))
        .body(Body::from(body))
        .unwrap()
}

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
async fn an_ended_hold_is_complete() {
    // content and [DONE] in one frame, the socket stays open; the SDK drops at the marker
    let all = Step::Data(Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"));
    for read_on in [false, true] {
        let up = Upstream::new([Answer::events(vec![all.clone(), Step::Hang])]);
        let s = stack(Targets::new("a").retries(1), &up);
        let r = send(&s, chat()).await.unwrap();
        let t = tr(&r);
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
    let t = tr(&r);
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
    let t = tr(&r);
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
    let t = tr(&r);
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
    let t = tr(&r);
    assert!(r.body().is_end_stream());
    drop(r);
    assert_eq!(ends.lock()[0].why, Why::Complete);
    assert_eq!(t.attempts()[0].outcome, Outcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_failed_answer_that_breaks_off_has_a_true_length() {
    let mut a = Answer::status(503, "0123456789").header("content-length", "1000");
    a.steps.push(Step::Fail);
    for retries in [0, 1] {
        let up = Upstream::new([a.clone()]);
        let s = stack(
            Targets::new("a").retries(retries).retry_uncertain(true),
            &up,
        );
        let r = send(&s, chat()).await.unwrap();
        let cl = r
            .headers()
            .get("content-length")
            .map(|v| v.to_str().unwrap().to_owned());
        let (b, _) = read(r.into_body()).await;
        assert!(
            cl.is_none() || cl == Some(b.len().to_string()),
            "{cl:?} for {} bytes",
            b.len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_called_is_passed_over() {
    let up = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["ok"])]);
    let s = stack(
        Targets::new("a")
            .then(Target::model("b").origin("http://b.example.com"))
            .then("c")
            .retries(0),
        &up,
    );
    let r = send(&s, chat()).await.unwrap();
    assert_eq!(r.status(), 200);
    assert_eq!(up.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_at_the_deadline() {
    let up = Upstream::new([
        Answer::status(500, "{}").after(seconds(2)),
        Answer::stream(&["ok"]),
    ]);
    let s = ServiceBuilder::new()
        .deadline(seconds(2))
        .unwrap()
        .fallback(Targets::new("a").then("b").retries(0))
        .unwrap()
        .service(up.clone());
    let _ = send(&s, chat()).await;
    assert_eq!(up.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_first_polled_late() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let mut s = ServiceBuilder::new()
        .deadline(seconds(2))
        .unwrap()
        .fallback(Targets::new("a"))
        .unwrap()
        .service(up.clone());
    let f = Service::<Request<Body>>::call(&mut s, chat());
    tokio::time::advance(seconds(5)).await;
    let _ = f.await;
    assert_eq!(up.attempts(), 0);
}

#[derive(Clone)]
struct NotReady(Arc<AtomicUsize>, Upstream);
impl Service<Request<Body>> for NotReady {
    type Response = Response<support::ScriptedBody>;
    type Error = BoxError;
    type Future = <Upstream as Service<Request<Body>>>::Future;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.0.fetch_add(1, SeqCst) == 0 {
            Poll::Ready(Err("overloaded".into()))
        } else {
            Poll::Ready(Ok(()))
        }
    }
    fn call(&mut self, r: Request<Body>) -> Self::Future {
        self.1.call(r)
    }
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_ends_the_call_and_is_not_uncertain() {
    let up = Upstream::new([Answer::json("{}")]);
    let s = ServiceBuilder::new()
        .fallback(Targets::plain(Target::named("db")).retries(1).seed(1))
        .unwrap()
        .service(NotReady(Arc::default(), up.clone()));
    let error = send(&s, post("/x", "{}")).await.err().unwrap();
    let attempts = Error::find(&*error).unwrap().trail().unwrap().attempts();
    assert!(!attempts[0].uncertain);
    assert_eq!(attempts[0].next, Some(Next::Stop(Reason::Unready)));
    assert_eq!(up.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_credential_is_portable() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let t = Targets::new(Target::model("a").origin("https://evil.example.com"))
        .portable_header("Authorization");
    let Ok(l) = FallbackLayer::new(t) else { return };
    let s = l.layer(up.clone());
    let _ = send(&s, chat()).await.unwrap();
    assert!(!up.seen()[0].headers.contains_key("authorization"));
}

#[tokio::test(start_paused = true)]
async fn a_target_with_credentials_of_its_own_gets_no_userinfo() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let s = stack(Targets::new(Target::model("a").bearer("mine")), &up);
    let mut q = chat();
    *q.uri_mut() = "https://user:secret@api.example.com/v1/chat/completions"
        .parse()
        .unwrap();
    let _ = send(&s, q).await.unwrap();
    assert!(!up.seen()[0].uri.contains("secret"), "{}", up.seen()[0].uri);
}

#[tokio::test(start_paused = true)]
async fn signature_is_dropped_when_the_path_changes() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let s = stack(
        Targets::new(Target::named("a").path("/other/chat/completions")),
        &up,
    );
    let mut q = chat();
    q.headers_mut()
        .insert("signature", "sig1=:x:".parse().unwrap());
    let _ = send(&s, q).await.unwrap();
    assert!(!up.seen()[0].headers.contains_key("signature"));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_model_is_plain() {
    let mut a = Answer::json("");
    a.head = Some((0, vec![]));
    let up = Upstream::new([a, Answer::json("{}")]);
    let s = stack(Targets::new(Target::named("db")).retries(1), &up);
    let _ = send(&s, post("/collections/x/add", "{\"ids\":[1]}")).await;
    assert_eq!(
        up.attempts(),
        1,
        "a write that may have arrived was repeated"
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_waits_are_legal_and_do_not_fit() {
    let up = Upstream::new([Answer::status(503, "{}")]);
    let s = stack(
        Targets::new("a")
            .max_wait(Duration::MAX)
            .backoff(Backoff::new(Duration::MAX, Duration::MAX))
            .retries(1),
        &up,
    );
    let _ = tokio::time::timeout(seconds(1), send(&s, chat())).await;
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

#[tokio::test(start_paused = true)]
async fn a_fired_token_sends_nothing() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let token = CancellationToken::new();
    token.cancel();
    let s = CancelLayer::new().token(token).layer(up.clone());
    let r = send(&s, chat()).await;
    assert_eq!(up.attempts(), 0);
    assert!(r.is_err());
}

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
async fn a_finished_stream_of_known_length_is_complete_at_it() {
    let ends = Arc::new(Mutex::new(vec![]));
    let e2 = ends.clone();
    let s = ServiceBuilder::new().layer(CancelLayer::new().observe(move |e| e2.lock().push(e.clone())))
        .fallback(Targets::new("a").retries(0)).unwrap()
        .service(service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::builder().header("content-type", "text/event-stream").body(Full::<Bytes>::from("data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n")).unwrap()) }));
    let r = send(&s, chat()).await.unwrap();
    let t = tr(&r);
    let mut b = r.into_body();
    b.frame().await.unwrap().unwrap();
    // hyper's server stops here: as many bytes as content-length says
    drop(b);
    assert_eq!(t.attempts()[0].outcome, Outcome::Complete);
    assert_eq!(ends.lock()[0].why, Why::Complete);
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
async fn an_error_of_the_status_layer_is_classified_as_an_answer() {
    let up = Upstream::new([Answer::status(400, "{}")]);
    let s = ServiceBuilder::new()
        .fallback(Targets::new("a").retries(2).seed(1))
        .unwrap()
        .status_error()
        .service(up.clone());
    let _ = send(&s, chat()).await;
    assert_eq!(up.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_inside_of_an_attempt_bounds_the_attempt() {
    let up = Upstream::new([Answer::hang(), Answer::stream(&["ok"]).after(seconds(1))]);
    let s = ServiceBuilder::new()
        .fallback(Targets::new("a").then("b").retries(0))
        .unwrap()
        .deadline(seconds(2))
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    assert_eq!(up.attempts(), 2);
    assert_eq!(
        tr(&r).attempts()[0].outcome,
        Outcome::Timeout(Clock::Attempt)
    );
}

struct Late(u8);
impl HttpBody for Late {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        self.0 += 1;
        match self.0 {
            // as hyper does it: nothing is read before somebody wants it
            1 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            2 => Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(
                b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n",
            ))))),
            _ => Poll::Ready(None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_no_silent_server() {
    let s = ServiceBuilder::new()
        .timeouts(Timeouts::new().first_token(seconds(10)))
        .unwrap()
        .service(service_fn(|_: Request<Body>| async {
            Ok::<_, BoxError>(
                Response::builder()
                    .header("content-type", "text/event-stream")
                    .body(Late(0))
                    .unwrap(),
            )
        }));
    let r = send(&s, chat()).await.unwrap();
    tokio::time::sleep(seconds(60)).await;
    let (_, e) = read(r.into_body()).await;
    assert!(e.is_none(), "{e:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_encoded_as_identity_is_legible() {
    let up = Upstream::new([Answer::status(
        429,
        r#"{"error":{"code":"insufficient_quota","type":"insufficient_quota"}}"#,
    )
    .header("content-encoding", "identity")]);
    let s = stack(Targets::new("a").retries(2), &up);
    let _ = send(&s, chat()).await;
    assert_eq!(up.attempts(), 1);
}

#[test]
fn debug_of_a_target_shows_no_userinfo_and_no_query() {
    let t = Targets::new(
        Target::model("a")
            .origin("https://user:hunter2@x.example.com")
            .query("key=hunter2"),
    );
    assert!(!format!("{t:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn after_the_marker_a_body_ends_by_itself() {
    let up = Upstream::new([Answer::events(vec![token("x"), done(), Step::Hang])]);
    let s = ServiceBuilder::new()
        .timeouts(Timeouts::new().attempt(seconds(10)).liveness(seconds(5)))
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    tokio::time::timeout(seconds(1000), read(r.into_body()))
        .await
        .unwrap();
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
    let t = tr(&r);
    assert!(t.attempts()[0].notes.contains(&Note::Resent));
    let mut b = r.into_body();
    for _ in 0..3 {
        b.frame().await.unwrap().unwrap();
    }
    drop(b);
    assert!(t.attempts()[0].notes.contains(&Note::Resent));
}

#[tokio::test(start_paused = true)]
async fn a_reserve_leaves_an_attempt_its_least_time() {
    let up = Upstream::new([Answer::hang(), Answer::stream(&["ok"])]);
    let s = ServiceBuilder::new()
        .deadline(Duration::from_millis(4001))
        .unwrap()
        .fallback(
            Targets::new("a")
                .then("b")
                .retries(0)
                .reserve(seconds(4))
                .min_attempt(seconds(1)),
        )
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let a = tr(&r).attempts();
    assert!(a[0].ended.unwrap() - a[0].started >= seconds(1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_repeated_is_not_held() {
    let mut a = Answer::json("{\"a\":");
    a.steps
        .extend([wait(30), Step::Data(Bytes::from_static(b"1}"))]);
    let up = Upstream::new([a]);
    let s = stack(Targets::plain(Target::named("db")).retries(2), &up);
    let q = Request::post("https://db/x")
        .body(Body::from("{}"))
        .unwrap();
    let start = Instant::now();
    let _ = send(&s, q).await.unwrap();
    assert_eq!(Instant::now() - start, Duration::ZERO);
}

#[derive(Debug)]
struct Boom;
impl Policy for Boom {
    fn decide(&self, _: &Failed<'_>) -> Decision {
        panic!("boom")
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_ends_the_call_once() {
    let n = Arc::new(AtomicUsize::new(0));
    let n2 = n.clone();
    let layer = CancelLayer::new().on_cancel(move |_| {
        n2.fetch_add(1, SeqCst);
        async {}
    });
    let hooks = layer.hooks();
    let up = Upstream::new([Answer::status(500, "{}")]);
    let s = layer.layer(stack(Targets::new("a").policy(Boom), &up));
    let j = tokio::spawn(async move {
        let _ = send(&s, chat()).await;
    })
    .await;
    assert!(j.is_err());
    hooks.wait(seconds(1)).await;
    assert_eq!(n.load(SeqCst), 1);
    assert_eq!(hooks.in_flight(), 0);
    assert_eq!(up.live(), 0);
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
    let t = tr(&r);
    read(r.into_body()).await;
    assert_eq!(t.attempts().len(), 2);
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
    let t = tr(&r);
    let mut b = r.into_body();
    while b.frame().await.is_some() {}
    tokio::time::sleep(seconds(10)).await;
    drop(b);
    assert_eq!(t.ended(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_let_go_at_its_error() {
    let up = Upstream::new([Answer::events(vec![token("x"), Step::Fail])]);
    let s = ServiceBuilder::new()
        .deadline(seconds(30))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(up.clone());
    let r = send(&s, chat()).await.unwrap();
    let mut b = r.into_body();
    while let Some(Ok(_)) = b.frame().await {}
    assert_eq!(up.live(), 0, "kept after its error");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_keeps_to_the_reserve() {
    #[derive(Clone)]
    struct Stuck;
    impl Service<Request<Body>> for Stuck {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = std::future::Ready<Result<Response<Body>, BoxError>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Pending
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            unreachable!()
        }
    }
    let s = ServiceBuilder::new()
        .deadline(seconds(10))
        .unwrap()
        .fallback(Targets::new("a").then("b").retries(0).reserve(seconds(4)))
        .unwrap()
        .service(Stuck);
    let e = send(&s, chat()).await.err().unwrap();
    let t = Error::find(&*e).unwrap().trail().unwrap();
    assert_eq!(t.attempts().len(), 2);
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
async fn a_failed_answer_has_no_first_token() {
    let up = Upstream::new([Answer::status(500, "{}")]);
    let s = stack(Targets::new("a").retries(0), &up);
    let r = send(&s, chat()).await.unwrap();
    assert_eq!(tr(&r).attempts()[0].first_token, None);
}

#[tokio::test(start_paused = true)]
async fn a_target_sets_no_header_that_the_client_writes() {
    let t = Targets::new(
        Target::model("a")
            .header("content-length", "5")
            .header("host", "evil"),
    );
    assert!(FallbackLayer::new(t).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_known_by_its_header() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let s = stack(
        Targets::new(Target::model("a").header("x-api-key", "mine")),
        &up,
    );
    let _ = send(&s, chat()).await.unwrap();
    assert!(!up.seen()[0].headers.contains_key("authorization"));
}

#[tokio::test(start_paused = true)]
async fn a_whole_document_that_was_let_through_survives_its_connection() {
    let mut answer = Answer::json("{\"choices\":[]}");
    answer.steps.push(Step::Fail);
    let up = Upstream::new([answer]);
    let response = send(&stack(Targets::new("a").retries(0), &up), chat())
        .await
        .unwrap();
    let trail = tr(&response);
    let (body, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(body, "{\"choices\":[]}");
    assert_eq!(trail.attempts()[0].outcome, Outcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_an_attempt_that_failed_in_the_hold_are_counted() {
    let up = Upstream::new([Answer::json("{\"a\":"), Answer::json("{}")]);
    let service = ServiceBuilder::new()
        .fallback(Targets::new("a").then("b").retries(0))
        .unwrap()
        .service(up);
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(tr(&response).attempts()[0].bytes, 5);
}
