//! What is one dialect's own: its events in their order, its documents, its headers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use backstay_mock::{Mock, Reply};
use client::stream::{Spoken, frames, sse};
use client::{Answer, post, streamed, unary, with};
use serde_json::json;

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
