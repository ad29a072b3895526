//! A caller who goes away takes its call with it, also before the answer's head.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_mock::{Ending, Mock, Reply};
use door::{CHAT, Door, HANGS, MESSAGES};
use std::{future::Future, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

const RUNS: usize = 11;
/// What the upstream may notice later than the caller left, in the median of the runs.
const PROMPTLY: Duration = Duration::from_millis(50);

const UNARY: &str = r#"{"model":"alone","messages":[]}"#;
const STREAM: &str = r#"{"model":"alone","stream":true,"messages":[]}"#;

/// Until the mock has so many requests.
async fn reached(mock: &Mock, requests: usize) {
    assert!(
        mock.wait_until(|log| log.len() >= requests, HANGS).await,
        "no request came"
    );
}

/// Lets a caller leave again and again; the median of how much later its upstream was closed.
async fn told_after<F>(leave: impl Fn() -> F) -> Duration
where
    F: Future<Output = (Door, Instant)>,
{
    let mut told = Vec::new();
    for _ in 0..RUNS {
        let (door, left) = leave().await;
        assert!(
            door.mock
                .wait_until(|log| log[0].peer_closed_at.is_some(), HANGS)
                .await,
            "the upstream was never closed"
        );
        let logged = door.mock.log()[0].clone();
        assert_eq!(logged.ending, Some(Ending::PeerClosed));
        told.push(
            logged
                .peer_closed_at
                .unwrap()
                .saturating_duration_since(left),
        );
        door.settled().await;
        let trails = door.ask(&door.get("/trails.json")).await.json();
        assert_eq!(trails["calls"][0]["ending"], "caller left", "{trails}");
    }
    told.sort();
    told[RUNS / 2]
}

async fn leaves(reply: Reply, request: &'static str, path: &'static str, behind: &'static str) {
    let median = told_after(|| async {
        let door = Door::open().await;
        door.mock.script_default(reply.clone());
        let mut caller = door.caller().await;
        caller.send(door.post(path, request)).await;
        reached(&door.mock, 1).await;
        caller.send(behind).await;
        sleep(Duration::from_millis(30)).await;
        let left = Instant::now();
        drop(caller);
        (door, left)
    })
    .await;
    assert!(median < PROMPTLY, "{median:?}");
}

#[tokio::test]
async fn before_the_head_the_upstream_is_closed_at_once() {
    leaves(Reply::never_answer(), UNARY, CHAT, "").await;
    leaves(Reply::never_answer(), STREAM, CHAT, "").await;
}

#[tokio::test]
async fn also_when_more_than_its_request_has_come() {
    for behind in ["\r\n", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        leaves(Reply::never_answer(), UNARY, CHAT, behind).await;
    }
}

#[tokio::test]
async fn while_a_unary_answer_is_held() {
    leaves(Reply::ok().stall_after_tokens(2), UNARY, CHAT, "").await;
}

#[tokio::test]
async fn before_the_first_token_and_behind_it() {
    let request = r#"{"model":"claude-pair","max_tokens":9,"stream":true,"messages":[]}"#;
    leaves(Reply::ok().stall_after_tokens(0), request, MESSAGES, "").await;
    leaves(Reply::ok().stall_after_tokens(1), request, MESSAGES, "\r\n").await;
}

#[tokio::test]
async fn a_caller_who_closes_its_half_only_has_left() {
    let door = Door::open().await;
    door.mock.script_default(Reply::never_answer());
    let mut caller = door.caller().await;
    caller.send(door.post(CHAT, UNARY)).await;
    reached(&door.mock, 1).await;
    caller.stream.shutdown().await.unwrap();
    let closed = |log: &[backstay_mock::Logged]| log[0].peer_closed_at.is_some();
    assert!(door.mock.wait_until(closed, HANGS).await);
}

#[tokio::test]
async fn half_a_request_never_reaches_an_upstream() {
    let door = Door::open().await;
    for cut in [5, 60, 150] {
        let mut caller = door.caller().await;
        let request = door.post(CHAT, UNARY);
        let cut = cut.min(request.len() - 1);
        caller.send(&request[..cut]).await;
        sleep(Duration::from_millis(20)).await;
        drop(caller);
    }
    let mut waited = Duration::ZERO;
    while door.handle.connections() > 0 && waited < HANGS {
        sleep(Duration::from_millis(5)).await;
        waited += Duration::from_millis(5);
    }
    assert_eq!(door.handle.connections(), 0);
    assert_eq!(door.handle.calls(), 0);
    assert_eq!(door.mock.log().len(), 0);
}

#[tokio::test]
async fn over_http2_a_reset_ends_its_own_call_only() {
    let door = Door::open().await;
    door.mock.script("slow", Reply::never_answer());
    door.mock.script(
        "alone",
        Reply::tokens(["a", "b", "c"]).delay_between_tokens(Duration::from_millis(200)),
    );
    let client = door::http2();
    let post = |body: &'static str| {
        http::Request::post(format!("http://{}{CHAT}", door.address))
            .header("content-type", "application/json")
            .body(http_body_util::Full::from(body))
            .unwrap()
    };
    let other = tokio::spawn(client.request(post(STREAM)));
    let slow = tokio::spawn(client.request(post(r#"{"model":"slow","messages":[]}"#)));
    reached(&door.mock, 2).await;
    let left = Instant::now();
    slow.abort();
    let closed = |log: &[backstay_mock::Logged]| {
        log.iter()
            .any(|entry| entry.model.as_deref() == Some("slow") && entry.peer_closed_at.is_some())
    };
    assert!(door.mock.wait_until(closed, HANGS).await);
    let told = door.mock.requests("slow")[0].peer_closed_at.unwrap();
    assert!(told.saturating_duration_since(left) < Duration::from_secs(1));
    let answer = other.await.unwrap().unwrap();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await;
    assert!(body.unwrap().to_bytes().ends_with(b"data: [DONE]\n\n"));
    assert_eq!(door.handle.connections(), 1);
}
