//! Threads that serve, and what goes over the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_mock::Reply;
use door::{CHAT, Door, HANGS, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const UNARY: &str = r#"{"model":"alone","messages":[]}"#;
const STREAM: &str = r#"{"model":"alone","stream":true,"messages":[]}"#;
const THREADS: usize = 3;

#[tokio::test]
async fn each_thread_has_its_callers_and_its_upstream_connections() {
    let door = Door::on_threads(THREADS).await;
    let mut callers = Vec::new();
    for _ in 0..THREADS {
        callers.push(door.caller().await);
    }
    for body in [UNARY, STREAM, UNARY, STREAM] {
        for caller in &mut callers {
            caller.send(door.post(CHAT, body)).await;
            let answer = within(caller.answer()).await;
            assert!(answer.status == 200 && answer.whole, "{answer:?}");
        }
    }
    // One for each thread, although there was never more than one call at a time.
    assert_eq!(door.mock.connections_accepted(), THREADS);
    door.handle.drain();
    let report = within(door.serving).await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test]
async fn a_caller_who_leaves_a_thread_takes_its_call_with_it() {
    let door = Door::on_threads(THREADS).await;
    door.mock.script("alone", Reply::never_answer());
    for calls in 1..=THREADS {
        let mut caller = door.caller().await;
        caller.send(door.post(CHAT, UNARY)).await;
        assert!(door.mock.wait_until(|log| log.len() == calls, HANGS).await);
        drop(caller);
        let closed = |log: &[backstay_mock::Logged]| log.iter().all(|e| e.peer_closed_at.is_some());
        assert!(door.mock.wait_until(closed, HANGS).await);
    }
}

#[tokio::test]
async fn a_drain_cuts_what_is_on_the_threads() {
    let door = Door::on_threads(THREADS).await;
    door.mock.script("alone", Reply::never_answer());
    let mut callers = Vec::new();
    for _ in 0..THREADS {
        let mut caller = door.caller().await;
        caller.send(door.post(CHAT, UNARY)).await;
        callers.push(caller);
    }
    assert!(
        door.mock
            .wait_until(|log| log.len() == THREADS, HANGS)
            .await
    );
    door.handle.drain();
    door.handle.drain();
    for caller in &mut callers {
        assert_eq!(within(caller.answer()).await.status, 503);
    }
    let report = within(door.serving).await.unwrap();
    assert_eq!((report.in_flight, report.cancelled), (THREADS, THREADS));
}

#[tokio::test]
async fn a_request_that_is_still_being_sent_is_waited_for_and_refused_when_a_drain_begins() {
    let door = Door::open().await;
    let mut caller = door.caller().await;
    let request = door.post(CHAT, UNARY);
    let (start, rest) = request.split_at(request.len() - 5);
    caller.send(start).await;
    while door.handle.calls() == 0 {
        tokio::task::yield_now().await;
    }
    door.handle.drain();
    tokio::time::sleep(std::time::Duration::from_millis(1300)).await;
    caller.send(rest).await;
    let answer = within(caller.answer()).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], "draining");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(door.mock.log().len(), 0);
    within(door.serving).await.unwrap();
}

#[tokio::test]
async fn events_that_come_together_go_out_together_and_none_is_lost() {
    const EVENTS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let mut answer =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned();
    let mut sent = String::new();
    let mut events: Vec<String> = (0..EVENTS)
        .map(|at| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{at} \"}}}}]}}\n\n"))
        .collect();
    events.push("data: [DONE]\n\n".to_owned());
    for event in events {
        answer += &format!("{:x}\r\n{event}\r\n", event.len());
        sent += &event;
    }
    answer += "0\r\n\r\n";
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        // All of it in one segment.
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Until the gateway closes it.
        while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
    });
    let door = Door::before(upstream, "10s").await;
    let mut caller = door.caller().await;
    let body = r#"{"model":"hurried","stream":true,"messages":[]}"#;
    caller.send(door.post(CHAT, body)).await;
    let mut wire = Vec::new();
    while !wire.ends_with(b"\r\n0\r\n\r\n") {
        assert!(within(caller.stream.read_buf(&mut wire)).await.unwrap() > 0);
    }
    let wire = String::from_utf8(wire).unwrap();
    let (_, mut rest) = wire.split_once("\r\n\r\n").unwrap();
    let (mut chunks, mut got) = (0, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        got += &after[..size];
        rest = &after[size + 2..];
        chunks += 1;
    }
    assert_eq!(got, sent);
    // What was there with the head, the rest, the end.
    assert!(chunks <= 4, "{chunks} chunks");
}
