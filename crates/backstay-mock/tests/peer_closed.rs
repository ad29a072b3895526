//! A caller who leaves is noticed at once, whatever the mock was doing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use std::time::Duration;

use backstay_mock::{Ending, Logged, Mock, Reply};
use client::{PROMPTLY, chat, h2, h2_chat, send};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

const LONG: Duration = Duration::from_secs(60);

type Phase = (&'static str, Reply, fn(&Logged) -> bool);

/// The phases in which a caller can leave, each with what the log shows when it has been reached.
fn phases() -> Vec<Phase> {
    let abc = || Reply::tokens(["a", "b", "c"]);
    vec![
        ("never", Reply::never_answer(), |it| it.attempt == 1),
        ("headers", abc().delay_headers(LONG), |it| it.attempt == 1),
        ("first token", abc().delay_first_token(LONG), |it| {
            it.headers_sent_at.is_some()
        }),
        ("streaming", abc().delay_between_tokens(LONG), |it| {
            it.tokens_sent == 1
        }),
        ("stalled", abc().stall_after_tokens(2), |it| {
            it.tokens_sent == 2
        }),
        (
            "pinging",
            abc().pings(10_000, Duration::from_millis(5)),
            |it| it.headers_sent_at.is_some(),
        ),
        ("held open", abc().hold_open_after_end(), |it| it.finished),
    ]
}

async fn left(mock: &Mock, phase: &str) {
    let gone = |log: &[Logged]| log[0].peer_closed_at.is_some();
    assert!(
        mock.wait_until(gone, PROMPTLY).await,
        "not noticed: {phase}"
    );
    let entry = &mock.log()[0];
    assert_eq!(entry.ending, Some(Ending::PeerClosed), "{phase}");
    assert_eq!(entry.peer_closed_at, entry.ended_at);
    assert_eq!(mock.in_flight(), 0, "{phase}");
}

async fn reached(mock: &Mock, at: fn(&Logged) -> bool) {
    assert!(
        mock.wait_until(|log| log.first().is_some_and(at), PROMPTLY)
            .await
    );
    assert!(mock.log()[0].peer_closed_at.is_none());
    assert_eq!(mock.in_flight(), 1);
}

#[tokio::test]
async fn on_http1_in_every_phase() {
    for (phase, reply, at) in phases() {
        let mock = Mock::start().await.unwrap();
        mock.script("m", reply);
        let socket = send(&mock, &chat("m", true)).await;
        reached(&mock, at).await;
        drop(socket);
        left(&mock, phase).await;
        assert!(
            mock.wait_until(|_| mock.connections_open() == 0, PROMPTLY)
                .await,
            "{phase}"
        );
    }
}

#[tokio::test]
async fn on_http2_in_every_phase_and_the_connection_lives_on() {
    for (phase, reply, at) in phases() {
        let mock = Mock::start().await.unwrap();
        mock.script("m", reply);
        let client = h2();
        let call = client.request(h2_chat(&mock, "m"));
        let call = tokio::spawn(async move { call.await.unwrap().into_body().collect().await });
        reached(&mock, at).await;
        call.abort();
        left(&mock, phase).await;
        let sibling = client.request(h2_chat(&mock, "other")).await.unwrap();
        sibling.into_body().collect().await.unwrap();
        assert_eq!(mock.connections_accepted(), 1, "{phase}");
    }
}

#[tokio::test]
async fn in_the_middle_of_its_own_request() {
    let mock = Mock::start().await.unwrap();
    let request = chat("m", true);
    let socket = send(&mock, &request[..request.len() - 5]).await;
    reached(&mock, |it| it.attempt == 0).await;
    drop(socket);
    let over = |log: &[Logged]| log[0].ending.is_some();
    assert!(mock.wait_until(over, PROMPTLY).await);
    left(&mock, "request").await;
}

#[tokio::test]
async fn a_whole_answer_is_nobodys_leaving() {
    let mock = Mock::start().await.unwrap();
    let mut socket = send(&mock, &chat("m", true)).await;
    client::read(&mut socket).await;
    socket.shutdown().await.unwrap();
    drop(socket);
    assert!(
        mock.wait_until(|_| mock.connections_open() == 0, PROMPTLY)
            .await
    );
    let entry = &mock.log()[0];
    assert_eq!(
        (entry.ending, entry.peer_closed_at),
        (Some(Ending::Complete), None)
    );
}

#[tokio::test]
async fn the_most_calls_together_are_remembered() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(send(&mock, &chat("m", true)).await);
    }
    assert!(mock.wait_until(|log| log.len() == 3, PROMPTLY).await);
    assert_eq!((mock.in_flight(), mock.connections_open()), (3, 3));
    drop(sockets);
    assert!(mock.wait_until(|_| mock.in_flight() == 0, PROMPTLY).await);
    assert_eq!((mock.peak_in_flight(), mock.connections_accepted()), (3, 3));
}
