//! Anthropic messages.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    AnthropicMessages, Cooling, Dialect,
};

use crate::table::{self, HTML, Model, Says};

const COLD: Cooling = Cooling::None;
const SHORT: Cooling = Cooling::Short;
const LONG: Cooling = Cooling::Long;

#[test]
fn statuses_and_codes() {
    table::failures(
        &AnthropicMessages,
        "statuses and codes",
        &[
            (
                "400 invalid_request_error",
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"},"request_id":"req_1"}"#,
                Caller,
                Some("invalid_request_error"),
                Stop,
                COLD,
            ),
            (
                "400 prompt is too long",
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 200001 tokens > 200000 maximum"}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
                Stop,
                COLD,
            ),
            (
                "400 of a window with max_tokens",
                400,
                r#"{"type":"error","error":{"message":"input length and `max_tokens` exceed context limit: 1","type":"invalid_request_error"}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
                Stop,
                COLD,
            ),
            (
                "400 of an account",
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access"}}"#,
                Quota,
                Some("invalid_request_error"),
                Skip,
                LONG,
            ),
            (
                "400 of a limit that was set",
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-08-01 at 00:00 UTC."}}"#,
                Quota,
                Some("invalid_request_error"),
                Skip,
                LONG,
            ),
            (
                "400 of a filter",
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}"#,
                ContentPolicy,
                Some("invalid_request_error"),
                Stop,
                COLD,
            ),
            (
                "the request quoted",
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"bad value: prompt is too long"}}"#,
                Caller,
                Some("invalid_request_error"),
                Stop,
                COLD,
            ),
            (
                "401 authentication_error",
                401,
                r#"{"type":"error","error":{"type":"authentication_error"}}"#,
                Authentication,
                Some("authentication_error"),
                Skip,
                LONG,
            ),
            (
                "402 billing_error",
                402,
                r#"{"type":"error","error":{"type":"billing_error"}}"#,
                Quota,
                Some("billing_error"),
                Skip,
                LONG,
            ),
            (
                "403 permission_error",
                403,
                r#"{"type":"error","error":{"type":"permission_error"}}"#,
                Authentication,
                Some("permission_error"),
                Skip,
                LONG,
            ),
            (
                "404 not_found_error",
                404,
                r#"{"type":"error","error":{"type":"not_found_error"}}"#,
                ModelGone,
                Some("not_found_error"),
                Skip,
                LONG,
            ),
            (
                "409 conflict_error",
                409,
                r#"{"type":"error","error":{"type":"conflict_error"}}"#,
                Server,
                Some("conflict_error"),
                Retry,
                COLD,
            ),
            (
                "413 of the edge",
                413,
                HTML,
                ContextTooLong,
                None,
                Stop,
                COLD,
            ),
            (
                "413 request_too_large",
                413,
                r#"{"type":"error","error":{"type":"request_too_large"}}"#,
                ContextTooLong,
                Some("request_too_large"),
                Stop,
                COLD,
            ),
            (
                "429 rate_limit_error",
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error"}}"#,
                RateLimit,
                Some("rate_limit_error"),
                Retry,
                SHORT,
            ),
            (
                "429 enforced_spend_limit_reached",
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
                Quota,
                Some("enforced_spend_limit_reached"),
                Skip,
                LONG,
            ),
            (
                "500 api_error",
                500,
                r#"{"type":"error","error":{"type":"api_error"}}"#,
                Server,
                Some("api_error"),
                Retry,
                SHORT,
            ),
            (
                "500 overloaded_error",
                500,
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
                Overloaded,
                Some("overloaded_error"),
                Retry,
                SHORT,
            ),
            (
                "504 timeout_error",
                504,
                r#"{"type":"error","error":{"type":"timeout_error"}}"#,
                Timeout,
                Some("timeout_error"),
                Retry,
                SHORT,
            ),
            (
                "529 overloaded_error",
                529,
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
                Overloaded,
                Some("overloaded_error"),
                Retry,
                SHORT,
            ),
            ("529 alone", 529, "", Overloaded, None, Retry, SHORT),
            ("502 with HTML", 502, HTML, Server, None, Retry, COLD),
            ("520 with HTML", 520, HTML, Server, None, Retry, COLD),
            (
                "500 that mentions a window",
                500,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}"#,
                Server,
                Some("invalid_request_error"),
                Retry,
                SHORT,
            ),
            (
                "500 of a key",
                500,
                r#"{"type":"error","error":{"type":"authentication_error"}}"#,
                Server,
                Some("authentication_error"),
                Retry,
                SHORT,
            ),
            (
                "broken off",
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","mess"#,
                RateLimit,
                Some("rate_limit_error"),
                Retry,
                SHORT,
            ),
        ],
    );
}

