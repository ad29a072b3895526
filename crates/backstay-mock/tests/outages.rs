//! Outages come, whatever the scripts say, and go: when told, after a time, after a count.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use std::io::ErrorKind;
use std::time::Duration;

use backstay_mock::{Ending, Mock, Outage, Reply, Script};
use client::{End, PROMPTLY, ask, chat, h2, h2_chat, read, request, send};
use http_body_util::BodyExt;
use tokio::net::TcpStream;

const MS: Duration = Duration::from_millis(1);

async fn status(mock: &Mock, model: &str) -> u16 {
    ask(mock, &chat(model, false)).await.status()
}

#[tokio::test]
async fn an_outage_fails_everything_until_told() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::text("fine"));
    let outage = mock.outage(Outage::new(Reply::status(503).header("retry-after", "1")));
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(
        (answer.status(), answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(status(&mock, "other").await, 503);
    assert_eq!(
        ask(&mock, &request("GET", "/health", "")).await.status(),
        503
    );
    assert_eq!((outage.hits(), outage.is_over()), (3, false));
    outage.recover();
    assert!(outage.is_over());
    assert_eq!(status(&mock, "m").await, 200);
    let marks: Vec<_> = mock.log().iter().map(|entry| entry.in_outage).collect();
    assert_eq!(marks, [true, true, true, false]);
    assert_eq!(mock.attempts("m"), 2);
}

#[tokio::test]
async fn an_outage_takes_no_step_of_a_script() {
    let mock = Mock::start().await.unwrap();
    let script = Script::new().attempt(Reply::status(429)).then(Reply::ok());
    mock.script("m", script);
    assert_eq!(status(&mock, "m").await, 429);
    mock.script(
        "m",
        Script::new().attempt(Reply::status(429)).then(Reply::ok()),
    );
    mock.outage(Outage::new(Reply::status(503)).requests(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(status(&mock, "m").await);
    }
    assert_eq!(statuses, [503, 503, 429, 200]);
}

#[tokio::test]
async fn an_outage_of_one_model_or_path_leaves_the_others_alone() {
    let mock = Mock::start().await.unwrap();
    mock.outage(Outage::new(Reply::status(503)).of_model("m"));
    mock.outage(Outage::new(Reply::status(500)).of_path("/embeddings"));
    let embed = request("POST", "/v1/embeddings", r#"{"model": "e", "input": "x"}"#);
    assert_eq!(
        (status(&mock, "m").await, status(&mock, "n").await),
        (503, 200)
    );
    assert_eq!(ask(&mock, &embed).await.status(), 500);
    mock.recover();
    assert_eq!(status(&mock, "m").await, 200);
    assert_eq!(ask(&mock, &embed).await.status(), 200);
}

#[tokio::test]
async fn the_last_outage_begun_counts() {
    let mock = Mock::start().await.unwrap();
    mock.outage(Outage::new(Reply::status(500)));
    let worse = mock.outage(Outage::new(Reply::status(503)));
    assert_eq!(status(&mock, "m").await, 503);
    worse.recover();
    assert_eq!(status(&mock, "m").await, 500);
}

#[tokio::test]
async fn an_outage_ends_by_itself() {
    let mock = Mock::start().await.unwrap();
    let outage = mock.outage(Outage::new(Reply::status(503)).lasting(500 * MS));
    assert_eq!(status(&mock, "m").await, 503);
    tokio::time::sleep(520 * MS).await;
    assert!(outage.is_over());
    assert_eq!(status(&mock, "m").await, 200);
}

#[tokio::test]
async fn an_outage_can_begin_later() {
    let mock = Mock::start().await.unwrap();
    mock.outage(Outage::new(Reply::status(503)).after(500 * MS));
    assert_eq!(status(&mock, "m").await, 200);
    tokio::time::sleep(520 * MS).await;
    assert_eq!(status(&mock, "m").await, 503);
}

#[tokio::test]
async fn an_outage_can_be_silence_or_a_fault_of_streams() {
    let mock = Mock::start().await.unwrap();
    let silent = mock.outage(Outage::new(Reply::never_answer()));
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!((answer.head.as_str(), answer.end), ("", End::Open));
    silent.recover();
    mock.outage(Outage::new(
        Reply::ok().error_in_band(0, "server_is_overloaded"),
    ));
    let answer = ask(&mock, &chat("m", true)).await;
    assert!(answer.events()[1]["error"].is_object());
}

#[tokio::test]
async fn refused_connections_are_refused_and_the_port_comes_back() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::ok().stall_after_tokens(1));
    let mut streaming = send(&mock, &chat("m", true)).await;
    let begun = |log: &[backstay_mock::Logged]| log.iter().any(|it| it.tokens_sent == 1);
    assert!(mock.wait_until(begun, PROMPTLY).await);
    for _ in 0..20 {
        let outage = mock.outage(Outage::refuse_connections());
        let refused = TcpStream::connect(mock.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        outage.recover();
        assert_eq!(status(&mock, "n").await, 200);
    }
    assert_eq!(read(&mut streaming).await.end, End::Reset);
    assert_eq!(mock.requests("m")[0].ending, Some(Ending::Reset));
}

#[tokio::test]
async fn refusing_ends_by_itself() {
    let mock = Mock::start().await.unwrap();
    mock.outage(Outage::refuse_connections().lasting(300 * MS));
    assert!(TcpStream::connect(mock.addr()).await.is_err());
    let answered = async {
        while TcpStream::connect(mock.addr()).await.is_err() {
            tokio::time::sleep(5 * MS).await;
        }
    };
    assert!(tokio::time::timeout(PROMPTLY, answered).await.is_ok());
    assert_eq!(status(&mock, "m").await, 200);
}

#[tokio::test]
async fn refusing_can_begin_later_and_ends_what_is_open() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let later = Outage::refuse_connections().after(300 * MS);
    mock.outage(later.lasting(600 * PROMPTLY));
    let mut waiting = send(&mock, &chat("m", true)).await;
    let ended = |log: &[backstay_mock::Logged]| log.iter().any(|it| it.ending.is_some());
    assert!(mock.wait_until(ended, PROMPTLY).await);
    assert_eq!(read(&mut waiting).await.end, End::Reset);
    assert!(TcpStream::connect(mock.addr()).await.is_err());
}

#[tokio::test]
async fn dropped_connections_are_accepted_reset_and_counted() {
    let mock = Mock::start().await.unwrap();
    let client = h2();
    mock.script("stall", Reply::ok().stall_after_tokens(1));
    let open = client.request(h2_chat(&mock, "stall")).await.unwrap();
    let outage = mock.outage(Outage::drop_connections().requests(3));
    for _ in 0..3 {
        // Accepted, or reset so soon that connecting failed already.
        if let Ok(mut socket) = TcpStream::connect(mock.addr()).await {
            assert_ne!(read(&mut socket).await.end, End::Open);
        }
    }
    let rest = tokio::time::timeout(PROMPTLY, open.into_body().collect());
    assert!(rest.await.unwrap().is_err());
    assert!(mock.wait_until(|_| outage.hits() == 3, PROMPTLY).await);
    assert!(outage.is_over());
    assert_eq!(status(&mock, "m").await, 200);
    assert_eq!(mock.connections_accepted(), 2);
}

#[tokio::test]
async fn a_mock_shuts_down_in_the_middle_of_an_outage() {
    let mock = Mock::start().await.unwrap();
    let outage = mock.outage(Outage::refuse_connections());
    let addr = mock.addr();
    mock.shutdown().await;
    outage.recover();
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn the_most_calls_together_are_remembered_per_model() {
    let mock = Mock::start().await.unwrap();
    mock.script_default(Reply::never_answer());
    let mut sockets = Vec::new();
    for model in ["a", "b", "a"] {
        sockets.push(send(&mock, &chat(model, true)).await);
    }
    let read = |log: &[backstay_mock::Logged]| log.iter().filter(|it| it.attempt > 0).count() == 3;
    assert!(mock.wait_until(read, PROMPTLY).await);
    assert_eq!((mock.in_flight_of("a"), mock.in_flight_of("b")), (2, 1));
    drop(sockets);
    assert!(mock.wait_until(|_| mock.in_flight() == 0, PROMPTLY).await);
    assert_eq!(
        (mock.peak_in_flight_of("a"), mock.in_flight_of("a")),
        (2, 0)
    );
    assert_eq!(
        (mock.peak_in_flight_of("b"), mock.peak_in_flight_of("c")),
        (1, 0)
    );
}
