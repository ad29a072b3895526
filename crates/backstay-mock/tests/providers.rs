//! The answers have their providers' shapes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use std::sync::Arc;

use backstay_mock::{DIMENSIONS, Mock, Reply, ScriptFile, embed};
use base64::Engine;
use client::{ask, chat, request};
use parking_lot::Mutex;
use serde_json::{Value, json};

async fn post(mock: &Mock, path: &str, body: &Value) -> client::Answer {
    ask(mock, &request("POST", path, &body.to_string())).await
}

fn rich() -> Reply {
    Reply::tokens(["Hi", " there"])
        .reasoning(["hm"])
        .tool_call("look", r#"{"at":"sea"}"#)
}

#[tokio::test]
async fn openai_chat() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", rich());
    let unary = ask(&mock, &chat("m", false)).await.json();
    assert_eq!(unary["object"], "chat.completion");
    let choice = &unary["choices"][0];
    assert_eq!(choice["message"]["content"], "Hi there");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"]["arguments"],
        r#"{"at":"sea"}"#
    );
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(unary["usage"]["completion_tokens"], 3);

    let body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}});
    let stream = post(&mock, "/v1/chat/completions", &body).await;
    let events = stream.events();
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events[1]["choices"][0]["delta"]["reasoning_content"], "hm");
    assert_eq!(stream.tokens(), ["Hi", " there"]);
    let finish = &events[events.len() - 2]["choices"][0]["finish_reason"];
    assert_eq!(finish, "tool_calls");
    let usage = events.last().unwrap();
    assert_eq!(
        (&usage["choices"], &usage["usage"]["completion_tokens"]),
        (&json!([]), &json!(3))
    );
    assert!(stream.is_done());
}

#[tokio::test]
async fn words_are_the_same_every_time_and_others_for_another_seed() {
    let (one, two) = (
        Mock::start().await.unwrap(),
        Mock::builder().seed(1).start().await.unwrap(),
    );
    let said = async |mock| ask(mock, &chat("m", true)).await.tokens();
    assert_eq!(said(&one).await.len(), 8);
    assert_eq!(said(&one).await, said(&one).await);
    assert_ne!(said(&one).await, said(&two).await);
}

#[tokio::test]
async fn anthropic_messages() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", rich());
    let unary = post(&mock, "/v1/messages", &json!({"model": "m"}))
        .await
        .json();
    let kinds: Vec<_> = unary["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["type"])
        .collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    assert_eq!(
        (&unary["content"][2]["input"]["at"], &unary["stop_reason"]),
        (&json!("sea"), &json!("tool_use"))
    );

    let stream = post(
        &mock,
        "/v1/messages",
        &json!({"model": "m", "stream": true}),
    )
    .await;
    let events = stream.events();
    let shape: Vec<String> = events
        .iter()
        .map(|event| {
            let detail = event["delta"]["type"]
                .as_str()
                .or(event["content_block"]["type"].as_str());
            let kind = event["type"].as_str().unwrap();
            detail.map_or_else(
                || kind.to_owned(),
                |detail| format!("{kind} {detail} {}", event["index"]),
            )
        })
        .collect();
    assert_eq!(
        shape,
        [
            "message_start",
            "content_block_start thinking 0",
            "ping",
            "content_block_delta thinking_delta 0",
            "content_block_delta signature_delta 0",
            "content_block_stop",
            "content_block_start text 1",
            "content_block_delta text_delta 1",
            "content_block_delta text_delta 1",
            "content_block_stop",
            "content_block_start tool_use 2",
            "content_block_delta input_json_delta 2",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let body = String::from_utf8(stream.body()).unwrap();
    for (name, data) in body
        .lines()
        .filter_map(|l| l.strip_prefix("event: "))
        .zip(&events)
    {
        assert_eq!(data["type"], name);
    }
}

#[tokio::test]
async fn anthropic_in_band_error() {
    let mock = Mock::start().await.unwrap();
    mock.script(
        "m",
        Reply::tokens(["a", "b"]).error_in_band(1, "overloaded_error"),
    );
    let stream = post(
        &mock,
        "/v1/messages",
        &json!({"model": "m", "stream": true}),
    )
    .await;
    let events = stream.events();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["type"], &last["error"]["type"]),
        (&json!("error"), &json!("overloaded_error"))
    );
    assert!(!events.iter().any(|event| event["type"] == "message_stop"));
}

