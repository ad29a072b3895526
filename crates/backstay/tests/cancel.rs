//! Hooks exactly once, observers of every end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Error, ErrorKind, Labels, Phase, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, CancelService, Ended, Hooks, Why},
    error::Cancellation,
    fallback::Targets,
    timeout::Clock,
    trail::Outcome,
};
use futures_util::FutureExt;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use support::{
    Answer, Step, Upstream, chat, comment, done, finish, kind, read, seconds, send, token, wait,
};
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder};

/// What the hook and the observer were told.
#[derive(Clone, Default)]
struct Told {
    hooks: Arc<Mutex<Vec<Ended>>>,
    ends: Arc<Mutex<Vec<Ended>>>,
}

impl Told {
    fn layer(&self) -> CancelLayer {
        let (hooks, ends) = (self.hooks.clone(), self.ends.clone());
        CancelLayer::new()
            .on_cancel(move |ended| {
                let hooks = hooks.clone();
                async move { hooks.lock().push(ended) }
            })
            .observe(move |ended| ends.lock().push(ended.clone()))
    }

    /// Exactly one end, and the hook exactly once, or not at all for a completion.
    async fn once(&self, hooks: &Hooks) -> Ended {
        assert!(hooks.wait(seconds(1)).await);
        assert_eq!(hooks.in_flight(), 0);
        let ends = self.ends.lock().clone();
        assert_eq!(ends.len(), 1, "{ends:?}");
        let expected = usize::from(!ends[0].why.is_complete());
        assert_eq!(self.hooks.lock().len(), expected);
        ends[0].clone()
    }
}

type Inner = backstay::deadline::DeadlineService<
    backstay::fallback::FallbackService<backstay::timeout::TimeoutsService<Upstream>>,
>;

fn stack(layer: &CancelLayer, upstream: &Upstream) -> CancelService<Inner> {
    ServiceBuilder::new()
        .layer(layer.clone())
        .deadline(seconds(20))
        .unwrap()
        .fallback(Targets::new("a").then("b").retries(1))
        .unwrap()
        .timeouts(Timeouts::new().headers(seconds(60)))
        .unwrap()
        .service(upstream.clone())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future() {
    for (answer, phase) in [
        (Answer::hang(), Phase::Headers),
        (Answer::events(vec![comment(), wait(60)]), Phase::FirstToken),
        (
            Answer::status(503, "{}").header("retry-after", "15"),
            Phase::Backoff,
        ),
    ] {
        let (told, upstream) = (Told::default(), Upstream::new([answer]));
        let layer = told.layer();
        let mut request = chat();
        request
            .extensions_mut()
            .insert(Labels::new().with("step", "generate"));
        let call = send(&stack(&layer, &upstream), request);
        let _ = tokio::time::timeout(seconds(2), call).await;
        assert_eq!(upstream.live(), 0);
        let ended = told.once(&layer.hooks()).await;
        assert_eq!((ended.why, ended.phase), (Why::Dropped, phase));
        assert_eq!(ended.labels.get("step"), Some("generate"));
        let attempts = ended.trail.attempts();
        assert_eq!(attempts.len(), 1);
        assert_ne!(attempts[0].outcome, Outcome::Running);
        assert_eq!(ended.trail.ended(), Some(seconds(2)));
        assert_eq!(upstream.attempts(), 1);
        assert_eq!(ended.trail.passed_over()[0].target.as_ref(), "b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_never_polled() {
    let (told, upstream) = (Told::default(), Upstream::new([Answer::hang()]));
    let layer = told.layer();
    drop(stack(&layer, &upstream).call(chat()));
    assert_eq!(told.once(&layer.hooks()).await.phase, Phase::Readiness);
    assert_eq!(upstream.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), wait(60)])]);
    let told = Told::default();
    let layer = told.layer();
    let response = send(&stack(&layer, &upstream), chat()).await.unwrap();
    assert_eq!(layer.hooks().in_flight(), 1);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(upstream.live(), 0);
    let ended = told.once(&layer.hooks()).await;
    assert_eq!((ended.why, ended.phase), (Why::Dropped, Phase::Body));
    assert_eq!(ended.trail.attempts()[0].outcome, Outcome::Cancelled);
    assert_eq!(ended.trail.response_id().as_deref(), Some("chatcmpl-1"));
}

