//! Fault input at the front door: bounded, a clear answer, and nothing leaks from one call to another.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_mock::Reply;
use door::{CHAT, Door, HANGS, within};
use http_body_util::{BodyExt, Full};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep},
};

const UNARY: &str = r#"{"model":"alone","messages":[]}"#;

/// Small bounds, so that they are reached.
async fn narrow() -> Door {
    Door::with(|text| {
        format!(
            "{text}\n[limits]\nconnections = 8\ncalls = 2\nrequest_body = \"64KiB\"\nbuffered = \"100KiB\"\n\
             request_head = \"8KiB\"\nhead_time = \"300ms\"\nbody_time = \"300ms\"\nidle_time = \"600ms\"\n"
        )
    })
    .await
}

async fn works(door: &Door) {
    let answer = door.chat(UNARY).await;
    assert!(answer.status == 200 && answer.whole, "{answer:?}");
}

#[tokio::test]
async fn a_slow_head_is_a_408_and_its_connection_closed() {
    let door = narrow().await;
    let mut caller = door.caller().await;
    let began = Instant::now();
    caller.send("POST /v1/chat/compl").await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 408);
    assert!(caller.is_closed().await);
    // Byte by byte does not help.
    let mut caller = door.caller().await;
    for byte in b"GET /healthz HTTP/1.1\r\n".iter().cycle().take(40) {
        if caller.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(caller.is_closed().await);
    assert!(Instant::now().saturating_duration_since(began) < HANGS / 2);
    // Nor on a connection that has served a call.
    let mut caller = door.caller().await;
    caller.send(door.post(CHAT, UNARY)).await;
    assert_eq!(caller.answer().await.status, 200);
    caller.send("POST ").await;
    assert_eq!(caller.answer().await.status, 408);
    works(&door).await;
}

#[tokio::test]
async fn a_connection_without_a_word_is_closed() {
    let door = narrow().await;
    let mut silent = door.caller().await;
    let mut idle = door.caller().await;
    idle.send(door.post(CHAT, UNARY)).await;
    assert_eq!(idle.answer().await.status, 200);
    assert!(within(silent.is_closed()).await);
    assert!(within(idle.is_closed()).await);
    assert_eq!(door.handle.connections(), 0);
}

#[tokio::test]
async fn a_slow_body_is_a_408() {
    let door = narrow().await;
    let mut caller = door.caller().await;
    let request = door.post(CHAT, UNARY);
    caller.send(&request[..request.len() - 5]).await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.json()["error"]["code"], "slow_request_body");
    assert_eq!(door.mock.log().len(), 0);
    works(&door).await;
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let door = narrow().await;
    let many = "x-a: b\r\n".repeat(150);
    for headers in [format!("x-long: {}\r\n", "a".repeat(20_000)), many] {
        let answer = door.ask(&door.post_with(CHAT, &headers, UNARY)).await;
        assert_eq!(answer.status, 431);
    }
    let answer = door
        .ask(&door.get(&format!("/{}", "a".repeat(70_000))))
        .await;
    assert!(matches!(answer.status, 414 | 431), "{answer:?}");
    works(&door).await;
}

#[tokio::test]
async fn oversized_bodies_are_a_413_announced_or_not() {
    let door = narrow().await;
    let large = format!(r#"{{"model":"alone","pad":"{}"}}"#, "a".repeat(70_000));
    let mut caller = door.caller().await;
    // Only announced: nothing of it is waited for.
    caller
        .send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 99999999999\r\n\r\n"
        ))
        .await;
    assert_eq!(caller.answer().await.status, 413);
    let mut caller = door.caller().await;
    caller
        .send(format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n",
            large.len()
        ))
        .await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["error"]["code"], "request_too_large");
    assert_eq!(door.mock.log().len(), 0);
    works(&door).await;
}

#[tokio::test]
async fn all_bodies_together_are_bounded() {
    let door = narrow().await;
    let announce = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: 60000\r\n\r\n{{"
    );
    let mut first = door.caller().await;
    first.send(&announce).await;
    sleep(Duration::from_millis(50)).await;
    let mut second = door.caller().await;
    second.send(&announce).await;
    let answer = second.answer().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["error"]["code"], "too_much_buffered");
    drop(first);
    door.settled().await;
    works(&door).await;
}

#[tokio::test]
async fn calls_and_connections_are_bounded() {
    let door = narrow().await;
    door.mock.script("slow", Reply::never_answer());
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut caller = door.caller().await;
        caller
            .send(door.post(CHAT, r#"{"model":"slow","messages":[]}"#))
            .await;
        waiting.push(caller);
    }
    assert!(door.mock.wait_until(|log| log.len() == 2, HANGS).await);
    let answer = door.chat(UNARY).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["error"]["code"], "too_many_calls");
    drop(waiting);
    door.settled().await;
    works(&door).await;
    let mut open = Vec::new();
    while door.handle.connections() < 8 {
        open.push(door.caller().await);
        sleep(Duration::from_millis(2)).await;
    }
    let mut one_more = door.caller().await;
    assert!(within(one_more.is_closed()).await);
    drop(open);
    while door.handle.connections() > 0 {
        sleep(Duration::from_millis(2)).await;
    }
    works(&door).await;
}

#[tokio::test]
async fn broken_framing_is_a_400_and_ends_its_connection() {
    let door = narrow().await;
    let head = |more: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{more}\r\n"
        )
    };
    let chunked = head("transfer-encoding: chunked\r\n");
    for request in [
        format!("{chunked}zz\r\n{UNARY}\r\n0\r\n\r\n"),
        format!("{chunked}fffffffffffffffffff\r\n{UNARY}"),
        format!("{chunked}5\r\n{UNARY}\r\n0\r\n\r\n"),
        head("content-length: 5\r\ncontent-length: 6\r\n"),
        head("content-length: -5\r\n"),
        head("transfer-encoding: gzip\r\n"),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "POST\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(),
    ] {
        let mut caller = door.caller().await;
        caller.send(&request).await;
        let answer = caller.answer().await;
        assert!(
            (400..500).contains(&answer.status),
            "{request:?}: {answer:?}"
        );
        assert!(within(caller.is_closed()).await, "{request:?}");
    }
    assert_eq!(door.mock.log().len(), 0);
    works(&door).await;
}

