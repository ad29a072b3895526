//! A deadline travels: an axum service, calling an axum service, calling a provider that never answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use backstay::{
    Body, BoxError, Deadline, Error, ServiceBuilderExt,
    deadline::{DeadlineHeader, DeadlineService},
    fallback::{FallbackService, Target, Targets},
    inbound::{Inbound, InboundLayer},
    outbound::{Outbound, OutboundService},
};
use backstay_client::{Client, ResponseBody};
use backstay_mock::{Logged, Mock, Reply};
use backstay_tests::{HANGS, MS, PROMPTLY, ask::document, stack::http1, within};
use http::{StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tower::{ServiceBuilder, ServiceExt};

const BUDGET: Duration = Duration::from_secs(2);
const RUNS: usize = 10;
/// How far from the deadline the end of a hop may be.
const NEAR: Duration = Duration::from_millis(50);
/// What each hop keeps for the way to the next one and back.
const MARGIN: Duration = Duration::from_millis(25);

/// The tests of this file measure, and leave each other alone.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What is said to the outer service, to the inner one, and to the provider.
const TO_OUTER: DeadlineHeader = DeadlineHeader::REQUEST_TIMEOUT;
const TO_INNER: DeadlineHeader = DeadlineHeader::CONNECT_TIMEOUT_MS;
const TO_PROVIDER: DeadlineHeader = DeadlineHeader::ENVOY_EXPECTED_RQ_TIMEOUT_MS;

type Stack = DeadlineService<FallbackService<OutboundService<Client<Body>>>>;

/// One axum service, on a socket of its own.
struct Hop {
    url: String,
    runs: Runs,
}

/// What became of each request in there.
type Runs = Arc<Mutex<HashMap<String, Run>>>;

#[derive(Clone, Copy)]
struct Run {
    told: Option<Duration>,
    deadline: Deadline,
    /// When its own call was over, by an answer or by a drop.
    asked: Option<Instant>,
    /// When it had an answer.
    answered: Option<Instant>,
}

/// What a handler needs.
#[derive(Clone)]
struct Ahead {
    url: String,
    stack: Stack,
    runs: Runs,
}

/// Notes the end of a call, whatever it is.
struct Asks {
    runs: Runs,
    run: String,
}

impl Drop for Asks {
    fn drop(&mut self) {
        let mut runs = self.runs.lock();
        runs.get_mut(&self.run).unwrap().asked = Some(Instant::now());
    }
}

// === impl Hop ===

impl Hop {
    /// One that believes `told`, and tells whoever is at `next`.
    async fn start(told: DeadlineHeader, next: &str, path: &str, tell: DeadlineHeader) -> Self {
        let runs = Runs::default();
        let authority = next.strip_prefix("http://").unwrap();
        let stack = ServiceBuilder::new()
            .deadline(Duration::from_secs(60))
            .unwrap()
            .fallback(Targets::new(Target::named("next").retries(0)))
            .unwrap()
            .outbound(Outbound::new().header(tell).to(authority).margin(MARGIN))
            .unwrap()
            .service(http1());
        let state = Ahead {
            url: format!("{next}{path}"),
            stack,
            runs: runs.clone(),
        };
        let inbound = Inbound::new(Duration::from_secs(30)).believe(told.clone());
        let app = Router::new()
            .fallback(hand_on)
            .with_state(state)
            .layer(middleware::from_fn({
                let runs = runs.clone();
                move |request, next| begin(runs.clone(), told.clone(), request, next)
            }))
            .layer(InboundLayer::new(inbound).unwrap())
            .layer(middleware::from_fn({
                let runs = runs.clone();
                move |request, next| end(runs.clone(), request, next)
            }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { url, runs }
    }

    fn run(&self, run: &str) -> Run {
        self.runs.lock()[run]
    }
}

/// What the request was told, and has been given.
async fn begin(runs: Runs, told: DeadlineHeader, request: Request, next: Next) -> Response {
    let run = Run {
        told: told.read(request.headers()),
        deadline: *request.extensions().get::<Deadline>().unwrap(),
        asked: None,
        answered: None,
    };
    runs.lock().insert(run_of(&request), run);
    next.run(request).await
}

async fn end(runs: Runs, request: Request, next: Next) -> Response {
    let run = run_of(&request);
    let response = next.run(request).await;
    runs.lock().get_mut(&run).unwrap().answered = Some(Instant::now());
    response
}

fn run_of(request: &Request) -> String {
    request.headers()["x-run"].to_str().unwrap().to_owned()
}

/// Asks the next service, and hands its answer on.
async fn hand_on(State(next): State<Ahead>, request: Request) -> Response {
    let run = run_of(&request);
    let asked = http::Request::post(&next.url)
        .header(CONTENT_TYPE, "application/json")
        .header("x-run", &run)
        .body(Body::from(document("gpt-4o", true)));
    let asks = Asks {
        runs: next.runs,
        run,
    };
    let answer = next.stack.oneshot(asked.unwrap()).await;
    drop(asks);
    match answer {
        Ok(answer) => answer.map(axum::body::Body::new),
        Err(error) if Error::find(&*error).is_some_and(Error::is_deadline) => {
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// Two services before a provider.
async fn chain(mock: &Mock) -> (Hop, Hop) {
    let inner = Hop::start(TO_INNER, &mock.url(), "/v1/chat/completions", TO_PROVIDER).await;
    let outer = Hop::start(TO_OUTER, &inner.url, "/ask", TO_INNER).await;
    (outer, inner)
}

async fn ask(
    client: &Client<Body>,
    url: &str,
    run: &str,
    budget: &str,
) -> Result<http::Response<ResponseBody>, BoxError> {
    let request = http::Request::post(format!("{url}/ask"))
        .header("x-run", run)
        .header(TO_OUTER.name(), budget)
        .body(Body::default());
    Ok(client.clone().oneshot(request.unwrap()).await?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn distance(a: Instant, b: Instant) -> Duration {
    a.saturating_duration_since(b) + b.saturating_duration_since(a)
}

#[tokio::test]
async fn a_late_leaf_ends_every_hop_near_the_deadline_and_the_innermost_first() {
    let _alone = ALONE.lock().await;
    let mock = Mock::start().await.unwrap();
    let (outer, inner) = chain(&mock).await;
    let client = http1();
    let url = outer.url.clone();

    // What making connections takes is not what is measured.
    let mut first = JoinSet::new();
    mock.script("gpt-4o", Reply::text("Hello").delay_headers(100 * MS));
    for _ in 0..RUNS {
        let (client, url) = (client.clone(), url.clone());
        first.spawn(async move {
            let answer = ask(&client, &url, "first", "25").await.unwrap();
            answer.into_body().collect().await.unwrap();
        });
    }
    within(first.join_all()).await;
    mock.clear_log();

    // At once: they do not disturb each other, and wait for the same two seconds.
    mock.script("gpt-4o", Reply::never_answer());
    let mut runs = JoinSet::new();
    for run in 0..RUNS {
        let (client, run, url) = (client.clone(), run.to_string(), url.clone());
        runs.spawn(async move {
            let started = Instant::now();
            let answer = ask(&client, &url, &run, "2").await.unwrap();
            (run, started + BUDGET, Instant::now(), answer.status())
        });
    }
    let runs = within(runs.join_all()).await;
    let closed = |log: &[Logged]| {
        log.len() == RUNS && log.iter().all(|entry| entry.peer_closed_at.is_some())
    };
    assert!(mock.wait_until(closed, HANGS).await);

    let mut leaf_ends = Vec::new();
    let (mut inner_ends, mut outer_ends, mut client_ends) = (vec![], vec![], vec![]);
    let mut in_order = 0;
    for (run, deadline, ended, status) in runs {
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        let (at_outer, at_inner) = (outer.run(&run), inner.run(&run));
        let log = mock.log();
        let leaf = log.iter().find(|entry| entry.headers["x-run"] == run);
        let leaf = leaf.unwrap();

        // Each saw a smaller number than the hop above.
        let told = [
            at_outer.told,
            at_inner.told,
            TO_PROVIDER.read(&leaf.headers),
        ]
        .map(Option::unwrap);
        assert_eq!(told[0], BUDGET);
        assert!(told[1] <= told[0] - MARGIN, "{told:?}");
        assert!(told[2] <= told[1] - MARGIN, "{told:?}");
        for name in [TO_OUTER.name(), TO_INNER.name()] {
            assert!(!leaf.headers.contains_key(name));
        }

        let ends = [
            at_inner.asked,
            at_inner.answered,
            at_outer.asked,
            at_outer.answered,
            Some(ended),
        ];
        // One that was cut off by the hop above has no answer.
        let in_time = at_inner.answered.is_some_and(|end| {
            let limit = at_outer.deadline.instant();
            limit.is_some_and(|limit| end < limit)
        });
        in_order += usize::from(in_time && ends.is_sorted() && ends.iter().all(Option::is_some));
        leaf_ends.push(distance(leaf.peer_closed_at.unwrap(), deadline));
        inner_ends.push(distance(at_inner.asked.unwrap(), deadline));
        outer_ends.push(distance(at_outer.answered.unwrap(), deadline));
        client_ends.push(distance(ended, deadline));
    }
    for (whose, ends) in [
        ("the provider", leaf_ends),
        ("the inner service", inner_ends),
        ("the outer service", outer_ends),
        ("the caller", client_ends),
    ] {
        let median = median(ends);
        println!("{whose} ended {median:?} from the deadline (median of {RUNS})");
        assert!(median <= NEAR, "{whose}: {median:?}");
    }
    println!("innermost first in {in_order} of {RUNS}");
    assert!(in_order > RUNS / 2, "{in_order}");
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_head_closes_the_connection_to_the_leaf() {
    let _alone = ALONE.lock().await;
    let mock = Mock::start().await.unwrap();
    mock.script("gpt-4o", Reply::never_answer());
    let (outer, inner) = chain(&mock).await;
    let client = http1();
    let call = tokio::spawn({
        let url = outer.url.clone();
        async move { ask(&client, &url, "leaves", "25").await.is_ok() }
    });
    assert!(mock.wait_until(|log| log.len() == 1, HANGS).await);
    call.abort();
    let left = Instant::now();
    let closed = |log: &[Logged]| log[0].peer_closed_at.is_some();
    assert!(mock.wait_until(closed, HANGS).await);
    assert!(distance(mock.log()[0].peer_closed_at.unwrap(), left) < PROMPTLY);
    // Dropped in both, and answered by none.
    for hop in [&outer, &inner] {
        let run = hop.run("leaves");
        assert!(run.asked.is_some() && run.answered.is_none());
    }
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_body_closes_the_connection_to_the_leaf() {
    let _alone = ALONE.lock().await;
    let mock = Mock::start().await.unwrap();
    mock.script("gpt-4o", Reply::text("first words").stall_after_tokens(1));
    let (outer, _inner) = chain(&mock).await;
    let answer = within(ask(&http1(), &outer.url, "leaves", "25"))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    assert!(within(body.frame()).await.unwrap().is_ok());
    drop(body);
    let left = Instant::now();
    let closed = |log: &[Logged]| log[0].peer_closed_at.is_some();
    assert!(mock.wait_until(closed, HANGS).await);
    assert!(distance(mock.log()[0].peer_closed_at.unwrap(), left) < PROMPTLY);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_at_the_deadline_breaks_off_and_does_not_end() {
    let _alone = ALONE.lock().await;
    let mock = Mock::start().await.unwrap();
    let words = Reply::tokens(std::iter::repeat_n("on and ", 500));
    mock.script("gpt-4o", words.delay_between_tokens(20 * MS));
    let (outer, _inner) = chain(&mock).await;
    let started = Instant::now();
    let answer = within(ask(&http1(), &outer.url, "late", "1.5"))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(within(answer.into_body().collect()).await.is_err());
    let took = Instant::now().saturating_duration_since(started);
    assert!((1300 * MS..2 * PROMPTLY).contains(&took), "{took:?}");
    let closed = |log: &[Logged]| log[0].peer_closed_at.is_some();
    assert!(mock.wait_until(closed, HANGS).await);
}
