//! The gateway's own life: reload, drain, trails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_gateway::Config;
use backstay_mock::Reply;
use door::{CHAT, Door, HANGS, within};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const UNARY: &str = r#"{"model":"alone","messages":[{"content":"a secret prompt"}]}"#;
const STREAM: &str = r#"{"model":"alone","stream":true,"messages":[]}"#;

fn slow_stream() -> Reply {
    Reply::tokens(["a"; 6]).delay_between_tokens(Duration::from_millis(100))
}

#[tokio::test]
async fn a_reload_is_for_the_calls_to_come() {
    let door = Door::open().await;
    door.mock.script("alone", slow_stream());
    let mut old = door.caller().await;
    old.send(door.post(CHAT, STREAM)).await;
    old.until("assistant").await;
    let text = door::text(&door.mock.url()).replace("[\"alone\", ", "[\"renamed\", ");
    door.handle
        .reload(Config::parse(&text, "new.toml").unwrap())
        .unwrap();
    assert_eq!(door.chat(UNARY).await.status, 404);
    let renamed = door.chat(r#"{"model":"renamed","messages":[]}"#).await;
    assert_eq!(renamed.status, 200);
    let finished = old.answer().await;
    assert!(finished.whole && finished.body.ends_with("data: [DONE]\n\n"));
    // Its connection goes on, and its next call is a new one.
    old.send(door.post(CHAT, STREAM)).await;
    assert_eq!(old.answer().await.status, 404);
}

#[tokio::test]
async fn a_reload_that_cannot_be_changes_nothing() {
    let door = Door::open().await;
    let text = door::text(&door.mock.url());
    let moved = text.replace("127.0.0.1:0", "127.0.0.1:1");
    let error = door
        .handle
        .reload(Config::parse(&moved, "new.toml").unwrap())
        .unwrap_err();
    assert!(error.remedy().contains("restart"));
    let twice = text
        .replace("\"claude-pair\"", "\"pair\"")
        .replace("claude-first\", \"claude-second", "first\", \"second");
    let error = door
        .handle
        .reload(Config::parse(&twice, "new.toml").unwrap())
        .unwrap_err();
    assert!(error.line().is_some());
    assert_eq!(door.chat(UNARY).await.status, 200);
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_takes_no_new_ones() {
    let door = Door::open().await;
    door.mock.script("alone", slow_stream());
    let mut busy = door.caller().await;
    busy.send(door.post(CHAT, STREAM)).await;
    busy.until("assistant").await;
    let mut idle = door.caller().await;
    idle.send(door.get("/readyz")).await;
    assert_eq!(idle.answer().await.status, 200);
    door.handle.drain();
    assert!(within(idle.is_closed()).await);
    assert!(refused(&door).await);
    let finished = busy.answer().await;
    assert!(finished.whole && finished.body.ends_with("data: [DONE]\n\n"));
    let report = within(door.serving).await.unwrap();
    assert_eq!((report.in_flight, report.completed), (1, 1));
}

/// Whether new connections come to nothing, within the time that anything takes.
async fn refused(door: &Door) -> bool {
    let began = Instant::now();
    while Instant::now().saturating_duration_since(began) < HANGS {
        if tokio::net::TcpStream::connect(door.address).await.is_err() {
            return true;
        }
        sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test]
async fn a_drain_ends_what_the_grace_was_too_short_for() {
    let door = Door::with(|text| format!("{text}\n[drain]\ngrace = \"200ms\"\n")).await;
    door.mock.script("alone", Reply::ok().stall_after_tokens(2));
    door.mock.script("slow", Reply::never_answer());
    let mut stalled = door.caller().await;
    stalled.send(door.post(CHAT, STREAM)).await;
    stalled.until("data: ").await;
    let mut silent = door.caller().await;
    silent
        .send(door.post(CHAT, r#"{"model":"slow","messages":[]}"#))
        .await;
    assert!(door.mock.wait_until(|log| log.len() == 2, HANGS).await);
    door.handle.drain();
    let answer = silent.answer().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], "draining");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let answer = stalled.answer().await;
    assert!(
        answer.whole && answer.body.contains("draining"),
        "{answer:?}"
    );
    assert!(!answer.body.contains("[DONE]"));
    let report = within(door.serving).await.unwrap();
    assert_eq!((report.in_flight, report.cancelled), (2, 2));
    assert!(report.took < Duration::from_secs(5), "{report:?}");
    assert!(
        door.mock
            .wait_until(|log| log.iter().all(|e| e.peer_closed_at.is_some()), HANGS)
            .await
    );
}

#[tokio::test]
async fn a_second_signal_skips_delay_and_grace() {
    let door =
        Door::with(|text| format!("{text}\n[drain]\ndelay = \"1h\"\ngrace = \"1h\"\n")).await;
    door.mock.script("slow", Reply::never_answer());
    let mut silent = door.caller().await;
    silent
        .send(door.post(CHAT, r#"{"model":"slow","messages":[]}"#))
        .await;
    assert!(door.mock.wait_until(|log| log.len() == 1, HANGS).await);
    door.handle.drain();
    let unready = loop {
        let answer = door.ask(&door.get("/readyz")).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((unready.status, &*unready.body), (503, "draining\n"));
    // In the delay calls are still taken: whoever sends them has not heard yet.
    assert_eq!(door.chat(UNARY).await.status, 200);
    door.handle.drain();
    assert_eq!(silent.answer().await.status, 503);
    let report = within(door.serving).await.unwrap();
    assert_eq!((report.in_flight, report.cancelled), (1, 1));
    assert!(report.hurried);
}

#[tokio::test]
async fn trails_show_what_happened_and_nothing_that_was_said() {
    let door = Door::open().await;
    door.mock.script("first-model", Reply::status(500));
    door.mock
        .script("second-model", Reply::text("a secret answer"));
    let body = r#"{"model":"pair","messages":[{"content":"a secret prompt"}]}"#;
    let headers = "authorization: Bearer sk-of-the-caller\r\n";
    let answer = door.ask(&door.post_with(CHAT, headers, body)).await;
    let id = answer.header("x-backstay-trail").unwrap();
    let one = door.ask(&door.get(&format!("/trails/{id}"))).await;
    let call = one.json();
    assert_eq!(call["id"], id);
    assert_eq!(
        (&call["route"], &call["ending"]),
        (&"pair".into(), &"answered".into())
    );
    let attempts = call["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["outcome"], "status");
    assert_eq!(attempts[0]["status"], 500);
    assert_eq!(attempts[1]["outcome"], "complete");
    let page = door.ask(&door.get("/trails")).await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert!(page.body.contains(id) && page.body.contains("<svg"));
    assert!(!page.body.contains("<script"));
    let list = door.ask(&door.get("/trails.json")).await;
    for shown in [&page.body, &one.body, &list.body] {
        for secret in ["secret", "sk-"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_call_that_waits_is_shown_while_it_waits() {
    let door = Door::open().await;
    door.mock.script("slow", Reply::never_answer());
    let mut silent = door.caller().await;
    silent
        .send(door.post(CHAT, r#"{"model":"slow","messages":[]}"#))
        .await;
    assert!(door.mock.wait_until(|log| log.len() == 1, HANGS).await);
    let calls = door.ask(&door.get("/trails.json")).await.json();
    let call = &calls["calls"][0];
    assert_eq!(call["ending"], "running");
    assert_eq!(call["attempts"][0]["outcome"], "running");
    assert_eq!(call["attempts"][0]["target"], "any");
}

#[tokio::test]
async fn trails_are_bounded() {
    let door = Door::with(|text| format!("{text}\n[trails]\nkeep = 3\n")).await;
    for _ in 0..5 {
        door.chat(UNARY).await;
    }
    let calls = door.ask(&door.get("/trails.json")).await.json();
    assert_eq!(calls["calls"].as_array().unwrap().len(), 3);
}
