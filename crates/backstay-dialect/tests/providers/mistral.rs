//! Mistral.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    Cooling, Dialect, Mistral,
};

use crate::table::{self, HTML, Model, Says};

#[test]
fn statuses_and_codes() {
    table::failures(
        &Mistral,
        "statuses and codes",
        &[
            (
                "401",
                401,
                r#"{"detail":"Unauthorized"}"#,
                Authentication,
                None,
                Skip,
                Cooling::Long,
            ),
            (
                "402",
                402,
                r#"{"object":"error","message":"m","type":"payment_required","code":"1402"}"#,
                Quota,
                Some("payment_required"),
                Skip,
                Cooling::Long,
            ),
            (
                "422 of pydantic",
                422,
                r#"{"object":"error","message":{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]},"type":"invalid_request_error","param":null,"code":null}"#,
                Caller,
                Some("invalid_request_error"),
                Stop,
                Cooling::None,
            ),
            (
                "422 bare",
                422,
                r#"{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"m"}]}"#,
                Caller,
                None,
                Stop,
                Cooling::None,
            ),
            (
                "429",
                429,
                r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#,
                RateLimit,
                Some("rate_limited"),
                Retry,
                Cooling::Short,
            ),
            (
                "429 capacity",
                429,
                r#"{"object":"error","message":"m","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#,
                Overloaded,
                Some("service_tier_capacity_exceeded"),
                Retry,
                Cooling::Short,
            ),
            (
                "400 model",
                400,
                r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
                ModelGone,
                Some("invalid_model"),
                Skip,
                Cooling::Long,
            ),
            (
                "400 of a window",
                400,
                r#"{"object":"error","message":"Prompt contains 65673 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}"#,
                ContextTooLong,
                Some("invalid_request_error"),
                Stop,
                Cooling::None,
            ),
            (
                "500",
                500,
                r#"{"object":"error","message":"m","type":"internal_server_error","code":"1000"}"#,
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
                r#"{"object":"error","message":"m","type":"server_error"}"#,
                Overloaded,
                Some("server_error"),
                Retry,
                Cooling::Short,
            ),
            ("504", 504, "", Timeout, None, Retry, Cooling::None),
        ],
    );
}

#[test]
fn stream_events() {
    table::events(
        &Mistral,
        "stream events",
        &[
            (
                "a role",
                "",
                r#"{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                Says::Nothing,
            ),
            (
                "content",
                "",
                r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#,
                Says::Content,
            ),
            (
                "thinking, in a list",
                "",
                r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}"#,
                Says::Reasoning,
            ),
            (
                "text, in a list",
                "",
                r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}"#,
                Says::Content,
            ),
            (
                "an empty list",
                "",
                r#"{"choices":[{"delta":{"content":[]}}]}"#,
                Says::Nothing,
            ),
            (
                "usage in the last chunk",
                "",
                r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
                Says::Finished,
            ),
            (
                "finish_reason error",
                "",
                r#"{"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
                Says::Error(Server, Some("error")),
            ),
            (
                "a document that is an error",
                "",
                r#"{"object":"error","message":"m","type":"rate_limited","code":"1300"}"#,
                Says::Error(RateLimit, Some("rate_limited")),
            ),
            ("[DONE]", "", "[DONE]", Says::Ended),
        ],
    );
}

#[test]
fn whole_answers() {
    table::answers(
        &Mistral,
        "whole answers",
        &[
            (
                "an answer",
                r#"{"id":"a1b2","choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
                false,
                None,
                (Some("a1b2"), Some((1, 2))),
            ),
            (
                "finish_reason error",
                r#"{"id":"a1b2","choices":[{"message":{"content":""},"finish_reason":"error"}]}"#,
                false,
                Some(Server),
                (Some("a1b2"), None),
            ),
        ],
    );
}

#[test]
fn model_credentials_ids() {
    assert_eq!(
        table::place(
            &Mistral,
            "/v1/chat/completions",
            r#"{"model":"mistral-large-latest"}"#
        ),
        (Model::Body("mistral-large-latest".into()), false)
    );
    table::headers(
        &Mistral,
        &["authorization"],
        &[],
        &["x-request-id", "mistral-correlation-id"],
    );
    assert_eq!(Mistral.family(), "openai-chat");
}
