//! OpenAI Responses.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    Cooling, Dialect, OpenAiResponses,
};

use crate::table::{self, HTML, Model, Says};

#[test]
fn statuses_and_codes() {
    table::failures(
        &OpenAiResponses,
        "statuses and codes",
        &[
            (
                "400 of a window",
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                Cooling::None,
            ),
            (
                "400 invalid_prompt",
                400,
                r#"{"error":{"code":"invalid_prompt"}}"#,
                ContentPolicy,
                Some("invalid_prompt"),
                Stop,
                Cooling::None,
            ),
            (
                "400 of an image",
                400,
                r#"{"error":{"code":"invalid_image_format"}}"#,
                Caller,
                Some("invalid_image_format"),
                Stop,
                Cooling::None,
            ),
            (
                "404 model",
                404,
                r#"{"error":{"code":"model_not_found"}}"#,
                ModelGone,
                Some("model_not_found"),
                Skip,
                Cooling::Long,
            ),
            (
                "429 rate limit",
                429,
                r#"{"error":{"code":"rate_limit_exceeded"}}"#,
                RateLimit,
                Some("rate_limit_exceeded"),
                Retry,
                Cooling::Short,
            ),
            (
                "429 quota",
                429,
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Quota,
                Some("insufficient_quota"),
                Skip,
                Cooling::Long,
            ),
            (
                "503",
                503,
                r#"{"error":{"code":"slow_down"}}"#,
                Overloaded,
                Some("slow_down"),
                Retry,
                Cooling::Short,
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
        ],
    );
}

#[test]
fn lifecycle_is_no_progress() {
    table::events(
        &OpenAiResponses,
        "lifecycle is no progress",
        &[
            (
                "response.created",
                "response.created",
                r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","error":null,"incomplete_details":null,"instructions":"a","output":[],"usage":null}}"#,
                Says::Nothing,
            ),
            (
                "response.queued",
                "response.queued",
                r#"{"type":"response.queued","response":{"id":"resp_1","status":"queued"}}"#,
                Says::Nothing,
            ),
            (
                "response.in_progress",
                "response.in_progress",
                r#"{"type":"response.in_progress","response":{"id":"resp_1","status":"in_progress","text":{"format":{"type":"text"}}}}"#,
                Says::Nothing,
            ),
            (
                "response.output_item.added",
                "response.output_item.added",
                r#"{"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[]}}"#,
                Says::Nothing,
            ),
            (
                "a function call is announced",
                "",
                r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}}"#,
                Says::Nothing,
            ),
            (
                "response.content_part.added",
                "response.content_part.added",
                r#"{"type":"response.content_part.added","part":{"type":"output_text","text":""}}"#,
                Says::Nothing,
            ),
            (
                "response.content_part.done",
                "",
                r#"{"type":"response.content_part.done","part":{"type":"output_text","text":"a"}}"#,
                Says::Nothing,
            ),
            (
                "a message is done",
                "",
                r#"{"type":"response.output_item.done","item":{"type":"message","content":[]}}"#,
                Says::Nothing,
            ),
            (
                "text that is empty is done",
                "",
                r#"{"type":"response.output_text.done","text":""}"#,
                Says::Nothing,
            ),
            (
                "an empty delta",
                "",
                r#"{"type":"response.output_text.delta","delta":""}"#,
                Says::Nothing,
            ),
            (
                "keepalive",
                "keepalive",
                r#"{"type":"keepalive","sequence_number":3}"#,
                Says::Nothing,
            ),
            (
                "something new",
                "",
                r#"{"type":"response.something.new"}"#,
                Says::Nothing,
            ),
            ("[DONE] is no evidence", "", "[DONE]", Says::Nothing),
            (
                "the name alone ends it",
                "response.completed",
                "",
                Says::FinishedAndEnded,
            ),
        ],
    );
}