#[tokio::test]
async fn both_a_length_and_chunks_smuggle_nothing() {
    let door = narrow().await;
    let inner = door.post(CHAT, r#"{"model":"smuggled","messages":[]}"#);
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        inner.len() + 5
    );
    let mut caller = door.caller().await;
    caller.send(&request).await;
    let answer = caller.answer().await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    within(caller.is_closed()).await;
    assert_eq!(door.mock.attempts("smuggled"), 0);
    works(&door).await;
}

#[tokio::test]
async fn garbage_behind_a_request_harms_no_other_call() {
    let door = narrow().await;
    let mut caller = door.caller().await;
    caller
        .send(format!("{}\0\x01garbage \r\n\r\n", door.post(CHAT, UNARY)))
        .await;
    assert_eq!(caller.answer().await.status, 200);
    let second = caller.answer().await;
    assert_eq!(second.status, 400);
    assert!(!second.body.contains("choices"));
    assert!(within(caller.is_closed()).await);
    // Whole requests, one behind the other, are answered in order.
    door.mock.script(
        "first-model",
        Reply::text("the first one").delay_headers(Duration::from_millis(50)),
    );
    door.mock.script("alone", Reply::text("the second one"));
    let both =
        door.post(CHAT, r#"{"model":"first-model","messages":[]}"#) + &door.post(CHAT, UNARY);
    let mut caller = door.caller().await;
    caller.send(both).await;
    assert!(caller.answer().await.body.contains("the first one"));
    assert!(caller.answer().await.body.contains("the second one"));
}

const HURRIED: &str = r#"{"model":"hurried","stream":true,"messages":[]}"#;

#[tokio::test]
async fn a_reader_who_does_not_read_is_ended_at_the_deadline() {
    let (upstream, closed) = door::flood().await;
    let door = Door::before(upstream, "2s").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(door.address).await.unwrap();
    let began = Instant::now();
    let request = door.post(CHAT, HURRIED);
    stream.write_all(request.as_bytes()).await.unwrap();
    let closed = within(closed).await.unwrap();
    let took = closed.saturating_duration_since(began);
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    while door.handle.connections() > 0 {
        sleep(Duration::from_millis(2)).await;
    }
    let freed = Instant::now().saturating_duration_since(began);
    assert!(freed < Duration::from_secs(8), "{freed:?}");
    // What was on its way may still be read; no end comes.
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    works(&door).await;
}

#[tokio::test]
async fn over_http2_a_reader_who_does_not_read_loses_its_own_stream_only() {
    let (upstream, closed) = door::flood().await;
    let door = Door::before(upstream, "2s").await;
    let client = door::http2();
    let post = |body: &'static str| {
        http::Request::post(format!("http://{}{CHAT}", door.address))
            .header("content-type", "application/json")
            .body(Full::from(body))
            .unwrap()
    };
    let unread = client.request(post(HURRIED)).await.unwrap();
    within(closed).await.unwrap();
    door.settled().await;
    let other = client.request(post(UNARY)).await.unwrap();
    assert_eq!(other.status(), 200);
    assert_eq!(door.handle.connections(), 1);
    assert!(within(unread.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn a_flood_of_http2_resets_is_cut_off() {
    let door = Door::open().await;
    door.mock.script_default(Reply::never_answer());
    let stream = TcpStream::connect(door.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drain = tokio::spawn(async move {
        let mut sink = vec![0; 16 * 1024];
        let mut last = Vec::new();
        while let Ok(read) = reader.read(&mut sink).await {
            if read == 0 {
                break;
            }
            last = sink[..read].to_vec();
        }
        last
    });
    writer
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut sent = 0_u32;
    // Head (POST, http, path, authority: literals without index) and reset, again and again.
    let block = {
        let mut block = vec![0x83, 0x86, 0x04, CHAT.len() as u8];
        block.extend_from_slice(CHAT.as_bytes());
        block.extend_from_slice(b"\x01\x09localhost\x0f\x10\x10application/json");
        block
    };
    for id in (1..400_001_u32).step_by(2) {
        let mut frames = frame(1, 4, id, &block);
        frames.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
        if within(writer.write_all(&frames)).await.is_err() {
            break;
        }
        sent = id / 2 + 1;
        if door.handle.connections() == 0 && sent > 1000 {
            break;
        }
    }
    let last = within(drain).await.unwrap();
    assert!(sent < 200_000, "the flood was never cut off");
    // GOAWAY, or closed without a word.
    assert!(last.is_empty() || last.len() >= 9);
    door.settled().await;
    assert_eq!(door.handle.calls(), 0);
    door.mock.script_default(Reply::ok());
    works(&door).await;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = Vec::from(&length[1..]);
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn an_early_refusal_leaves_the_next_call_alone() {
    // Its body was never read: the next request must not begin in the middle of it.
    let door = narrow().await;
    let hidden = door.post(CHAT, r#"{"model":"smuggled","messages":[]}"#);
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: evil.example\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let mut caller = door.caller().await;
    caller.send(request + &door.post(CHAT, UNARY)).await;
    assert_eq!(caller.answer().await.status, 421);
    within(caller.is_closed()).await;
    assert_eq!(door.mock.attempts("smuggled"), 0);
    works(&door).await;
}
