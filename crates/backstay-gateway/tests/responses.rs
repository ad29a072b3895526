//! OpenAI's Responses through the gateway: no `[DONE]`, and an end of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_mock::{Ending, Reply};
use door::{Answer, Door, HANGS};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

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
    assert_eq!(
        last_call(&door).await,
        ("answered".into(), "complete".into())
    );
}

/// How the last call ended, and its first attempt.
async fn last_call(door: &Door) -> (Value, Value) {
    let trails = door.ask(&door.get("/trails.json")).await.json();
    let call = &trails["calls"][0];
    (
        call["ending"].clone(),
        call["attempts"][0]["outcome"].clone(),
    )
}

#[tokio::test]
async fn an_incomplete_response_is_a_whole_answer() {
    let door = Door::open().await;
    let reply = Reply::text("cut short").finish_reason("max_output_tokens");
    door.mock.script("alone", reply);
    let answer = ask(&door, "alone", true).await;
    assert!(answer.status == 200 && answer.whole, "{answer:?}");
    let events = events(&answer);
    let (kind, last) = events.last().unwrap();
    assert_eq!(kind, "response.incomplete");
    assert_eq!(
        last["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(
        last_call(&door).await,
        ("answered".into(), "complete".into())
    );
}

#[tokio::test]
async fn a_completed_response_has_ended_although_its_socket_stays_open() {
    let door = Door::open().await;
    for reason in ["stop", "max_output_tokens"] {
        let reply = Reply::text("all of it").finish_reason(reason);
        door.mock.script("alone", reply.hold_open_after_end());
        let began = Instant::now();
        let answer = ask(&door, "alone", true).await;
        let took = Instant::now().saturating_duration_since(began);
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        // The route's budget is 10 s.
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(
            last_call(&door).await,
            ("answered".into(), "complete".into())
        );
    }
}

#[tokio::test]
async fn a_failure_before_content_falls_back() {
    for (stream, first) in [
        (false, Reply::status(500)),
        (false, Reply::ok().truncate_body_to(20)),
        (false, Reply::ok().error_in_band(0, "server_error")),
        (false, Reply::ok().failed_in_band(0, "server_error")),
        (true, Reply::status(503)),
        (true, Reply::ok().error_in_band(0, "server_error")),
        (true, Reply::ok().failed_in_band(0, "server_error")),
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
async fn a_first_token_that_does_not_come_falls_back_whatever_else_comes() {
    let door = Door::with(|text| {
        text.replace(
            "model = \"pair\"\n",
            "model = \"pair\"\nclocks.stream.first_token = \"400ms\"\n",
        )
    })
    .await;
    let silent = Reply::ok().pings(100, Duration::from_millis(100));
    door.mock.script("first-model", silent);
    door.mock.script("second-model", Reply::text("second"));
    let answer = ask(&door, "pair", true).await;
    is_complete(&answer, "second");
    assert_eq!(answer.header("x-backstay-target"), Some("second"));
    assert!(!answer.body.contains("keepalive"));
}

#[tokio::test]
async fn a_response_that_breaks_off_ends_with_an_error_event_and_never_as_completed() {
    for (model, reply, code) in [
        ("alone", Reply::ok().cut_after_tokens(2), "upstream_failed"),
        (
            "alone",
            Reply::ok().reset_after_tokens(2),
            "upstream_failed",
        ),
        ("alone", Reply::ok().no_end_marker(), "upstream_truncated"),
        (
            "hurried",
            Reply::ok().stall_after_tokens(2),
            "deadline_exceeded",
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
        assert_eq!(last["code"], code);
        // On this the official SDKs raise, and not on the event's name.
        let error = &last["error"];
        assert!(error["type"].is_string(), "{last}");
        assert_eq!(
            (&error["code"], &error["message"]),
            (&last["code"], &last["message"])
        );
        assert_eq!(last_call(&door).await.0, "broken off");
    }
}

#[tokio::test]
async fn an_error_of_the_upstreams_own_passes_once() {
    for (reply, kind) in [
        (Reply::ok().error_in_band(2, "server_error"), "error"),
        (
            Reply::ok().failed_in_band(2, "server_error"),
            "response.failed",
        ),
    ] {
        let door = Door::open().await;
        door.mock.script("alone", reply);
        let answer = ask(&door, "alone", true).await;
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        let events = events(&answer);
        let told = events
            .iter()
            .map(|(kind, _)| &**kind)
            .filter(|kind| matches!(*kind, "error" | "response.failed" | "response.completed"));
        assert_eq!(told.collect::<Vec<_>>(), [kind], "{answer:?}");
        assert_eq!(events.last().unwrap().0, kind);
        assert_eq!(
            last_call(&door).await,
            ("broken off".into(), "in-band error".into())
        );
    }
}

/// OpenAI's error document, whatever else the request says of its sender.
fn is_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let document = answer.json();
    assert_eq!(document["error"]["code"], code, "{answer:?}");
    assert!(document["error"]["message"].is_string() && document["error"]["type"].is_string());
    assert_eq!(document.get("type"), None);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_in_openais_shape() {
    let door = Door::open().await;
    let anthropic = "anthropic-version: 2023-06-01\r\n";
    for headers in ["", anthropic] {
        for (document, status, code) in [
            (body("nobody-has-this", true), 404, "model_not_found"),
            (body("claude-pair", false), 404, "model_not_found"),
            (r#"{"input":"hello"}"#.to_owned(), 400, "invalid_request"),
            (r#"{"model":3}"#.to_owned(), 400, "invalid_request"),
        ] {
            let request = door.post_with(RESPONSES, headers, &document);
            is_refused(&door.ask(&request).await, status, code);
        }
    }
    let answer = door.ask(&door.get(RESPONSES)).await;
    is_refused(&answer, 405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("post"));
    assert_eq!(door.mock.log().len(), 0);
}

#[tokio::test]
async fn a_deadline_before_the_head_is_a_504() {
    let door = Door::open().await;
    door.mock.script("hurried", Reply::never_answer());
    for stream in [false, true] {
        let began = Instant::now();
        let answer = ask(&door, "hurried", stream).await;
        let took = Instant::now().saturating_duration_since(began);
        is_refused(&answer, 504, "deadline_exceeded");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(took >= Duration::from_millis(295), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_takes_its_response_along() {
    for (stream, reply, until) in [
        (false, Reply::never_answer(), None),
        (
            true,
            Reply::ok().stall_after_tokens(0),
            Some("response.created"),
        ),
        (
            true,
            Reply::ok().stall_after_tokens(2),
            Some("output_text.delta"),
        ),
        (
            true,
            Reply::tokens(["on "; 500]).delay_between_tokens(Duration::from_millis(20)),
            Some("output_text.delta"),
        ),
    ] {
        let door = Door::open().await;
        door.mock.script("alone", reply);
        let mut caller = door.caller().await;
        caller
            .send(door.post(RESPONSES, &body("alone", stream)))
            .await;
        match until {
            Some(text) => caller.until(text).await,
            None => assert!(door.mock.wait_until(|log| log.len() == 1, HANGS).await),
        }
        let left = Instant::now();
        drop(caller);
        door.settled().await;
        let took = Instant::now().saturating_duration_since(left);
        // The route's budget is 10 s, and the tokens would take as long.
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(door.mock.log()[0].ending, Some(Ending::PeerClosed));
        assert_eq!(last_call(&door).await.0, "caller left");
    }
}