#[test]
fn progress() {
    table::events(
        &OpenAiResponses,
        "progress",
        &[
            (
                "output_text",
                "response.output_text.delta",
                r#"{"type":"response.output_text.delta","item_id":"msg_1","delta":"Hi","logprobs":[]}"#,
                Says::Content,
            ),
            (
                "the name alone tells",
                "response.output_text.delta",
                r#"{"delta":"Hi"}"#,
                Says::Content,
            ),
            (
                "function_call_arguments",
                "",
                r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
                Says::Content,
            ),
            (
                "refusal is an answer",
                "",
                r#"{"type":"response.refusal.delta","delta":"I cannot"}"#,
                Says::Content,
            ),
            (
                "audio",
                "",
                r#"{"type":"response.audio.delta","delta":"UklG"}"#,
                Says::Content,
            ),
            (
                "audio.transcript",
                "",
                r#"{"type":"response.audio.transcript.delta","delta":"a"}"#,
                Says::Content,
            ),
            (
                "custom_tool_call_input",
                "",
                r#"{"type":"response.custom_tool_call_input.delta","delta":"a"}"#,
                Says::Content,
            ),
            (
                "code of an interpreter",
                "",
                r#"{"type":"response.code_interpreter_call_code.delta","delta":"a"}"#,
                Says::Content,
            ),
            (
                "a delta without one",
                "",
                r#"{"type":"response.something.delta"}"#,
                Says::Content,
            ),
            (
                "reasoning_text",
                "",
                r#"{"type":"response.reasoning_text.delta","delta":"hm"}"#,
                Says::Reasoning,
            ),
            (
                "reasoning_summary_text",
                "",
                r#"{"type":"response.reasoning_summary_text.delta","delta":"hm"}"#,
                Says::Reasoning,
            ),
            (
                "a summary is done",
                "",
                r#"{"type":"response.reasoning_summary_text.done","text":"hm"}"#,
                Says::Reasoning,
            ),
            (
                "reasoning that is hidden is done",
                "",
                r#"{"type":"response.output_item.done","item":{"type":"reasoning","encrypted_content":"x"}}"#,
                Says::Reasoning,
            ),
            (
                "a search at work",
                "",
                r#"{"type":"response.web_search_call.searching","item_id":"ws_1"}"#,
                Says::Reasoning,
            ),
            (
                "a search is done",
                "",
                r#"{"type":"response.output_item.done","item":{"type":"web_search_call","status":"completed"}}"#,
                Says::Reasoning,
            ),
            (
                "an interpreter at work",
                "",
                r#"{"type":"response.code_interpreter_call.interpreting"}"#,
                Says::Reasoning,
            ),
            (
                "tools are listed",
                "",
                r#"{"type":"response.mcp_list_tools.in_progress"}"#,
                Says::Reasoning,
            ),
            (
                "part of an image",
                "",
                r#"{"type":"response.image_generation_call.partial_image","partial_image_b64":"a"}"#,
                Says::Content,
            ),
            (
                "text without deltas",
                "",
                r#"{"type":"response.output_text.done","text":"Hi"}"#,
                Says::Content,
            ),
            (
                "a call without deltas",
                "",
                r#"{"type":"response.output_item.done","item":{"type":"function_call","arguments":"{}"}}"#,
                Says::Content,
            ),
        ],
    );
}

#[test]
fn ends() {
    table::events(
        &OpenAiResponses,
        "ends",
        &[
            (
                "response.completed",
                "response.completed",
                r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","error":null,"incomplete_details":null,"usage":{"input_tokens":1,"output_tokens":2}}}"#,
                Says::FinishedAndEnded,
            ),
            (
                "incomplete at a limit",
                "response.incomplete",
                r#"{"type":"response.incomplete","response":{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}"#,
                Says::FinishedAndEnded,
            ),
            (
                "incomplete by a filter",
                "response.incomplete",
                r#"{"type":"response.incomplete","response":{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"content_filter"}}}"#,
                Says::WithheldAndEnded,
            ),
        ],
    );
}

