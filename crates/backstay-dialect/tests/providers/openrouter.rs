//! OpenRouter.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    Cooling, Dialect, OpenRouter,
};

use crate::table::{self, HTML, Model, Says};

#[test]
fn statuses_and_codes() {
    table::failures(
        &OpenRouter,
        "statuses and codes",
        &[
            (
                "400",
                400,
                r#"{"error":{"code":400,"message":"x is not a valid model ID"}}"#,
                Caller,
                Some("400"),
                Stop,
                Cooling::None,
            ),
            (
                "401",
                401,
                r#"{"error":{"code":401,"message":"m"}}"#,
                Authentication,
                Some("401"),
                Skip,
                Cooling::Long,
            ),
            (
                "402 credits",
                402,
                r#"{"error":{"code":402,"message":"m","metadata":{"limit_source":"openrouter_credits"}}}"#,
                Quota,
                Some("402"),
                Skip,
                Cooling::Long,
            ),
            (
                "402 of what is in flight",
                402,
                r#"{"error":{"code":402,"message":"m","metadata":{"error_type":"in_flight_budget_exhausted","limit_source":"openrouter_in_flight_budget"}}}"#,
                RateLimit,
                Some("in_flight_budget_exhausted"),
                Retry,
                Cooling::Short,
            ),
            (
                "403 moderation",
                403,
                r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["violence"],"flagged_input":"…","provider_name":"OpenAI","model_slug":"m"}}}"#,
                ContentPolicy,
                Some("403"),
                Stop,
                Cooling::None,
            ),
            (
                "403 refusal",
                403,
                r#"{"error":{"code":403,"message":"m","metadata":{"error_type":"refusal"}}}"#,
                ContentPolicy,
                Some("refusal"),
                Stop,
                Cooling::None,
            ),
            (
                "403 of a key's limit",
                403,
                r#"{"error":{"code":403,"message":"Key limit exceeded","metadata":{"limit_source":"openrouter_key_limit"}}}"#,
                Quota,
                Some("403"),
                Skip,
                Cooling::Long,
            ),
            (
                "403 without more",
                403,
                r#"{"error":{"code":403,"message":"m"}}"#,
                Authentication,
                Some("403"),
                Skip,
                Cooling::Long,
            ),
            (
                "403 with HTML",
                403,
                HTML,
                Authentication,
                None,
                Skip,
                Cooling::Long,
            ),
            (
                "404",
                404,
                r#"{"error":{"code":404,"message":"No endpoints found"}}"#,
                ModelGone,
                Some("404"),
                Skip,
                Cooling::Long,
            ),
            (
                "408",
                408,
                r#"{"error":{"code":408,"message":"m"}}"#,
                Timeout,
                Some("408"),
                Retry,
                Cooling::None,
            ),
            (
                "413",
                413,
                r#"{"error":{"code":413,"message":"m"}}"#,
                ContextTooLong,
                Some("413"),
                Stop,
                Cooling::None,
            ),
            (
                "429",
                429,
                r#"{"error":{"code":429,"message":"m"}}"#,
                RateLimit,
                Some("429"),
                Retry,
                Cooling::Short,
            ),
            (
                "502 bad upstream",
                502,
                r#"{"error":{"code":502,"message":"m","metadata":{"provider_name":"X","raw":"{}"}}}"#,
                Server,
                Some("502"),
                Retry,
                Cooling::None,
            ),
            (
                "503 no provider",
                503,
                r#"{"error":{"code":503,"message":"m"}}"#,
                Overloaded,
                Some("503"),
                Retry,
                Cooling::Short,
            ),
        ],
    );
}

