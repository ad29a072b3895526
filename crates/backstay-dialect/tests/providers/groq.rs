//! Groq.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    Cooling, Dialect, Groq,
};

use crate::table::{self, HTML, Model, Says};

#[test]
fn statuses_and_codes() {
    table::failures(
        &Groq,
        "statuses and codes",
        &[
            (
                "413 of one request",
                413,
                r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#,
                ContextTooLong,
                Some("rate_limit_exceeded"),
                Stop,
                Cooling::None,
            ),
            (
                "422",
                422,
                r#"{"error":{"message":"m","type":"invalid_request_error"}}"#,
                Caller,
                Some("invalid_request_error"),
                Stop,
                Cooling::None,
            ),
            (
                "424 of a tool elsewhere",
                424,
                r#"{"error":{"message":"m","type":"invalid_request_error"}}"#,
                Caller,
                Some("invalid_request_error"),
                Stop,
                Cooling::None,
            ),
            (
                "429",
                429,
                r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#,
                RateLimit,
                Some("rate_limit_exceeded"),
                Retry,
                Cooling::Short,
            ),
            (
                "498 capacity_exceeded",
                498,
                r#"{"error":{"message":"m","code":"capacity_exceeded"}}"#,
                Overloaded,
                Some("capacity_exceeded"),
                Retry,
                Cooling::Short,
            ),
            (
                "400 of a spend limit",
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"blocked_api_access"}}"#,
                Quota,
                Some("blocked_api_access"),
                Skip,
                Cooling::Long,
            ),
            (
                "400 of a model that is gone",
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"model_decommissioned"}}"#,
                ModelGone,
                Some("model_decommissioned"),
                Skip,
                Cooling::Long,
            ),
            (
                "400 of a window",
                400,
                r#"{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                Cooling::None,
            ),
            (
                "500",
                500,
                r#"{"error":{"message":"m","type":"internal_server_error"}}"#,
                Server,
                Some("internal_server_error"),
                Retry,
                Cooling::None,
            ),
            (
                "502 with HTML",
                502,
                HTML,
                Server,
                None,
                Retry,
                Cooling::None,
            ),
            (
                "503",
                503,
                r#"{"error":{"message":"m","type":"internal_server_error"}}"#,
                Overloaded,
                Some("internal_server_error"),
                Retry,
                Cooling::Short,
            ),
        ],
    );
}

#[test]
fn stream_events() {
    table::events(
        &Groq,
        "stream events",
        &[
            (
                "a role, with Groq's id",
                "",
                r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"x_groq":{"id":"req_1"}}"#,
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
                r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#,
                Says::Reasoning,
            ),
            (
                "tools that it ran",
                "",
                r#"{"choices":[{"delta":{"executed_tools":[{"type":"search"}]}}]}"#,
                Says::Reasoning,
            ),
            (
                "x_groq.usage",
                "",
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"prompt_tokens":1,"completion_tokens":2}}}"#,
                Says::Finished,
            ),
            (
                "x_groq.error",
                "",
                r#"{"choices":[{"delta":{},"finish_reason":null}],"x_groq":{"id":"req_1","error":{"message":"m","type":"internal_server_error"}}}"#,
                Says::Error(Server, Some("internal_server_error")),
            ),
            (
                "x_groq.error in words",
                "",
                r#"{"choices":[],"x_groq":{"error":"over capacity"}}"#,
                Says::Error(Server, None),
            ),
            (
                "no x_groq.error",
                "",
                r#"{"choices":[],"x_groq":{"id":"req_1","error":null}}"#,
                Says::Nothing,
            ),
            ("[DONE]", "", "[DONE]", Says::Ended),
        ],
    );
}

#[test]
fn model_credentials_ids() {
    assert_eq!(
        table::place(
            &Groq,
            "/openai/v1/chat/completions",
            r#"{"model":"llama-3.3-70b-versatile"}"#
        ),
        (Model::Body("llama-3.3-70b-versatile".into()), false)
    );
    table::headers(
        &Groq,
        &["authorization"],
        &[],
        &["x-request-id", "request-id"],
    );
    table::event_ids(
        &Groq,
        "",
        r#"{"id":"chatcmpl-1","choices":[],"x_groq":{"id":"req_1","usage":{"queue_time":0.1,"prompt_tokens":18,"completion_tokens":9,"total_tokens":27,"total_time":0.2}}}"#,
        (Some("chatcmpl-1"), Some((18, 9))),
    );
    assert_eq!(Groq.family(), "openai-chat");
}
