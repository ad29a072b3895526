//! Where the members of the OpenAI-shaped family differ from each other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use backstay_mock::{Dialect, Mock, Reply};
use client::{ask, post, request, streamed, unary};
use serde_json::{Value, json};

#[tokio::test]
async fn azure_starts_with_its_verdict_on_the_prompt() {
    let answer = streamed(Reply::text("a"), "azure").await;
    let first = &answer.events()[0];
    assert_eq!(first["choices"], json!([]));
    assert!(first["prompt_filter_results"].is_array());
    assert!(answer.header("apim-request-id").is_some() && answer.is_done());
    let gone = unary(Reply::status(404), "/openai/deployments/m/chat/completions").await;
    assert_eq!(gone.json()["error"]["code"], "DeploymentNotFound");
}

#[tokio::test]
async fn an_api_key_tells_azure_from_groq() {
    let mock = Mock::start().await.unwrap();
    let body = r#"{"model": "m"}"#;
    let plain = request("POST", "/openai/v1/chat/completions", body);
    let text = String::from_utf8(plain.clone()).unwrap();
    let keyed = text.replacen("host: mock", "host: mock\r\napi-key: k", 1);
    assert!(ask(&mock, &plain).await.json()["x_groq"].is_object());
    assert!(ask(&mock, keyed.as_bytes()).await.json()["x_groq"].is_null());
    let spoken: Vec<_> = mock.log().iter().map(|entry| entry.dialect).collect();
    assert_eq!(spoken, [Some(Dialect::Groq), Some(Dialect::AzureChat)]);
}

#[tokio::test]
async fn mistral_has_usage_in_its_last_chunk_and_ends_with_an_error_as_a_reason() {
    let events = streamed(Reply::text("a b"), "mistral").await.events();
    let last = events.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["usage"]["completion_tokens"], 2);
    let failed = streamed(Reply::text("a b").error_in_band(1, "x"), "mistral").await;
    assert_eq!(failed.events()[2]["choices"][0]["finish_reason"], "error");
    assert!(!failed.is_done());
    let marked = streamed(Reply::text("a b").finish_reason("error"), "mistral").await;
    assert!(marked.is_done());
}

#[tokio::test]
async fn groq_has_a_field_of_its_own() {
    let events = streamed(Reply::text("a b").reasoning(["hm"]), "groq")
        .await
        .events();
    assert!(events[0]["x_groq"]["id"].is_string());
    assert_eq!(events[1]["choices"][0]["delta"]["reasoning"], "hm");
    assert_eq!(
        events.last().unwrap()["x_groq"]["usage"]["completion_tokens"],
        3
    );
    let failed = streamed(Reply::text("a b").error_in_band(1, "over"), "groq").await;
    assert_eq!(failed.events()[2]["x_groq"]["error"], "over");
    let failed = streamed(Reply::text("a b").failed_in_band(1, "over"), "groq").await;
    assert_eq!(failed.events()[2]["error"]["code"], "over");
}

#[tokio::test]
async fn openrouter_comments_prices_and_fails_inside_a_200() {
    let answer = streamed(Reply::text("a b"), "openrouter").await;
    assert!(answer.body().starts_with(b": OPENROUTER PROCESSING\n\n"));
    let events = answer.events();
    assert!(events.last().unwrap()["usage"]["cost"].is_number());
    assert!(events[0]["id"].as_str().unwrap().starts_with("gen-"));
    let failed = streamed(Reply::text("a b").error_in_band(1, "502"), "openrouter").await;
    let last = &failed.events()[2];
    assert_eq!(
        (&last["error"]["code"], &last["choices"][0]["finish_reason"]),
        (&json!(502), &json!("error"))
    );
    let whole = unary(
        Reply::ok().error_in_band(0, "502"),
        "/api/v1/chat/completions",
    )
    .await;
    assert_eq!(
        (whole.status(), &whole.json()["error"]["code"]),
        (200, &json!(502))
    );
    let mock = Mock::start().await.unwrap();
    post(
        &mock,
        "/api/v1/chat/completions",
        &json!({"models": ["x", "y"]}),
    )
    .await;
    assert_eq!(mock.attempts("x"), 1);
}

#[tokio::test]
async fn ones_own_servers_have_their_own_errors() {
    let in_band = async |dialect| {
        let answer = streamed(Reply::text("a b").error_in_band(1, "boom"), dialect).await;
        (
            answer.is_done(),
            answer.events().pop().unwrap()["error"].take(),
        )
    };
    for dialect in ["vllm", "sglang", "llama.cpp"] {
        let (done, error) = in_band(dialect).await;
        // Done, they say, after the error: only the error tells that it was none.
        assert!(done, "{dialect}");
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("boom"), &json!(500)),
            "{dialect}"
        );
    }
    assert!(in_band("tgi").await.1.is_string());
    let old = streamed(Reply::text("a b").failed_in_band(1, "boom"), "llama.cpp").await;
    let body = String::from_utf8(old.body()).unwrap();
    assert!(body.contains("\n\nerror: {") && old.is_done());
    let sglang = unary(Reply::status(400), "/sglang/v1/chat/completions")
        .await
        .json();
    assert_eq!(
        (&sglang["object"], &sglang["code"]),
        (&json!("error"), &json!(400))
    );
    let role = &streamed(Reply::text("a"), "llama.cpp").await.events()[0]["choices"][0]["delta"];
    assert_eq!(role["content"], Value::Null);
}

#[tokio::test]
async fn a_whole_mock_can_speak_as_one_member_of_the_family() {
    let mock = Mock::builder()
        .chat_as(Dialect::Mistral)
        .start()
        .await
        .unwrap();
    post(&mock, "/v1/chat/completions", &json!({"model": "m"})).await;
    post(&mock, "/vllm/v1/chat/completions", &json!({"model": "m"})).await;
    let spoken: Vec<_> = mock.log().iter().map(|entry| entry.dialect).collect();
    assert_eq!(spoken, [Some(Dialect::Mistral), Some(Dialect::Vllm)]);
    let refused = Mock::builder()
        .chat_as(Dialect::Gemini)
        .start()
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}
