//! Failures arrive in the caller's dialect, with the status that its SDK knows, and never look like an end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_mock::Reply;
use door::{Answer, CHAT, Door, MESSAGES, within};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const STREAM: &str = r#"{"model":"alone","stream":true,"messages":[]}"#;

fn body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","max_tokens":9,"stream":{stream},"messages":[]}}"#)
}

/// The error document, in the one shape or the other.
fn is_openai(answer: &Answer, code: &str) {
    let error = &answer.json()["error"];
    assert_eq!(error["code"], code, "{answer:?}");
    assert!(error["message"].is_string() && error["type"].is_string());
    assert!(error.as_object().unwrap().contains_key("param"));
}

fn is_anthropic(answer: &Answer, kind: &str) {
    let document = answer.json();
    assert_eq!(document["type"], "error");
    assert_eq!(document["error"]["type"], kind, "{answer:?}");
}

#[tokio::test]
async fn an_unknown_model_is_a_404_in_the_callers_shape() {
    let door = Door::open().await;
    let answer = door.chat(&body("nobody-has-this", false)).await;
    assert_eq!(answer.status, 404);
    is_openai(&answer, "model_not_found");
    let answer = door.ask(&door.post(MESSAGES, &body("nobody", true))).await;
    assert_eq!(answer.status, 404);
    is_anthropic(&answer, "not_found_error");
    // It has a route, and that one speaks the other dialect.
    let answer = door.ask(&door.post(MESSAGES, &body("pair", true))).await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains(CHAT));
    assert_eq!(door.mock.log().len(), 0);
}

#[tokio::test]
async fn a_request_without_a_clear_model_is_a_400() {
    let door = Door::open().await;
    for document in [
        "",
        "[]",
        "{}",
        r#"{"model":3}"#,
        r#"{"model":"alone","model":"pair"}"#,
        r#"{"model":"alone""#,
    ] {
        let answer = door.chat(document).await;
        assert_eq!(answer.status, 400, "{document}");
        is_openai(&answer, "invalid_request");
    }
    assert_eq!(door.mock.log().len(), 0);
}

#[tokio::test]
async fn a_passed_deadline_is_a_504_at_the_deadline() {
    let door = Door::open().await;
    door.mock
        .script("hurried", Reply::ok().delay_headers(Duration::from_secs(9)));
    for stream in [false, true] {
        let began = Instant::now();
        let answer = door.chat(&body("hurried", stream)).await;
        let took = Instant::now().saturating_duration_since(began);
        assert_eq!(answer.status, 504);
        is_openai(&answer, "deadline_exceeded");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(took >= Duration::from_millis(295), "{took:?}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[tokio::test]
async fn a_budget_on_the_first_token_alone_does_not_cut_a_slow_stream() {
    let door = Door::with(|text| {
        text.replace(
            "model = \"hurried\"\n",
            "model = \"hurried\"\nclocks.stream.first_token = \"300ms\"\n",
        )
        .replace("budget = \"300ms\"", "budget = \"1m\"")
    })
    .await;
    door.mock.script(
        "hurried",
        Reply::tokens(["a"; 8]).delay_between_tokens(Duration::from_millis(100)),
    );
    let answer = door.chat(&body("hurried", true)).await;
    assert!(answer.whole && answer.body.ends_with("data: [DONE]\n\n"));
    door.mock.script(
        "hurried",
        Reply::ok().delay_first_token(Duration::from_secs(9)),
    );
    // Nothing is left to be tried, so that the head went out at once: the stream tells.
    let answer = door.chat(&body("hurried", true)).await;
    let event = ends_with_an_error(&answer);
    assert_eq!(event["error"]["code"], "upstream_timeout");
}

#[tokio::test]
async fn an_upstreams_own_429_passes_with_its_hints() {
    let door = Door::open().await;
    let document =
        r#"{"error":{"message":"slow","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    let reply = Reply::status(429)
        .header("retry-after", "7")
        .header("x-ratelimit-remaining-tokens", "0")
        .header("content-type", "application/json")
        .body(document);
    door.mock.script("alone", reply);
    let answer = door.chat(&body("alone", false)).await;
    assert_eq!((answer.status, &*answer.body), (429, document));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("0"));
    assert_eq!(answer.header("x-backstay-target"), Some("any"));
}

#[tokio::test]
async fn of_two_failures_the_first_targets_is_told() {
    let door = Door::open().await;
    door.mock
        .script("first-model", Reply::status(429).header("retry-after", "9"));
    door.mock.script("second-model", Reply::status(500));
    let answer = door.chat(&body("pair", false)).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("x-backstay-attempts"), Some("2"));
}

#[tokio::test]
async fn an_upstreams_own_error_event_passes_and_stands_alone() {
    for tokens in [0, 2] {
        let door = Door::open().await;
        let reply = |code| Reply::ok().error_in_band(tokens, code);
        door.mock.script_default(reply("server_is_overloaded"));
        let answer = door.chat(&body("pair", true)).await;
        let event = ends_with_an_error(&answer);
        assert_eq!(event["error"]["code"], "server_is_overloaded");
        assert_eq!(answer.body.matches("\"error\"").count(), 1, "{answer:?}");
        door.mock.script_default(reply("overloaded_error"));
        let answer = door
            .ask(&door.post(MESSAGES, &body("claude-pair", true)))
            .await;
        let event = ends_with_an_error(&answer);
        assert_eq!(event["error"]["type"], "overloaded_error");
        assert_eq!(answer.body.matches("event: error").count(), 1, "{answer:?}");
    }
}

/// What a stream that broke off ends with: an event of its dialect, and no end marker.
fn ends_with_an_error(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200);
    assert!(answer.whole, "the transfer itself broke off: {answer:?}");
    assert!(!answer.body.contains("[DONE]") && !answer.body.contains("message_stop"));
    let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
    let data = last.lines().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.unwrap()).unwrap()
}

