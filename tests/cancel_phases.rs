//! Cancelling a call closes its upstream promptly in every phase, and the hook runs exactly once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use backstay::{
    Body, BoxError, Deadline, ErrorKind, Phase,
    cancel::Why,
    error::Cancellation,
    fallback::Targets,
    trail::{Next, Outcome},
};
use backstay_client::{Client, Proxy, ResponseBody};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    HANGS, MS,
    answer::{self, kind, read_until},
    ask::Api,
    holds,
    stack::{Layers, Setup, Stack, http1, http2},
    wire::Silent,
    within,
};
use http::Response;
use http_body_util::BodyExt;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer};

const RUNS: usize = 20;
const MEDIAN: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// Enough for every phase to be reached.
const BUDGET: Duration = Duration::from_millis(200);

// --- Nothing is sent any more ---

#[tokio::test]
async fn in_readiness_no_request_reaches_the_upstream() {
    let mock = Mock::start().await.unwrap();
    let permits = Arc::new(Semaphore::new(1));
    let limited = ServiceBuilder::new()
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()))
        .service(http1());
    let stack = Setup::new(Targets::new("m").then("n")).over(limited);
    let taken = permits.acquire().await.unwrap();
    let mut call = Box::pin(stack.call(Api::OpenAi.stream(&mock.url(), "m")));
    drive(&mut call, sleep(20 * MS)).await;
    drop(call);
    drop(taken);
    once(&stack, 1, Why::Dropped, Phase::Readiness).await;
    // The permit is free again: the next call is the first that is seen.
    let next = within(stack.call(Api::OpenAi.stream(&mock.url(), "m"))).await;
    assert!(answer::read(next.unwrap()).await.error.is_none());
    assert_eq!(mock.log().len(), 1);
}

#[tokio::test]
async fn in_back_off_no_further_request_reaches_the_upstream() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::status(503).header("retry-after-ms", "150"));
    let stack = Setup::new(Targets::new("m").then("n")).http1();
    let mut call = Box::pin(stack.call(Api::OpenAi.stream(&mock.url(), "m")));
    let waiting = || stack.phase() == Some(Phase::Backoff);
    drive(&mut call, holds(HANGS, waiting)).await;
    drop(call);
    once(&stack, 1, Why::Dropped, Phase::Backoff).await;
    sleep(400 * MS).await;
    assert_eq!(mock.log().len(), 1);
    let told = &stack.ends().hooked()[0];
    assert_eq!(told.trail.attempts()[0].next, Some(Next::Retry));
    assert_eq!(told.trail.passed_over().len(), 1);
}

// --- The connection closes, or the stream is reset ---

#[tokio::test]
async fn in_connect_the_connection_closes() {
    let any = Client::builder().proxy(Proxy::none()).build().unwrap();
    for client in [http1(), any] {
        let mut silent = Silent::start().await;
        let stack = Setup::new(Targets::new("m").then("n")).over(client);
        let mut delays = Vec::new();
        for run in 1..=RUNS {
            let mut call = Box::pin(stack.call(Api::OpenAi.stream(&silent.https(), "m")));
            drive(&mut call, silent.spoken()).await;
            let left = Instant::now();
            drop(call);
            delays.push(silent.closed().await.saturating_duration_since(left));
            once(&stack, run, Why::Dropped, Phase::Headers).await;
        }
        assert_prompt(delays);
    }
}

#[tokio::test]
async fn dropped_in_headers_over_http1() {
    Scene::http1().await.runs(Phase::Headers, By::Drop).await;
}

#[tokio::test]
async fn dropped_in_headers_over_http2() {
    Scene::http2().await.runs(Phase::Headers, By::Drop).await;
}

#[tokio::test]
async fn dropped_before_the_first_token_over_http1() {
    Scene::http1().await.runs(Phase::FirstToken, By::Drop).await;
}

#[tokio::test]
async fn dropped_before_the_first_token_over_http2() {
    Scene::http2().await.runs(Phase::FirstToken, By::Drop).await;
}

#[tokio::test]
async fn dropped_in_the_body_over_http1() {
    Scene::http1().await.runs(Phase::Body, By::Drop).await;
}

#[tokio::test]
async fn dropped_in_the_body_over_http2() {
    Scene::http2().await.runs(Phase::Body, By::Drop).await;
}

#[tokio::test]
async fn a_token_in_headers() {
    Scene::http1().await.runs(Phase::Headers, By::Token).await;
}

#[tokio::test]
async fn a_token_in_the_body() {
    Scene::http1().await.runs(Phase::Body, By::Token).await;
}

#[tokio::test]
async fn a_token_in_the_body_over_http2() {
    Scene::http2().await.runs(Phase::Body, By::Token).await;
}

#[tokio::test]
async fn the_deadline_in_headers() {
    Scene::http1()
        .await
        .runs(Phase::Headers, By::Deadline)
        .await;
}

#[tokio::test]
async fn the_deadline_in_the_body() {
    Scene::http1().await.runs(Phase::Body, By::Deadline).await;
}

// --- How it is done ---

/// What ends a call.
#[derive(Clone, Copy)]
enum By {
    Drop,
    Token,
    Deadline,
}

/// A mock that falls silent where it is asked to, and a stack over it.
struct Scene {
    mock: Mock,
    stack: Stack<Client<Body>>,
    /// A stream on the connection that all the others share, over HTTP/2.
    sibling: Option<JoinHandle<answer::Answer>>,
}

type Answered = Response<Layers<ResponseBody>>;

/// A call that has come to the phase in which it is to be cancelled.
enum InFlight {
    Call(Pin<Box<dyn Future<Output = Result<Answered, BoxError>> + Send>>),
    Body(Box<Layers<ResponseBody>>),
}