#[test]
fn stream_events() {
    table::events(
        &AnthropicMessages,
        "stream events",
        &[
            (
                "message_start",
                "message_start",
                r#"{"type":"message_start","message":{"id":"msg_1","content":[],"stop_reason":null}}"#,
                Says::Nothing,
            ),
            ("ping", "ping", r#"{"type":"ping"}"#, Says::Nothing),
            (
                "content_block_start with empty text",
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                Says::Nothing,
            ),
            (
                "content_block_start of a tool",
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"f","input":{}}}"#,
                Says::Content,
            ),
            (
                "text_delta",
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
                Says::Content,
            ),
            (
                "thinking_delta",
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a"}}"#,
                Says::Reasoning,
            ),
            (
                "input_json_delta",
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}"#,
                Says::Content,
            ),
            (
                "signature_delta",
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"a"}}"#,
                Says::Reasoning,
            ),
            (
                "citations_delta",
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}"#,
                Says::Content,
            ),
            (
                "content_block_stop",
                "content_block_stop",
                r#"{"type":"content_block_stop","index":0}"#,
                Says::Nothing,
            ),
            (
                "message_delta",
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
                Says::Finished,
            ),
            (
                "message_delta before the stop",
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":null}}"#,
                Says::Nothing,
            ),
            (
                "stop_reason refusal",
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#,
                Says::Withheld,
            ),
            (
                "stop_reason model_context_window_exceeded",
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"model_context_window_exceeded"}}"#,
                Says::Finished,
            ),
            (
                "stop_reason pause_turn",
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"pause_turn"}}"#,
                Says::Finished,
            ),
            (
                "message_stop",
                "message_stop",
                r#"{"type":"message_stop"}"#,
                Says::Ended,
            ),
            (
                "overloaded_error",
                "error",
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#,
                Says::Error(Overloaded, Some("overloaded_error")),
            ),
            (
                "rate_limit_error",
                "error",
                r#"{"type":"error","error":{"type":"rate_limit_error"}}"#,
                Says::Error(RateLimit, Some("rate_limit_error")),
            ),
            (
                "api_error",
                "error",
                r#"{"type":"error","error":{"type":"api_error"}}"#,
                Says::Error(Server, Some("api_error")),
            ),
            (
                "an error that is no JSON",
                "error",
                "boom",
                Says::Error(Server, None),
            ),
        ],
    );
}

#[test]
fn whole_answers() {
    table::answers(
        &AnthropicMessages,
        "whole answers",
        &[
            (
                "an answer",
                r#"{"id":"msg_1","type":"message","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#,
                false,
                None,
                (Some("msg_1"), Some((1, 2))),
            ),
            (
                "refusal",
                r#"{"id":"msg_1","type":"message","content":[],"stop_reason":"refusal"}"#,
                true,
                None,
                (Some("msg_1"), None),
            ),
            (
                "model_context_window_exceeded",
                r#"{"id":"msg_1","type":"message","stop_reason":"model_context_window_exceeded"}"#,
                false,
                None,
                (Some("msg_1"), None),
            ),
            (
                "pause_turn",
                r#"{"id":"msg_1","type":"message","stop_reason":"pause_turn"}"#,
                false,
                None,
                (Some("msg_1"), None),
            ),
            (
                "an error in 200",
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
                false,
                Some(Overloaded),
                (None, None),
            ),
        ],
    );
}

#[test]
fn model_credentials_ids() {
    assert_eq!(
        table::place(
            &AnthropicMessages,
            "/v1/messages",
            r#"{"model":"claude-opus-4-6","stream":true}"#
        ),
        (Model::Body("claude-opus-4-6".into()), true)
    );
    table::headers(
        &AnthropicMessages,
        &["x-api-key", "authorization"],
        &["anthropic-version", "anthropic-beta"],
        &["request-id", "x-request-id"],
    );
    table::event_ids(
        &AnthropicMessages,
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":10,"cache_creation_input_tokens":2,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
        (Some("msg_1"), Some((17, 1))),
    );
    assert_eq!(AnthropicMessages.family(), "anthropic-messages");
}