#[tokio::test]
async fn a_cut_stream_ends_with_its_dialects_error_event() {
    for reply in [
        Reply::ok().cut_after_tokens(2),
        Reply::ok().reset_after_tokens(2),
        Reply::ok().no_end_marker(),
    ] {
        let door = Door::open().await;
        door.mock.script_default(reply);
        let answer = door.chat(STREAM).await;
        let event = ends_with_an_error(&answer);
        assert!(event["error"]["code"].is_string(), "{event}");
        let answer = door
            .ask(&door.post(MESSAGES, &body("claude-pair", true)))
            .await;
        assert!(
            answer.body.contains("\n\nevent: error\ndata: "),
            "{answer:?}"
        );
        let event = ends_with_an_error(&answer);
        assert_eq!(event["type"], "error");
        assert!(event["error"]["type"].is_string(), "{event}");
        let trails = door.ask(&door.get("/trails.json")).await.json();
        assert_eq!(trails["calls"][0]["ending"], "broken off");
    }
}

#[tokio::test]
async fn a_deadline_in_the_middle_of_a_stream_ends_it_with_an_error_event() {
    let door = Door::open().await;
    door.mock
        .script("hurried", Reply::ok().stall_after_tokens(2));
    let answer = door.chat(&body("hurried", true)).await;
    assert_eq!(
        ends_with_an_error(&answer)["error"]["code"],
        "deadline_exceeded"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_inside_of_an_event_ends_with_whole_events_only() {
    let upstream = door::raw(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        &[
            "data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"con",
        ],
    )
    .await;
    let door = Door::with(|text| text.replace("name = \"any\"", &format!("name = \"odd\"\ndialect = \"openai\"\nbase_url = \"http://{upstream}/v1\"\nretries = 0\n\n[[targets]]\nname = \"any\"")).replace("targets = [\"any\"]", "targets = [\"odd\"]")).await;
    let answer = door.chat(STREAM).await;
    ends_with_an_error(&answer);
    for event in answer.body.trim_end().split("\n\n") {
        let data = event.strip_prefix("data: ").unwrap();
        assert!(serde_json::from_str::<Value>(data).is_ok(), "{event}");
    }
    assert!(answer.body.contains("one"));
}

#[tokio::test]
async fn a_truncated_document_is_never_a_whole_answer() {
    let door = Door::open().await;
    door.mock.script("alone", Reply::ok().truncate_body_to(30));
    // Nothing is left to be tried, so that the head went out at once.
    let answer = door.chat(&body("alone", false)).await;
    assert!(answer.status == 200 && !answer.whole, "{answer:?}");
    door.mock
        .script("first-model", Reply::ok().truncate_body_to(30));
    door.mock.script("second-model", Reply::status(500));
    let answer = door.chat(&body("pair", false)).await;
    assert_eq!(answer.status, 502);
    is_openai(&answer, "upstream_failed");
    let door = Door::with(|text| text.replace("models = [", "commit = \"head\"\nmodels = [")).await;
    door.mock.script("alone", Reply::ok().truncate_body_to(30));
    let answer = door.chat(&body("alone", false)).await;
    assert!(answer.status == 200 && !answer.whole, "{answer:?}");
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_502() {
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let door = Door::with(|text| {
        let mock = text
            .split("base_url = \"")
            .nth(1)
            .unwrap()
            .split("/v1")
            .next()
            .unwrap()
            .to_owned();
        text.replace(&mock, &format!("http://{free}"))
    })
    .await;
    let answer = within(door.chat(&body("alone", false))).await;
    assert_eq!(answer.status, 502);
    is_openai(&answer, "upstream_failed");
    assert!(!answer.body.contains("sk-upstream-secret"));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_not_passed_on() {
    let door = Door::open().await;
    let elsewhere = door.mock.url() + "/v1/chat/completions";
    door.mock
        .script("alone", Reply::status(307).header("location", &elsewhere));
    let answer = door.chat(&body("alone", false)).await;
    assert_eq!(answer.status, 502);
    is_openai(&answer, "upstream_redirected");
    assert_eq!(answer.header("location"), None);
    assert_eq!(door.mock.attempts("alone"), 1);
}

#[tokio::test]
async fn another_protocol_that_nobody_asked_for_is_a_502() {
    let upstream = door::raw(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        &[],
    )
    .await;
    let door = Door::before_paths(upstream).await;
    let answer = door.ask(&door.get("/odd/x")).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"]["code"], "upstream_switched");
    assert_eq!(answer.header("upgrade"), None);
}

#[tokio::test]
async fn a_path_that_cannot_be_called_is_no_call_that_goes_on_for_ever() {
    let door = Door::with(|text| {
        let under = text.replace(
            "dialect = \"plain\"\nbase_url = \"",
            "dialect = \"plain\"\nbase_url = \"http://localhost:1/tenant\" #",
        );
        format!("{under}\n[limits]\nrequest_head = \"128KiB\"\n")
    })
    .await;
    // As long as a path may be, and that of the base URL comes before it.
    let path = format!("/api/v2/{}", "x".repeat(65_520));
    let answer = door.ask(&door.get(&path)).await;
    is_openai(&answer, "bad_path");
    let trails = door.ask(&door.get("/trails.json")).await.json();
    assert_eq!(trails["calls"][0]["ending"], "refused");
}

#[tokio::test]
async fn the_callers_own_deadline_counts_and_only_shortens() {
    let door = Door::open().await;
    door.mock
        .script("slow", Reply::ok().delay_headers(Duration::from_secs(9)));
    for header in [
        "grpc-timeout: 300m",
        "request-timeout: 0.3",
        "connect-timeout-ms: 300",
        "x-envoy-expected-rq-timeout-ms: 300",
    ] {
        let began = Instant::now();
        let request = door.post_with(CHAT, &format!("{header}\r\n"), &body("slow", false));
        let answer = door.ask(&request).await;
        let took = Instant::now().saturating_duration_since(began);
        assert_eq!(answer.status, 504, "{header}");
        assert!(took < Duration::from_secs(3), "{header}: {took:?}");
    }
    // Longer than the route's own.
    let longer = door.post_with(CHAT, "grpc-timeout: 1H\r\n", &body("hurried", false));
    door.mock.script("hurried", Reply::never_answer());
    assert_eq!(within(door.ask(&longer)).await.status, 504);
}

#[tokio::test]
async fn an_sdks_read_timeout_shortens_the_clocks_and_cuts_no_stream_that_goes_on() {
    let door = Door::open().await;
    let header = "x-stainless-read-timeout: 0.4\r\n";
    door.mock.script(
        "alone",
        Reply::tokens(["a"; 10]).delay_between_tokens(Duration::from_millis(100)),
    );
    let answer = door.ask(&door.post_with(CHAT, header, STREAM)).await;
    assert!(
        answer.whole && answer.body.ends_with("data: [DONE]\n\n"),
        "{answer:?}"
    );
    door.mock.script("alone", Reply::never_answer());
    let answer = door.ask(&door.post_with(CHAT, header, STREAM)).await;
    assert_eq!(answer.status, 504);
    is_openai(&answer, "upstream_timeout");
}

#[tokio::test]
async fn an_sdks_read_timeout_never_lengthens_the_clock_of_a_target() {
    // Shorter than the route's clock, and longer than the target's.
    let header = "x-stainless-read-timeout: 8\r\n";
    let clocks =
        "name = \"any\"\nclocks.unary.headers = \"400ms\"\nclocks.stream.headers = \"400ms\"";
    let door = Door::with(|text| text.replace("name = \"any\"", clocks)).await;
    door.mock.script("alone", Reply::never_answer());
    for stream in [false, true] {
        let began = Instant::now();
        let request = door.post_with(CHAT, header, &body("alone", stream));
        let answer = door.ask(&request).await;
        let took = Instant::now().saturating_duration_since(began);
        assert_eq!(answer.status, 504);
        assert!(took < Duration::from_secs(4), "stream {stream}: {took:?}");
    }
}

#[tokio::test]
async fn a_listener_that_does_not_believe_deadlines_ignores_them() {
    let door =
        Door::with(|text| text.replace("address = ", "deadline_headers = false\naddress = ")).await;
    door.mock.script(
        "slow",
        Reply::ok().delay_headers(Duration::from_millis(400)),
    );
    let request = door.post_with(CHAT, "grpc-timeout: 50m\r\n", &body("slow", false));
    assert_eq!(door.ask(&request).await.status, 200);
}