const SIBLING_TOKENS: usize = 40;

// === impl Scene ===

impl Scene {
    async fn new(client: Client<Body>) -> Self {
        let mock = Mock::start().await.unwrap();
        let tokens = Reply::tokens(["one", "two"]);
        mock.script("headers", Reply::never_answer());
        mock.script("first_token", tokens.clone().stall_after_tokens(0));
        mock.script("body", tokens.stall_after_tokens(1));
        // Another target, so that an answer is held until its first token.
        let targets = Targets::new(backstay::fallback::Target::named("first"))
            .then(backstay::fallback::Target::named("second"));
        Self {
            stack: Setup::new(targets).over(client),
            mock,
            sibling: None,
        }
    }

    async fn http1() -> Self {
        Self::new(http1()).await
    }

    async fn http2() -> Self {
        let client = http2();
        let mut scene = Self::new(client.clone()).await;
        let tokens = (0..SIBLING_TOKENS).map(|_| "on and ");
        let slow = Reply::tokens(tokens).delay_between_tokens(25 * MS);
        scene.mock.script("sibling", slow);
        let stack = Setup::new(Targets::new("sibling")).over(client);
        let call = stack.call(Api::OpenAi.stream(&scene.mock.url(), "sibling"));
        // With its head here the connection is in the pool.
        let response = within(call).await.unwrap();
        scene.sibling = Some(tokio::spawn(answer::read(response)));
        scene
    }

    async fn runs(mut self, phase: Phase, by: By) {
        let mut delays = Vec::new();
        for run in 1..=RUNS {
            delays.push(self.run(run, phase, by).await);
        }
        assert_prompt(delays);
        if let Some(sibling) = self.sibling.take() {
            let sibling = within(sibling).await.unwrap();
            assert!(sibling.error.is_none());
            assert_eq!(sibling.attempts()[0].outcome, Outcome::Complete);
            assert!(sibling.contains("[DONE]"));
            let log = self.mock.log();
            assert_eq!(log[0].tokens_sent, SIBLING_TOKENS);
            assert!(log.iter().all(|seen| seen.connection == log[0].connection));
            assert_eq!(self.mock.connections_accepted(), 1);
        }
        assert_eq!(self.stack.ends().hooked().len(), RUNS);
    }

    /// How long it took from the cancellation until the upstream saw the caller go.
    async fn run(&self, run: usize, phase: Phase, by: By) -> Duration {
        let at = self.mock.log().len();
        let token = CancellationToken::new();
        let mut request = Api::OpenAi.stream(&self.mock.url(), phase.as_str());
        request.extensions_mut().insert(token.clone());
        let deadline = Deadline::after(BUDGET);
        if let By::Deadline = by {
            request.extensions_mut().insert(deadline);
        }
        let mut call = Box::pin(self.stack.call(request));
        let in_flight = if phase == Phase::Body {
            let mut body = within(call).await.unwrap().into_body();
            read_until(&mut body, "one").await;
            InFlight::Body(Box::new(body))
        } else {
            let there = || {
                let seen = self.mock.log().get(at).is_some_and(|seen| seen.attempt > 0);
                seen && self.stack.phase() == Some(phase)
            };
            drive(&mut call, holds(HANGS, there)).await;
            InFlight::Call(call)
        };

        let (cancelled, why) = match by {
            By::Drop => {
                let now = Instant::now();
                drop(in_flight);
                (now, Why::Dropped)
            }
            By::Token => {
                let now = Instant::now();
                token.cancel();
                let error = in_flight.error().await;
                assert!(answer::find(&error).is_cancelled());
                let of_token = ErrorKind::Cancelled(Cancellation::Token);
                assert_eq!(kind(&error), of_token);
                (now, Why::Token)
            }
            By::Deadline => {
                let error = in_flight.error().await;
                assert_eq!(kind(&error), ErrorKind::Deadline);
                (deadline.instant().unwrap(), Why::Deadline)
            }
        };
        let closed = |log: &[backstay_mock::Logged]| log[at].peer_closed_at.is_some();
        assert!(self.mock.wait_until(closed, HANGS).await);
        once(&self.stack, run, why, phase).await;
        let closed = self.mock.log()[at].peer_closed_at.unwrap();
        closed.saturating_duration_since(cancelled)
    }
}

// === impl InFlight ===

impl InFlight {
    /// The error that it ends with; it is dropped afterwards, as callers do.
    async fn error(self) -> BoxError {
        match self {
            Self::Call(call) => within(call).await.err().unwrap(),
            Self::Body(mut body) => within(body.frame()).await.unwrap().err().unwrap(),
        }
    }
}

/// Polls a call, which must not end, until something else has happened.
async fn drive<F: Future + Unpin, U: Future>(call: &mut F, until: U) {
    tokio::select! {
        _ = call => panic!("the call has ended"),
        _ = within(until) => {}
    }
}

/// The hook has run once for each call so far, and was told the truth of the last one.
async fn once<S>(stack: &Stack<S>, calls: usize, why: Why, phase: Phase) {
    let ends = stack.ends().settled().await;
    assert_eq!(ends.in_flight(), 0);
    let hooked = ends.hooked();
    assert_eq!(hooked.len(), calls);
    let told = &hooked[calls - 1];
    assert_eq!((told.why, told.phase), (why, phase));
    assert_eq!(ends.observed().len(), calls);
}

fn assert_prompt(mut delays: Vec<Duration>) {
    assert_eq!(delays.len(), RUNS);
    delays.sort();
    assert!(delays[RUNS / 2] <= MEDIAN, "{delays:?}");
    assert!(delays[RUNS - 1] <= LONGEST, "{delays:?}");
}