#[tokio::test]
async fn embeddings_as_floats_and_as_base64() {
    let mock = Mock::start().await.unwrap();
    let floats = post(
        &mock,
        "/v1/embeddings",
        &json!({"model": "e", "input": ["sea", "tax"]}),
    )
    .await
    .json();
    let data = floats["data"].as_array().unwrap();
    assert_eq!((data.len(), &data[1]["index"]), (2, &json!(1)));
    let vector = data[0]["embedding"].as_array().unwrap();
    assert_eq!(vector.len(), DIMENSIONS);
    let expected = embed("sea");
    assert!(
        vector
            .iter()
            .zip(&expected)
            .all(|(a, b)| (a.as_f64().unwrap() - f64::from(*b)).abs() < 1e-6)
    );

    let body = json!({"model": "e", "input": "sea", "encoding_format": "base64", "dimensions": 8});
    let coded = post(&mock, "/v1/embeddings", &body).await.json();
    let text = coded["data"][0]["embedding"].as_str().unwrap();
    assert_eq!(
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
            .len(),
        8 * 4
    );
}

#[tokio::test]
async fn health_models_and_what_is_not_there() {
    let mock = Mock::start().await.unwrap();
    mock.script_default(Reply::status(503));
    assert_eq!(
        ask(&mock, &request("GET", "/health", "")).await.status(),
        200
    );
    let models = ask(&mock, &request("GET", "/v1/models", "")).await.json();
    assert_eq!(models["object"], "list");
    assert_eq!(
        ask(&mock, &request("GET", "/nothing", "")).await.status(),
        404
    );
    assert_eq!(
        post(&mock, "/v1/chat/completions", &json!({"model": "m"}))
            .await
            .status(),
        503
    );
    let nameless = Mock::start().await.unwrap();
    assert_eq!(
        post(&nameless, "/v1/chat/completions", &json!({}))
            .await
            .status(),
        400
    );
}

#[tokio::test]
async fn a_script_file_does_what_the_methods_do() {
    let mock = Mock::start().await.unwrap();
    let file = r#"{
        "models": {"m": [
            {"status": 429, "headers": {"retry-after": "7"}, "times": 2},
            {"tokens": ["a", "b"], "fault": {"cut_after_tokens": 1}},
            {"text": "in band", "fault": {"error_in_band": {"after_tokens": 0, "code": "x"}}}
        ]},
        "default": [{"json": {"k": 1}}]
    }"#;
    ScriptFile::from_json(file).unwrap().apply(&mock);
    for _ in 0..2 {
        assert_eq!(
            ask(&mock, &chat("m", true)).await.header("retry-after"),
            Some("7")
        );
    }
    assert_eq!(ask(&mock, &chat("m", true)).await.tokens(), ["a"]);
    assert_eq!(
        ask(&mock, &chat("m", true)).await.events()[1]["error"]["code"],
        "x"
    );
    assert_eq!(ask(&mock, &chat("n", false)).await.json(), json!({"k": 1}));
    assert!(ScriptFile::from_json(r#"{"models": {"m": [{"fault": "no_such_fault"}]}}"#).is_err());
}

#[tokio::test]
async fn an_observer_hears_of_every_end_and_no_debug_shows_content() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mock = {
        let heard = Arc::clone(&heard);
        Mock::builder()
            .on_ended(move |entry| heard.lock().push(entry.clone()))
            .start()
            .await
            .unwrap()
    };
    mock.script("m", Reply::text("answer-secret"));
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "prompt-secret"}]})
        .to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\nauthorization: Bearer key-secret\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(&mock, request.as_bytes()).await;
    assert!(
        mock.wait_until(|_| heard.lock().len() == 1, client::PROMPTLY)
            .await
    );
    let entry = heard.lock()[0].clone();
    assert_eq!(entry.headers["authorization"], "Bearer key-secret");
    assert_eq!(entry.body, body.as_bytes());
    let shown = format!("{entry:?} {mock:?} {:?}", Reply::text("answer-secret"));
    assert!(!shown.contains("secret"), "{shown}");
    mock.clear_log();
    assert!(mock.log().is_empty());
}
