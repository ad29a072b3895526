//! An axum service with deadlines and a drain always comes to its end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::post,
};
use backstay::{
    Body, Error, ServiceBuilderExt,
    deadline::{DeadlineHeader, DeadlineService},
    drain::{Drain, DrainReport},
    inbound::{Inbound, InboundLayer},
};
use backstay_client::{Client, ResponseBody};
use backstay_mock::{Mock, Reply};
use backstay_tests::{HANGS, MS, PROMPTLY, ask::Api, stack::http1, within};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode, header::RETRY_AFTER};
use http_body_util::BodyExt;
use std::{convert::Infallible, future::IntoFuture, time::Duration};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::{ServiceBuilder, ServiceExt};

const GRACE: Duration = Duration::from_millis(1_500);
const HOOK_WAIT: Duration = Duration::from_millis(500);
/// How long connections may take to close once every request has its answer.
const CONNECTIONS_WAIT: Duration = Duration::from_millis(200);

#[derive(Clone)]
struct Asks {
    llm: DeadlineService<Client<Body>>,
    origin: String,
}

/// A service before a mock, and its end.
struct Served {
    url: String,
    client: Client<Body>,
    drain: Drain,
    over: JoinHandle<(DrainReport, bool)>,
}

// === impl Served ===

impl Served {
    async fn start(mock: &Mock) -> Self {
        let drain = Drain::new().grace(GRACE).hook_wait(HOOK_WAIT);
        let llm = ServiceBuilder::new().deadline(Duration::MAX).unwrap();
        let asks = Asks {
            llm: llm.service(http1()),
            origin: mock.url(),
        };
        let inbound =
            Inbound::new(Duration::from_secs(60)).believe(DeadlineHeader::REQUEST_TIMEOUT);
        let app = Router::new()
            .route("/ask/{model}", post(ask))
            .route("/ask/endless", post(endless))
            .with_state(asks)
            .layer(InboundLayer::new(inbound).unwrap())
            .layer(drain.server_layer()); // outermost
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let over = tokio::spawn(serve(listener, app, drain.clone()));
        let client = http1();
        Self {
            url,
            client,
            drain,
            over,
        }
    }

    async fn ask(&self, model: &str, budget: &str) -> http::Response<ResponseBody> {
        let request = Request::post(format!("{}/ask/{model}", self.url))
            .header("request-timeout", budget)
            .body(Body::default());
        within(self.client.clone().oneshot(request.unwrap()))
            .await
            .unwrap()
    }
}

/// As the guide has it: accepts until the drain is over, and waits for connections no longer than it must. True if
/// they all closed.
async fn serve(listener: TcpListener, app: Router, drain: Drain) -> (DrainReport, bool) {
    let over = drain.clone();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        over.started().await;
        over.shutdown().await;
    });
    let mut server = tokio::spawn(server.into_future());
    drain.started().await;
    let report = drain.shutdown().await;
    let closed = timeout(CONNECTIONS_WAIT, &mut server).await.is_ok();
    server.abort();
    (report, closed)
}

/// More than the sockets of a client who does not read can hold.
async fn endless() -> axum::body::Body {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    axum::body::Body::from_stream(stream::repeat_with(move || {
        Ok::<_, Infallible>(piece.clone())
    }))
}

async fn ask(State(asks): State<Asks>, Path(model): Path<String>) -> Response {
    let request = Api::OpenAi.stream(&asks.origin, &model);
    match asks.llm.oneshot(request).await {
        Ok(answer) => answer.map(axum::body::Body::new),
        Err(error) if Error::find(&*error).is_some_and(Error::is_deadline) => {
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

#[tokio::test]
async fn it_ends_at_the_deadlines_or_with_the_grace_period_whichever_is_first() {
    let mock = Mock::start().await.unwrap();
    let words =
        |count| Reply::tokens(std::iter::repeat_n("on ", count)).delay_between_tokens(20 * MS);
    mock.script("short", words(10));
    mock.script("long", words(2_000));
    mock.script("never", Reply::never_answer());
    let served = Served::start(&mock).await;

    let short = served.ask("short", "50").await;
    // Its deadline passes within the grace period, the other's does not.
    let late = served.ask("long", "1.2").await;
    let long = served.ask("long", "50").await;
    let never = served.ask("never", "50");
    let late_head = served.ask("never", "1");
    let ends = async {
        let (short, late, long) = tokio::join!(
            short.into_body().collect(),
            late.into_body().collect(),
            long.into_body().collect()
        );
        [short.is_ok(), late.is_ok(), long.is_ok()]
    };
    let drained = async {
        assert!(mock.wait_until(|log| log.len() == 5, HANGS).await);
        served.drain.start();
        let began = Instant::now();
        let newcomer = served.ask("short", "50").await;
        assert_eq!(newcomer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(newcomer.headers().contains_key(RETRY_AFTER));
        served.drain.shutdown().await;
        Instant::now().saturating_duration_since(began)
    };
    let (ends, never, late_head, took) =
        within(async { tokio::join!(ends, never, late_head, drained) }).await;
    // What is cut off breaks off visibly.
    assert_eq!(ends, [true, false, false]);
    assert_eq!(late_head.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(never.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(took < GRACE + PROMPTLY, "{took:?}");

    let (report, closed) = within(served.over).await.unwrap();
    assert!(closed);
    assert_eq!((report.in_flight, report.refused), (5, 1));
    // The late head had its 504, which is an answer; the late body failed.
    let ends = (
        report.completed,
        report.failed,
        report.cancelled,
        report.unpolled,
    );
    assert_eq!(ends, (2, 1, 2, 0), "{report}");
    assert!(mock.wait_until(|_| mock.in_flight() == 0, HANGS).await);
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_keep_it() {
    let mock = Mock::start().await.unwrap();
    let served = Served::start(&mock).await;
    let mut unread = served.ask("endless", "0.3").await.into_body();
    assert!(within(unread.frame()).await.unwrap().is_ok());
    tokio::time::sleep(400 * MS).await;
    // Its deadline has passed, and nobody polls it.
    assert_eq!(served.drain.in_flight(), 1);
    served.drain.start();
    let began = Instant::now();
    let (report, _) = within(served.over).await.unwrap();
    let took = Instant::now().saturating_duration_since(began);
    assert!(
        took < GRACE + HOOK_WAIT + CONNECTIONS_WAIT + PROMPTLY,
        "{took:?}"
    );
    // Unpolled; or its server polled it once more, and it failed at its deadline or was cancelled at the cut.
    assert_eq!((report.in_flight, report.completed), (1, 0), "{report}");
    drop(unread);
}
