//! Calls pass through byte for byte, fall back before content, and say who answered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_mock::Reply;
use door::{CHAT, Door, MESSAGES, within};
use std::time::Duration;

const UNARY: &str = r#"{"model":"alone","messages":[]}"#;
const STREAM: &str = r#"{"model":"alone","stream":true,"messages":[]}"#;

#[tokio::test]
async fn a_unary_answer_passes_byte_for_byte() {
    let door = Door::open().await;
    let document =
        r#"{ "id" : "x",  "choices":[ {"message":{"content":"é\u00e9 "}} ] , "odd":1e0 }"#;
    door.mock.script(
        "alone",
        Reply::ok()
            .body(document)
            .header("content-type", "application/json"),
    );
    let odd = "{ \"messages\":[ ],\n\t\"model\" : \"alone\" , \"odd\": 1e0 }";
    let answer = door.chat(odd).await;
    assert_eq!((answer.status, &*answer.body), (200, document));
    assert_eq!(&door.mock.requests("alone")[0].body[..], odd.as_bytes());
    assert_eq!(answer.header("x-backstay-target"), Some("any"));
    assert_eq!(answer.header("x-backstay-attempts"), Some("1"));
    assert!(answer.header("x-backstay-trail").is_some());
    assert!(answer.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_stream_passes_token_by_token() {
    let door = Door::open().await;
    door.mock.script(
        "alone",
        Reply::tokens(["one", "two", "three"]).delay_between_tokens(Duration::from_millis(400)),
    );
    let mut caller = door.caller().await;
    caller.send(door.post(CHAT, STREAM)).await;
    caller.until("one").await;
    let sent = door.mock.log()[0].tokens_sent;
    assert!(sent < 3, "the first token waited for the last");
    let answer = caller.answer().await;
    assert!(answer.whole);
    assert!(answer.body.ends_with("data: [DONE]\n\n"));
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("text/event-stream"));
}

#[tokio::test]
async fn a_stream_cut_anywhere_arrives_as_it_was_sent() {
    let door = Door::open().await;
    let whole = door.chat(STREAM).await.body;
    for bytes in [1, 7, 100] {
        door.mock.script("alone", Reply::ok().split_frames(bytes));
        let split = door.chat(STREAM).await;
        assert!(split.whole);
        let shape = |body: &str| body.matches("\n\n").count();
        assert_eq!(shape(&split.body), shape(&whole));
        assert!(split.body.ends_with("data: [DONE]\n\n"));
    }
}

#[tokio::test]
async fn a_failure_before_content_falls_back_and_the_answer_says_so() {
    for (path, model, second) in [
        (CHAT, "pair", "second"),
        (MESSAGES, "claude-pair", "claude-second"),
    ] {
        for (stream, first) in [
            (false, Reply::status(500)),
            (true, Reply::status(503)),
            (true, Reply::ok().error_in_band(0, "overloaded_error")),
            (true, Reply::ok().cut_after_tokens(0)),
            (false, Reply::ok().truncate_body_to(20)),
        ] {
            let door = Door::open().await;
            door.mock.script("first-model", first);
            door.mock
                .script("second-model", Reply::text("from the second"));
            let body =
                format!(r#"{{"model":"{model}","max_tokens":9,"stream":{stream},"messages":[]}}"#);
            let answer = door.ask(&door.post(path, &body)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("x-backstay-target"), Some(second));
            assert_eq!(answer.header("x-backstay-attempts"), Some("2"));
            assert!(answer.whole && answer.body.contains("second"));
            assert!(!answer.body.contains("overloaded"));
            assert_eq!(door.mock.attempts("first-model"), 1);
        }
    }
}

#[tokio::test]
async fn the_callers_key_stays_and_the_targets_goes() {
    let door = Door::open().await;
    let body = r#"{"model":"pair","messages":[]}"#;
    let headers = "authorization: Bearer sk-of-the-caller\r\ncookie: a=b\r\nopenai-beta: x\r\n";
    let answer = door.ask(&door.post_with(CHAT, headers, body)).await;
    assert_eq!(answer.status, 200);
    let sent = &door.mock.requests("first-model")[0].headers;
    assert_eq!(sent["authorization"], "Bearer sk-upstream-secret");
    assert_eq!(sent["openai-beta"], "x");
    assert!(!sent.contains_key("cookie"));
    // A target without a key gets none, not the caller's.
    door.chat(UNARY).await;
    let sent = &door.mock.requests("alone")[0].headers;
    assert!(!sent.contains_key("authorization"));
}

#[tokio::test]
async fn embeddings_and_paths_pass_too() {
    let door = Door::open().await;
    let answer = door
        .ask(&door.post("/v1/embeddings", r#"{"model":"alone","input":["a"]}"#))
        .await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["data"][0]["embedding"].is_array());
    let answer = door.ask(&door.get("/api/v2/heartbeat?deep=1")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-backstay-target"), Some("store"));
}

#[tokio::test]
async fn one_connection_carries_many_calls() {
    let door = Door::open().await;
    let mut caller = door.caller().await;
    for _ in 0..20 {
        for body in [UNARY, STREAM] {
            caller.send(door.post(CHAT, body)).await;
            let answer = within(caller.answer()).await;
            assert!(answer.status == 200 && answer.whole);
        }
    }
    assert_eq!(door.handle.connections(), 1);
    assert_eq!(door.mock.connections_accepted(), 1);
    door.settled().await;
}

#[tokio::test]
async fn the_models_that_have_routes_are_listed_in_the_callers_shape() {
    let door = Door::open().await;
    let openai = door.ask(&door.get("/v1/models")).await.json();
    assert_eq!(openai["object"], "list");
    assert_eq!(openai["data"][0]["id"], "pair");
    let request = format!(
        "GET /v1/models HTTP/1.1\r\nhost: {}\r\nanthropic-version: 2023-06-01\r\n\r\n",
        door.address
    );
    let anthropic = door.ask(&request).await.json();
    assert_eq!(anthropic["data"][0]["id"], "claude-pair");
    assert_eq!(anthropic["has_more"], false);
}

#[tokio::test]
async fn a_stream_with_a_length_is_whole_at_its_end_marker_whatever_was_announced() {
    let upstream = door::raw(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 500\r\n\r\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\ndata: [DONE]\n\n",
        // What comes late is too little, and nobody waits for it.
        &["\n", "\n", "\n", "\n"],
    )
    .await;
    let door = Door::before(upstream, "10s").await;
    let answer = door
        .chat(r#"{"model":"hurried","stream":true,"messages":[]}"#)
        .await;
    assert_eq!(answer.status, 200);
    assert!(answer.whole, "{answer:?}");
    assert!(answer.body.contains("one") && answer.body.contains("[DONE]"));
}

#[tokio::test]
async fn what_belongs_to_the_upstreams_connection_stays_there() {
    let upstream = door::raw(
        "HTTP/1.1 200 OK\r\nconnection: close, X-Hop\r\nconnection: x-other,content-length\r\nx-hop: 1\r\n\
         x-other: 1\r\nx-mine: 1\r\ncontent-length: 2\r\n\r\nok",
        &[],
    )
    .await;
    let door = Door::before_paths(upstream).await;
    let answer = door.ask(&door.get("/odd/x")).await;
    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert_eq!(answer.header("x-hop"), None);
    assert_eq!(answer.header("x-other"), None);
    assert_eq!(answer.header("x-mine"), Some("1"));
}

#[tokio::test]
async fn a_length_beside_chunks_counts_for_nothing() {
    // RFC 9112, section 6.3.
    let upstream = door::raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 200\r\ntransfer-encoding: chunked\r\n\r\n",
        &["ok", ""],
    )
    .await;
    let door = Door::before_paths(upstream).await;
    let answer = door.ask(&door.get("/odd/x")).await;
    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert!(answer.whole);
}

#[tokio::test]
async fn a_path_that_could_lead_out_of_its_route_goes_nowhere() {
    let upstream = door::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", &[]).await;
    let door = Door::before_paths(upstream).await;
    for path in [
        "/odd/..",
        "/odd/../../admin",
        "/odd/a/%2e%2E/%2e./.%2e/admin",
        "/odd/..%2fadmin",
        "/odd/..%5Cadmin",
        "/odd/..\\admin",
        "/odd/..;/admin",
    ] {
        let answer = door.ask(&door.get(path)).await;
        assert_eq!(answer.status, 400, "{path}");
    }
    for path in ["/odd/a..b", "/odd/...", "/odd/a%20b?up=../..", "/odd/.well"] {
        let answer = door.ask(&door.get(path)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn events_whose_lines_end_in_two_ways_do_not_wait_for_the_end_of_the_stream() {
    let (upstream, _closed) = door::stays_open(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\r\n",
    )
    .await;
    let door = Door::before(upstream, "60s").await;
    let mut caller = door.caller().await;
    let body = r#"{"model":"hurried","stream":true,"messages":[]}"#;
    caller.send(door.post(CHAT, body)).await;
    within(caller.until("one")).await;
}