#[tokio::test(start_paused = true)]
async fn a_completed_call_runs_no_hook() {
    for (answer, read_to_end) in [
        (Answer::stream(&["a"]), true),
        (Answer::stream(&["a"]), false),
        (Answer::json(r#"{"choices":[]}"#), true),
    ] {
        let (told, upstream) = (Told::default(), Upstream::new([answer]));
        let layer = told.layer();
        let response = send(&stack(&layer, &upstream), chat()).await.unwrap();
        let mut body = response.into_body();
        if read_to_end {
            assert!(read(&mut body).await.1.is_none());
        } else {
            // As an SDK does.
            while !body
                .frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap()
                .ends_with(b"[DONE]\n\n")
            {}
        }
        drop(body);
        let ended = told.once(&layer.hooks()).await;
        assert_eq!(ended.why, Why::Complete);
        assert_eq!(ended.trail.attempts()[0].outcome, Outcome::Complete);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_length_is_known_is_complete_at_its_last_frame() {
    let told = Told::default();
    let layer = told.layer();
    let service = layer.layer(tower::service_fn(
        |_: http::Request<backstay::Body>| async {
            Ok::<_, backstay::BoxError>(http::Response::new(http_body_util::Full::new(
                bytes::Bytes::from_static(b"12345"),
            )))
        },
    ));
    let mut body = send(&service, chat()).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(5));
    body.frame().await.unwrap().unwrap();
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(told.once(&layer.hooks()).await.why, Why::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_token() {
    for (answer, phase) in [
        (Answer::hang(), Phase::Headers),
        (Answer::events(vec![token("a"), wait(60)]), Phase::Body),
    ] {
        for of_request in [true, false] {
            let (told, upstream) = (Told::default(), Upstream::new([answer.clone()]));
            let cancel = CancellationToken::new();
            let mut layer = told.layer();
            let mut request = chat();
            if of_request {
                request.extensions_mut().insert(cancel.clone());
            } else {
                layer = layer.token(cancel.clone());
            }
            let service = stack(&layer, &upstream);
            let call = tokio::spawn(async move {
                let body = send(&service, request).await?.into_body();
                match read(body).await.1 {
                    Some(error) => Err(error),
                    None => Ok(()),
                }
            });
            tokio::time::sleep(seconds(3)).await;
            cancel.cancel();
            let error = call.await.unwrap().unwrap_err();
            assert_eq!(kind(&error), ErrorKind::Cancelled(Cancellation::Token));
            assert!(Error::find(&*error).unwrap().is_cancelled());
            assert_eq!(upstream.live(), 0);
            let ended = told.once(&layer.hooks()).await;
            assert_eq!((ended.why, ended.phase), (Why::Token, phase));
            assert_eq!(ended.trail.attempts()[0].outcome, Outcome::Cancelled);
        }
    }
}

/// A body without a length, and without a marker that tells its end.
fn unsized_body<I>(
    frames: I,
) -> http::Response<impl http_body::Body<Data = bytes::Bytes, Error = backstay::BoxError>>
where
    I: IntoIterator<Item = &'static str>,
{
    let frames = frames.into_iter().map(|data| Ok(Frame::data(data.into())));
    http::Response::new(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_outrun_a_token() {
    // No frame is ever pending: the token is never waited for.
    let (told, cancel) = (Told::default(), CancellationToken::new());
    let layer = told.layer().token(cancel.clone());
    let service = layer.layer(tower::service_fn(
        |_: http::Request<backstay::Body>| async {
            Ok::<_, backstay::BoxError>(unsized_body(std::iter::repeat("x")))
        },
    ));
    let mut body = Box::pin(send(&service, chat()).await.unwrap().into_body());
    for _ in 0..100 {
        body.frame().await.unwrap().unwrap();
    }
    cancel.cancel();
    let mut frames = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => frames += 1,
            Err(error) => break error,
        }
        assert!(frames < 64, "{frames}");
    };
    assert_eq!(kind(&error), ErrorKind::Cancelled(Cancellation::Token));
    assert!(body.frame().await.is_none());
    assert_eq!(told.once(&layer.hooks()).await.why, Why::Token);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_complete_at_its_end_though_it_is_kept() {
    let told = Told::default();
    let layer = told.layer();
    let service = layer.layer(tower::service_fn(
        |_: http::Request<backstay::Body>| async {
            Ok::<_, backstay::BoxError>(unsized_body(["1", "2"]))
        },
    ));
    let mut body = Box::pin(send(&service, chat()).await.unwrap().into_body());
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!(layer.hooks().in_flight(), 1);
    assert!(body.frame().await.is_none());
    assert_eq!(told.once(&layer.hooks()).await.why, Why::Complete);
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_is_complete_at_its_end_marker_though_its_transfer_goes_on() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), done(), wait(60)])]);
    let told = Told::default();
    let layer = told.layer();
    let mut body = send(&stack(&layer, &upstream), chat())
        .await
        .unwrap()
        .into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!(told.once(&layer.hooks()).await.why, Why::Complete);
    drop(body);
    assert_eq!(told.once(&layer.hooks()).await.why, Why::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_deadline() {
    for (answer, phase) in [
        (Answer::hang(), Phase::Headers),
        (Answer::events(vec![token("a"), wait(60)]), Phase::Body),
    ] {
        let (told, upstream) = (Told::default(), Upstream::new([answer]));
        let layer = told.layer();
        let error = match send(&stack(&layer, &upstream), chat()).await {
            Ok(response) => read(response.into_body()).await.1.unwrap(),
            Err(error) => error,
        };
        assert_eq!(kind(&error), ErrorKind::Deadline);
        let ended = told.once(&layer.hooks()).await;
        assert_eq!((ended.why, ended.phase), (Why::Deadline, phase));
        assert_eq!(ended.trail.attempts()[0].outcome, Outcome::Deadline);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), Step::Fail])]);
    let told = Told::default();
    let layer = told.layer();
    let response = send(&stack(&layer, &upstream), chat()).await.unwrap();
    read(response.into_body()).await.1.unwrap();
    let ended = told.once(&layer.hooks()).await;
    assert_eq!(ended.why, Why::Failed(Some(ErrorKind::Transport)));

    let upstream = Upstream::new([Answer::hang()]);
    let told = Told::default();
    let layer = told.layer();
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .timeouts(Timeouts::new().headers(seconds(1)))
        .unwrap()
        .service(upstream);
    send(&service, chat()).await.unwrap_err();
    let ended = told.once(&layer.hooks()).await;
    assert_eq!(
        ended.why,
        Why::Failed(Some(ErrorKind::Timeout(Clock::Headers)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_user_code_ends_the_call_once() {
    let told = Told::default();
    let layer = told.layer();
    let service = layer.layer(tower::service_fn(
        |_: http::Request<backstay::Body>| async {
            if true {
                panic!("in the inner service");
            }
            Ok::<_, backstay::BoxError>(http::Response::new(
                http_body_util::Empty::<bytes::Bytes>::new(),
            ))
        },
    ));
    let call = std::panic::AssertUnwindSafe(send(&service, chat()));
    assert!(call.catch_unwind().await.is_err());
    assert_eq!(told.once(&layer.hooks()).await.why, Why::Dropped);
}

#[tokio::test(start_paused = true)]
async fn hooks_that_hang_or_panic_harm_nobody() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let layer = CancelLayer::new()
        .observe(|_| panic!("an observer"))
        .on_cancel(|_| async { panic!("a hook") })
        .on_cancel(|_| -> std::future::Ready<()> { panic!("a hook's making") })
        .on_cancel(|_| std::future::pending())
        .on_cancel(move |_| {
            count.fetch_add(1, SeqCst);
            async {}
        })
        .hook_timeout(seconds(3))
        .unwrap();
    let hooks = layer.hooks();
    let upstream = Upstream::new([Answer::hang()]);
    drop(stack(&layer, &upstream).call(chat()));
    assert!(!hooks.wait(seconds(1)).await);
    assert!(hooks.wait(seconds(5)).await);
    assert_eq!(ran.load(SeqCst), 1);
    assert_eq!(
        (
            hooks.finished(),
            hooks.panicked(),
            hooks.timed_out(),
            hooks.lost()
        ),
        (1, 2, 1, 0)
    );
}

#[test]
fn a_hook_whose_runtime_is_gone_is_counted_as_lost() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let layer = CancelLayer::new().on_cancel(move |_| {
        let count = count.clone();
        async move {
            count.fetch_add(1, SeqCst);
        }
    });
    let hooks = layer.hooks();
    let upstream = Upstream::new([Answer::hang()]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let entered = runtime.enter();
    let call = stack(&layer, &upstream).call(chat());
    drop(entered);
    drop(runtime);
    drop(call);
    // And one that was made and dropped outside of any runtime.
    drop(stack(&layer, &upstream).call(chat()));
    assert_eq!(hooks.lost(), 2);
    assert_eq!(
        (hooks.running(), hooks.in_flight(), ran.load(SeqCst)),
        (0, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_out_of_reach_of_what_cancelled_the_call() {
    let finished = Arc::new(AtomicUsize::new(0));
    let count = finished.clone();
    let layer = CancelLayer::new().on_cancel(move |_| {
        let count = count.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            count.fetch_add(1, SeqCst);
        }
    });
    let upstream = Upstream::new([Answer::hang()]);
    let service = stack(&layer, &upstream);
    let task = tokio::spawn(async move { send(&service, chat()).await.map(drop) });
    tokio::time::sleep(seconds(1)).await;
    task.abort();
    let _ = task.await;
    assert!(layer.hooks().wait(seconds(1)).await);
    assert_eq!(finished.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reason_to_finish_is_no_end_marker() {
    // Who leaves then has left early: the usage, and the marker, were still to come.
    let upstream = Upstream::new([Answer::events(vec![token("a"), finish(), wait(5), done()])]);
    let told = Told::default();
    let layer = told.layer();
    let mut body = send(&stack(&layer, &upstream), chat())
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(told.once(&layer.hooks()).await.why, Why::Dropped);
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
async fn a_deadline_further_out_is_told_as_one() {
    for answer in [Answer::hang(), Answer::events(vec![token("x"), Step::Hang])] {
        let told: Arc<Mutex<Vec<Why>>> = Arc::default();
        let whys = told.clone();
        let service = ServiceBuilder::new()
            .deadline(seconds(2))
            .unwrap()
            .layer(CancelLayer::new().observe(move |ended| whys.lock().push(ended.why)))
            .service(Upstream::new([answer]));
        let error = match send(&service, chat()).await {
            Ok(response) => read(response.into_body()).await.1.unwrap(),
            Err(error) => error,
        };
        assert_eq!(kind(&error), ErrorKind::Deadline);
        assert_eq!(*told.lock(), [Why::Deadline]);
    }
}

/// A chunked HTTP/1 body does not say that it is at its end when its trailers have come.
#[tokio::test(start_paused = true)]
async fn nothing_follows_trailers() {
    let unary = || support::chat_with(r#"{"model":"a","messages":[]}"#);
    for with_fallback in [false, true] {
        let upstream = Upstream::new([Answer::bytes(vec![support::data("x"), Step::Trailers])]);
        let told = Told::default();
        let layer = told.layer();
        let mut body = if with_fallback {
            let response = send(&stack(&layer, &upstream), unary()).await.unwrap();
            response.into_body().boxed_unsync()
        } else {
            let service = ServiceBuilder::new()
                .layer(layer.clone())
                .timeouts(Timeouts::new().headers(seconds(60)))
                .unwrap()
                .service(upstream);
            let response = send(&service, unary()).await.unwrap();
            response.into_body().boxed_unsync()
        };
        assert!(body.frame().await.unwrap().unwrap().is_data());
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        drop(body);
        let ended = told.once(&layer.hooks()).await;
        assert_eq!(ended.why, Why::Complete);
        assert_eq!(ended.trail.attempts()[0].outcome, Outcome::Complete);
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_are_no_evidence_for_the_end_of_a_stream() {
    let upstream = Upstream::new([Answer::events(vec![token("x"), Step::Trailers])]);
    let told = Told::default();
    let layer = told.layer();
    let stack = stack(&layer, &upstream);
    let response = send(&stack, chat()).await.unwrap();
    let (_, error) = read(response.into_body()).await;
    assert_eq!(kind(&error.unwrap()), ErrorKind::Truncated);

    // Nor where the clocks are outside of the stack that knows.
    let service = ServiceBuilder::new()
        .timeouts(Timeouts::new().headers(seconds(60)))
        .unwrap()
        .service(stack);
    let response = send(&service, chat()).await.unwrap();
    let (_, error) = read(response.into_body()).await;
    assert_eq!(kind(&error.unwrap()), ErrorKind::Truncated);
}
