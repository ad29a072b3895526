//! OpenAI's Responses through the gateway: no `[DONE]`, and an end of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_mock::Reply;
use door::{Answer, Door};
use serde_json::Value;
use std::time::Duration;

const RESPONSES: &str = "/v1/responses";

fn body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","input":"hello","stream":{stream}}}"#)
}

async fn ask(door: &Door, model: &str, stream: bool) -> Answer {
    door.ask(&door.post(RESPONSES, &body(model, stream))).await
}

/// The events: what each says that it is, and its data.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let events = answer.body.trim_end().split("\n\n");
    events
        .map(|event| {
            let (kind, data) = event.split_once("\ndata: ").unwrap();
            let kind = kind.strip_prefix("event: ").unwrap().to_owned();
            (kind, serde_json::from_str(data).unwrap())
        })
        .collect()
}

fn is_complete(answer: &Answer, text: &str) {
    assert!(answer.status == 200 && answer.whole, "{answer:?}");
    let events = events(answer);
    let (kind, last) = events.last().unwrap();
    assert_eq!(kind, "response.completed");
    assert_eq!(last["response"]["status"], "completed");
    let deltas = events
        .iter()
        .filter(|(kind, _)| kind == "response.output_text.delta");
    let told: String = deltas
        .map(|(_, data)| data["delta"].as_str().unwrap())
        .collect();
    assert_eq!(told, text);
}

#[tokio::test]
async fn a_unary_response_passes() {
    let door = Door::open().await;
    door.mock.script("alone", Reply::text("aye"));
    let odd = r#"{ "input" : "hello",	"model":"alone", "odd":1e0 }"#;
    let answer = door.ask(&door.post(RESPONSES, odd)).await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!(
        (&document["object"], &document["status"]),
        (&"response".into(), &"completed".into())
    );
    assert_eq!(document["output"][0]["content"][0]["text"], "aye");
    assert_eq!(answer.header("x-backstay-target"), Some("any"));
    let sent = &door.mock.requests("alone")[0];
    assert_eq!((&*sent.path, &sent.body[..]), (RESPONSES, odd.as_bytes()));
}

#[tokio::test]
async fn a_streamed_response_passes_token_by_token_to_its_own_end() {
    let door = Door::open().await;
    let tokens = Reply::tokens(["one ", "two ", "three"]);
    door.mock.script(
        "alone",
        tokens.delay_between_tokens(Duration::from_millis(400)),
    );
    let mut caller = door.caller().await;
    caller
        .send(door.post(RESPONSES, &body("alone", true)))
        .await;
    caller.until("one ").await;
    assert!(
        door.mock.log()[0].tokens_sent < 3,
        "the first token waited for the last"
    );
    is_complete(&caller.answer().await, "one two three");
    let trails = door.ask(&door.get("/trails.json")).await.json();
    let call = &trails["calls"][0];
    assert_eq!(
        (&call["ending"], &call["attempts"][0]["outcome"]),
        (&"answered".into(), &"complete".into())
    );
}

#[tokio::test]
async fn a_failure_before_content_falls_back() {
    for (stream, first) in [
        (false, Reply::status(500)),
        (false, Reply::ok().truncate_body_to(20)),
        (true, Reply::status(503)),
        (true, Reply::ok().error_in_band(0, "server_error")),
        (true, Reply::ok().cut_after_tokens(0)),
        (true, Reply::ok().reset_after_tokens(0)),
    ] {
        let door = Door::open().await;
        door.mock.script("first-model", first);
        door.mock.script("second-model", Reply::text("second"));
        let answer = ask(&door, "pair", stream).await;
        assert_eq!(
            answer.header("x-backstay-target"),
            Some("second"),
            "{answer:?}"
        );
        assert_eq!(answer.header("x-backstay-attempts"), Some("2"));
        if stream {
            is_complete(&answer, "second");
        } else {
            assert_eq!(answer.json()["output"][0]["content"][0]["text"], "second");
        }
        assert_eq!(door.mock.attempts("first-model"), 1);
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_ends_with_an_error_event_and_never_as_completed() {
    for (model, reply, code) in [
        ("alone", Reply::ok().cut_after_tokens(2), None),
        ("alone", Reply::ok().reset_after_tokens(2), None),
        (
            "alone",
            Reply::ok().no_end_marker(),
            Some("upstream_truncated"),
        ),
        (
            "hurried",
            Reply::ok().stall_after_tokens(2),
            Some("deadline_exceeded"),
        ),
    ] {
        let door = Door::open().await;
        door.mock.script(model, reply);
        let answer = ask(&door, model, true).await;
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        assert!(!answer.body.contains("response.completed"));
        let events = events(&answer);
        assert!(
            events
                .iter()
                .any(|(kind, _)| kind == "response.output_text.delta")
        );
        let (kind, last) = events.last().unwrap();
        assert_eq!((&**kind, &last["type"]), ("error", &"error".into()));
        assert!(last["message"].is_string());
        let told = last["code"].as_str().unwrap();
        assert!(code.is_none_or(|code| code == told), "{last}");
    }
}

#[tokio::test]
async fn an_error_of_the_upstreams_own_passes_once() {
    let door = Door::open().await;
    door.mock
        .script("alone", Reply::ok().error_in_band(2, "server_error"));
    let answer = ask(&door, "alone", true).await;
    let events = events(&answer);
    let errors = events
        .iter()
        .filter(|(kind, _)| matches!(&**kind, "error" | "response.failed"))
        .count();
    assert_eq!(errors, 1, "{answer:?}");
}
