//! What is one dialect's own: its events in their order, its documents, its headers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use backstay_mock::{Dialect, Mock, Reply};
use client::stream::{Spoken, frames, sse};
use client::{Answer, ask, request};
use serde_json::{Value, json};

async fn with(reply: Reply) -> Mock {
    let mock = Mock::start().await.unwrap();
    mock.script("m", reply);
    mock
}

async fn post(mock: &Mock, path: &str, body: &Value) -> Answer {
    ask(mock, &request("POST", path, &body.to_string())).await
}

async fn streamed(reply: Reply, dialect: &str) -> Answer {
    ask(&with(reply).await, &Spoken::of(dialect).request()).await
}

async fn unary(reply: Reply, path: &str) -> Answer {
    post(&with(reply).await, path, &json!({"model": "m"})).await
}

fn rich() -> Reply {
    Reply::tokens(["Hi", " there"])
        .reasoning(["hm"])
        .tool_call("look", r#"{"at":"sea"}"#)
}

fn names(answer: &Answer) -> Vec<String> {
    let events = sse(&answer.body()).unwrap();
    events.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn responses_has_its_lifecycle_in_order() {
    let answer = streamed(rich(), "openai-responses").await;
    assert_eq!(
        names(&answer),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let events = answer.events();
    let done = &events.last().unwrap()["response"];
    assert_eq!(done["status"], "completed");
    assert_eq!(done["output"].as_array().unwrap().len(), 3);
    assert_eq!(done["output"][1]["content"][0]["text"], "Hi there");
    assert_eq!(done["usage"]["output_tokens"], 4);
    assert_eq!(
        done["usage"]["output_tokens_details"]["reasoning_tokens"],
        1
    );
    assert_eq!(events[0]["response"]["id"], done["id"]);
    assert_eq!(events[15]["output_index"], 2);
    assert!(!answer.is_done());
}

#[tokio::test]
async fn responses_ends_incomplete_or_failed_or_with_an_error() {
    let end = async |reply| {
        let answer = streamed(reply, "openai-responses").await;
        (
            names(&answer).pop().unwrap(),
            answer.events().pop().unwrap(),
        )
    };
    let (name, last) = end(Reply::text("a b").finish_reason("max_output_tokens")).await;
    assert_eq!(name, "response.incomplete");
    let details = &last["response"]["incomplete_details"];
    assert_eq!(details["reason"], "max_output_tokens");

    let (name, last) = end(Reply::text("a b").failed_in_band(1, "server_error")).await;
    assert_eq!(name, "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");

    let (name, last) = end(Reply::text("a b").error_in_band(1, "rate_limit_exceeded")).await;
    assert_eq!(name, "error");
    assert_eq!(last["code"], "rate_limit_exceeded");

    let failed = unary(
        Reply::ok().failed_in_band(0, "invalid_prompt"),
        "/v1/responses",
    )
    .await;
    assert_eq!(
        (failed.status(), &failed.json()["status"]),
        (200, &json!("failed"))
    );
}

#[tokio::test]
async fn responses_pings_are_numbered_with_the_rest() {
    let pinging = Reply::text("a").pings(2, std::time::Duration::from_millis(1));
    let answer = streamed(pinging, "openai-responses").await;
    // The reader checks that the numbers have no gap.
    let seen = Spoken::of("openai-responses").read(&answer.body());
    assert!(seen.unwrap().ended);
    assert_eq!(
        names(&answer)
            .iter()
            .filter(|name| *name == "keepalive")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_background_response_can_be_cancelled() {
    let mock = Mock::start().await.unwrap();
    let answer = post(&mock, "/v1/responses/resp_7/cancel", &json!({}))
        .await
        .json();
    assert_eq!(
        (&answer["id"], &answer["status"]),
        (&json!("resp_7"), &json!("cancelled"))
    );
    assert_eq!(mock.log()[0].path, "/v1/responses/resp_7/cancel");
}

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

#[tokio::test]
async fn gemini_is_the_same_as_sse_and_as_an_array() {
    let mock = with(rich()).await;
    let path = "/v1beta/models/m:streamGenerateContent";
    let array = post(&mock, path, &json!({})).await;
    assert_eq!(
        array.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    let elements = array.json();
    let elements = elements.as_array().unwrap();
    // One piece for each element, and one for the bracket.
    assert_eq!(array.chunks().0.len(), elements.len() + 1);
    let events = post(&mock, &format!("{path}?alt=sse&key=k"), &json!({}))
        .await
        .events();
    assert_eq!(events.len(), elements.len());
    let thought = &events[0]["candidates"][0]["content"]["parts"][0];
    assert_eq!(
        (&thought["thought"], &thought["text"]),
        (&json!(true), &json!("hm"))
    );
    let last = events.last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["usageMetadata"]["thoughtsTokenCount"], 1);
    assert_eq!(mock.log()[1].query.as_deref(), Some("alt=sse&key=k"));

    let whole = post(&mock, "/v1beta/models/m:generateContent", &json!({}))
        .await
        .json();
    let parts = &whole["candidates"][0]["content"]["parts"];
    assert_eq!(parts[1]["text"], "Hi there");
    assert_eq!(parts[2]["functionCall"]["args"]["at"], "sea");
}

#[tokio::test]
async fn gemini_fails_in_an_array_that_is_closed_all_the_same() {
    let mock = with(Reply::text("a b").error_in_band(1, "UNAVAILABLE")).await;
    let array = post(&mock, "/v1beta/models/m:streamGenerateContent", &json!({})).await;
    let last = &array.json()[1]["error"];
    assert_eq!(
        (&last["status"], &last["code"]),
        (&json!("UNAVAILABLE"), &json!(503))
    );
    let limited = unary(Reply::status(429), "/v1beta/models/m:generateContent").await;
    assert_eq!(limited.json()["error"]["status"], "RESOURCE_EXHAUSTED");
}

#[tokio::test]
async fn anthropic_on_vertex_takes_the_model_from_the_path() {
    let mock = with(rich()).await;
    let path = "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict";
    let body = json!({"anthropic_version": "vertex-2023-10-16"});
    let whole = post(&mock, path, &body).await.json();
    assert_eq!(
        (&whole["type"], &whole["model"]),
        (&json!("message"), &json!("m"))
    );
    assert_eq!(mock.attempts("m"), 1);
}

#[tokio::test]
async fn converse_is_frames_of_its_events_in_order() {
    let answer = streamed(rich(), "bedrock").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/vnd.amazon.eventstream")
    );
    assert!(answer.header("x-amzn-requestid").is_some());
    let frames = frames(&answer.body()).unwrap();
    let kinds: Vec<&str> = frames
        .iter()
        .map(|(headers, _)| headers[":event-type"].as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "messageStart",
            "contentBlockDelta",
            "contentBlockDelta",
            "contentBlockStop",
            "contentBlockDelta",
            "contentBlockDelta",
            "contentBlockStop",
            "contentBlockStart",
            "contentBlockDelta",
            "contentBlockStop",
            "messageStop",
            "metadata",
        ]
    );
    assert_eq!(frames[10].1["stopReason"], "tool_use");
    assert_eq!(frames[11].1["usage"]["outputTokens"], 4);
    assert_eq!(frames[8].1["contentBlockIndex"], 2);
}

#[tokio::test]
async fn converse_fails_in_an_exception_frame_or_with_a_named_error() {
    let answer = streamed(
        Reply::text("a b").error_in_band(1, "throttlingException"),
        "bedrock",
    )
    .await;
    let (headers, payload) = frames(&answer.body()).unwrap().pop().unwrap();
    assert_eq!(headers[":message-type"], "exception");
    assert_eq!(headers[":exception-type"], "throttlingException");
    assert!(payload["message"].is_string());
    let limited = unary(Reply::status(429), "/model/m/converse").await;
    assert_eq!(
        limited.header("x-amzn-errortype"),
        Some("throttlingexception")
    );
}

#[tokio::test]
async fn bedrock_ids_are_decoded_and_never_change_the_paths_shape() {
    let mock = Mock::start().await.unwrap();
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.m";
    mock.script(arn, Reply::text("found"));
    let encoded = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.m";
    let found = post(&mock, &format!("/model/{encoded}/converse"), &json!({})).await;
    assert_eq!(
        found.json()["output"]["message"]["content"][0]["text"],
        "found"
    );
    let broken = post(&mock, &format!("/model/{arn}/converse"), &json!({})).await;
    assert_eq!(broken.status(), 404);
    assert_eq!(mock.log()[0].path, format!("/model/{encoded}/converse"));
}

#[tokio::test]
async fn bedrock_wraps_anthropics_events() {
    let answer = streamed(rich(), "bedrock-invoke").await;
    let frames = frames(&answer.body()).unwrap();
    assert!(
        frames
            .iter()
            .all(|(headers, _)| headers[":event-type"] == "chunk")
    );
    let whole = unary(rich(), "/model/m/invoke").await.json();
    assert_eq!(
        (&whole["type"], &whole["model"]),
        (&json!("message"), &json!("m"))
    );
}

#[tokio::test]
async fn cohere_has_its_events_in_order() {
    let answer = streamed(rich(), "cohere").await;
    assert_eq!(
        names(&answer),
        [
            "message-start",
            "content-start",
            "content-delta",
            "content-end",
            "content-start",
            "content-delta",
            "content-delta",
            "content-end",
            "tool-call-start",
            "tool-call-delta",
            "tool-call-end",
            "message-end",
        ]
    );
    let events = answer.events();
    assert_eq!(events[11]["delta"]["finish_reason"], "TOOL_CALL");
    assert_eq!(events[8]["index"], 2);
    let failed = streamed(Reply::text("a b").error_in_band(1, "gone"), "cohere").await;
    let last = failed.events().pop().unwrap();
    assert_eq!(
        (&last["delta"]["finish_reason"], &last["delta"]["error"]),
        (&json!("ERROR"), &json!("gone"))
    );
    let whole = unary(rich(), "/v2/chat").await.json();
    assert_eq!(whole["message"]["content"][1]["text"], "Hi there");
    assert!(whole["usage"]["billed_units"].is_object());
}