#[test]
fn errors_in_the_stream() {
    table::events(
        &OpenAiResponses,
        "errors in the stream",
        &[
            (
                "server_error",
                "response.failed",
                r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"m"}}}"#,
                Says::Error(Server, Some("server_error")),
            ),
            (
                "rate_limit_exceeded",
                "",
                r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"m"}}}"#,
                Says::Error(RateLimit, Some("rate_limit_exceeded")),
            ),
            (
                "invalid_prompt",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"invalid_prompt"}}}"#,
                Says::Error(ContentPolicy, Some("invalid_prompt")),
            ),
            (
                "invalid_image",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"invalid_image"}}}"#,
                Says::Error(Caller, Some("invalid_image")),
            ),
            (
                "invalid_base64_image",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"invalid_base64_image"}}}"#,
                Says::Error(Caller, Some("invalid_base64_image")),
            ),
            (
                "image_too_large",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"image_too_large"}}}"#,
                Says::Error(Caller, Some("image_too_large")),
            ),
            (
                "unsupported_image_media_type",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"unsupported_image_media_type"}}}"#,
                Says::Error(Caller, Some("unsupported_image_media_type")),
            ),
            (
                "failed_to_download_image",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"failed_to_download_image"}}}"#,
                Says::Error(Caller, Some("failed_to_download_image")),
            ),
            (
                "image_content_policy_violation",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"image_content_policy_violation"}}}"#,
                Says::Error(ContentPolicy, Some("image_content_policy_violation")),
            ),
            (
                "vector_store_timeout",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"vector_store_timeout"}}}"#,
                Says::Error(Timeout, Some("vector_store_timeout")),
            ),
            (
                "of a window",
                "",
                r#"{"type":"response.failed","response":{"error":{"code":"context_length_exceeded"}}}"#,
                Says::Error(ContextTooLong, Some("context_length_exceeded")),
            ),
            (
                "failed without an error",
                "",
                r#"{"type":"response.failed","response":{"status":"failed","error":null}}"#,
                Says::Error(Server, None),
            ),
            (
                "error",
                "error",
                r#"{"type":"error","code":"server_is_overloaded","message":"m","param":null,"sequence_number":2}"#,
                Says::Error(Overloaded, Some("server_is_overloaded")),
            ),
            (
                "error with an object",
                "error",
                r#"{"type":"error","error":{"type":"service_unavailable_error","code":"slow_down","message":"m"},"sequence_number":2}"#,
                Says::Error(Overloaded, Some("slow_down")),
            ),
            (
                "error without a type",
                "",
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Says::Error(Quota, Some("insufficient_quota")),
            ),
            (
                "error that is no JSON",
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
        &OpenAiResponses,
        "whole answers",
        &[
            (
                "completed",
                r#"{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"output":[{"type":"message"}],"text":{"format":{"type":"text"}},"usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,"total_tokens":3}}"#,
                false,
                None,
                (Some("resp_1"), Some((1, 2))),
            ),
            (
                "incomplete at a limit",
                r#"{"id":"resp_1","status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"}}"#,
                false,
                None,
                (Some("resp_1"), None),
            ),
            (
                "incomplete by a filter",
                r#"{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"content_filter"}}"#,
                true,
                None,
                (Some("resp_1"), None),
            ),
            (
                "failed",
                r#"{"id":"resp_1","status":"failed","error":{"code":"rate_limit_exceeded","message":"m"}}"#,
                false,
                Some(RateLimit),
                (Some("resp_1"), None),
            ),
            (
                "failed without an error",
                r#"{"id":"resp_1","status":"failed","error":null}"#,
                false,
                Some(Server),
                (Some("resp_1"), None),
            ),
            (
                "queued in the background",
                r#"{"id":"resp_1","status":"queued","error":null}"#,
                false,
                None,
                (Some("resp_1"), None),
            ),
            (
                "an error in 200",
                r#"{"error":{"code":"server_is_overloaded"}}"#,
                false,
                Some(Overloaded),
                (None, None),
            ),
        ],
    );
}

#[test]
fn model_credentials_ids() {
    let body = r#"{"model":"gpt-5","input":"a","stream":true}"#;
    assert_eq!(
        table::place(&OpenAiResponses, "/v1/responses", body),
        (Model::Body("gpt-5".into()), true)
    );
    table::headers(
        &OpenAiResponses,
        &[
            "authorization",
            "openai-organization",
            "openai-project",
            "api-key",
        ],
        &["openai-beta"],
        &["x-request-id", "apim-request-id"],
    );
    table::event_ids(
        &OpenAiResponses,
        "",
        r#"{"type":"response.created","response":{"id":"resp_1","usage":null}}"#,
        (Some("resp_1"), None),
    );
    table::event_ids(
        &OpenAiResponses,
        "",
        r#"{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":36,"output_tokens":87}}}"#,
        (Some("resp_1"), Some((36, 87))),
    );
    // What the pieces of an answer are called is not what the answer is called.
    table::event_ids(
        &OpenAiResponses,
        "",
        r#"{"type":"response.output_item.added","item":{"id":"msg_1","type":"message"}}"#,
        (None, None),
    );
    assert_eq!(OpenAiResponses.family(), "openai-responses");
}