#[test]
fn what_the_provider_behind_it_said() {
    table::failures(
        &OpenRouter,
        "what the provider behind it said",
        &[
            (
                "a window",
                400,
                r#"{"error":{"code":400,"message":"Provider returned error","metadata":{"provider_name":"OpenAI","raw":"{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}"}}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                Cooling::None,
            ),
            (
                "a filter",
                400,
                r#"{"error":{"code":400,"message":"m","metadata":{"raw":"{\"error\":{\"code\":\"content_filter\"}}","provider_name":"Azure"}}}"#,
                ContentPolicy,
                Some("content_filter"),
                Stop,
                Cooling::None,
            ),
            (
                "quota of one's own key there",
                429,
                r#"{"error":{"code":429,"message":"m","metadata":{"raw":"{\"error\":{\"code\":\"insufficient_quota\"}}"}}}"#,
                Quota,
                Some("insufficient_quota"),
                Skip,
                Cooling::Long,
            ),
            (
                "cut",
                400,
                r#"{"error":{"code":400,"message":"m","metadata":{"raw":"{\"error\":{\"code\":\"context_length_exceeded\",\"mess"}}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                Cooling::None,
            ),
            (
                "no JSON",
                400,
                r#"{"error":{"code":400,"message":"m","metadata":{"raw":"<html>"}}}"#,
                Caller,
                Some("400"),
                Stop,
                Cooling::None,
            ),
            (
                "an outage stays one",
                502,
                r#"{"error":{"code":502,"message":"m","metadata":{"raw":"{\"error\":{\"code\":\"context_length_exceeded\"}}"}}}"#,
                Server,
                Some("context_length_exceeded"),
                Retry,
                Cooling::None,
            ),
        ],
    );
}

#[test]
fn stream_events() {
    table::events(
        &OpenRouter,
        "stream events",
        &[
            (
                "a role",
                "",
                r#"{"id":"gen-1","provider":"X","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                Says::Nothing,
            ),
            (
                "content",
                "",
                r#"{"choices":[{"delta":{"content":"a"}}]}"#,
                Says::Content,
            ),
            (
                "reasoning",
                "",
                r#"{"choices":[{"delta":{"content":"","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}}]}"#,
                Says::Reasoning,
            ),
            (
                "an image",
                "",
                r#"{"choices":[{"delta":{"content":"","images":[{"type":"image_url"}]}}]}"#,
                Says::Content,
            ),
            (
                "finish_reason",
                "",
                r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop","native_finish_reason":"end_turn"}]}"#,
                Says::Finished,
            ),
            (
                "usage with cost",
                "",
                r#"{"choices":[{"delta":{"content":""},"finish_reason":null}],"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":0.1}}"#,
                Says::Nothing,
            ),
            (
                "an error with finish_reason error",
                "",
                r#"{"id":"gen-1","error":{"code":"server_error","message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
                Says::Error(Server, Some("server_error")),
            ),
            (
                "an error with a status",
                "",
                r#"{"id":"gen-1","error":{"code":429,"message":"m"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
                Says::Error(RateLimit, Some("429")),
            ),
            (
                "an error of one choice",
                "",
                r#"{"choices":[{"error":{"code":502,"message":"m"},"delta":{"content":""},"finish_reason":"error"}]}"#,
                Says::Error(Server, Some("502")),
            ),
            ("[DONE]", "", "[DONE]", Says::Ended),
        ],
    );
}

#[test]
fn whole_answers() {
    table::answers(
        &OpenRouter,
        "whole answers",
        &[
            (
                "an answer",
                r#"{"id":"gen-1","choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":0.1}}"#,
                false,
                None,
                (Some("gen-1"), Some((1, 2))),
            ),
            (
                "200 with a top-level error",
                r#"{"error":{"code":502,"message":"m"},"user_id":"u"}"#,
                false,
                Some(Server),
                (None, None),
            ),
            (
                "200 with an error in a choice",
                r#"{"id":"gen-1","choices":[{"error":{"code":429,"message":"m"},"message":{"content":""},"finish_reason":"error"}]}"#,
                false,
                Some(RateLimit),
                (Some("gen-1"), None),
            ),
            (
                "moderation in 200",
                r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["violence"],"flagged_input":"…"}}}"#,
                false,
                Some(ContentPolicy),
                (None, None),
            ),
        ],
    );
}

#[test]
fn model_credentials_ids() {
    let body = r#"{"models":["a/b","c/d"],"model":"openai/gpt-4o"}"#;
    assert_eq!(
        table::place(&OpenRouter, "/api/v1/chat/completions", body),
        (Model::Body("openai/gpt-4o".into()), false)
    );
    table::headers(
        &OpenRouter,
        &["authorization"],
        &["http-referer", "x-title"],
        &["x-generation-id", "x-request-id"],
    );
    assert_eq!(OpenRouter.family(), "openai-chat");
}
