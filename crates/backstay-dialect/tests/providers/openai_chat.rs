//! OpenAI chat completions.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    Cooling, Dialect, OVERLOADED_LEAST_WAIT, OpenAiChat,
};

use crate::table::{self, HTML, Model, Says};

const COLD: Cooling = Cooling::None;
const SHORT: Cooling = Cooling::Short;
const LONG: Cooling = Cooling::Long;

#[test]
fn statuses_and_codes() {
    table::failures(
        &OpenAiChat,
        "statuses and codes",
        &[
            (
                "400 context_length_exceeded",
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                COLD,
            ),
            (
                "400 content_policy_violation",
                400,
                r#"{"error":{"code":"content_policy_violation"}}"#,
                ContentPolicy,
                Some("content_policy_violation"),
                Stop,
                COLD,
            ),
            (
                "400 content_filter",
                400,
                r#"{"error":{"code":"content_filter"}}"#,
                ContentPolicy,
                Some("content_filter"),
                Stop,
                COLD,
            ),
            (
                "400 invalid_prompt",
                400,
                r#"{"error":{"code":"invalid_prompt"}}"#,
                ContentPolicy,
                Some("invalid_prompt"),
                Stop,
                COLD,
            ),
            (
                "400 bio_policy",
                400,
                r#"{"error":{"code":"bio_policy"}}"#,
                ContentPolicy,
                Some("bio_policy"),
                Stop,
                COLD,
            ),
            (
                "other 400",
                400,
                r#"{"error":{"type":"invalid_request_error","code":null}}"#,
                Caller,
                Some("invalid_request_error"),
                Stop,
                COLD,
            ),
            (
                "404 model",
                404,
                r#"{"error":{"code":"model_not_found","type":"invalid_request_error"}}"#,
                ModelGone,
                Some("model_not_found"),
                Skip,
                LONG,
            ),
            (
                "413",
                413,
                r#"{"error":{"type":"invalid_request_error"}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
                Stop,
                COLD,
            ),
            (
                "422",
                422,
                r#"{"detail":[{"loc":["body"],"msg":"x"}]}"#,
                Caller,
                None,
                Stop,
                COLD,
            ),
            (
                "401",
                401,
                r#"{"error":{"code":"invalid_api_key"}}"#,
                Authentication,
                Some("invalid_api_key"),
                Skip,
                LONG,
            ),
            (
                "403",
                403,
                r#"{"error":{"code":"unsupported_country_region_territory"}}"#,
                Authentication,
                Some("unsupported_country_region_territory"),
                Skip,
                LONG,
            ),
            (
                "429 rate_limit_exceeded",
                429,
                r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#,
                RateLimit,
                Some("rate_limit_exceeded"),
                Retry,
                SHORT,
            ),
            (
                "429 insufficient_quota",
                429,
                r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Quota,
                Some("insufficient_quota"),
                Skip,
                LONG,
            ),
            (
                "quota is told before rate limit",
                429,
                r#"{"error":{"type":"insufficient_quota","code":"rate_limit_exceeded"}}"#,
                Quota,
                Some("rate_limit_exceeded"),
                Skip,
                LONG,
            ),
            (
                "429 credit_balance_exhausted",
                429,
                r#"{"error":{"code":"credit_balance_exhausted"}}"#,
                Quota,
                Some("credit_balance_exhausted"),
                Skip,
                LONG,
            ),
            (
                "429 organization_spend_limit_exceeded",
                429,
                r#"{"error":{"code":"organization_spend_limit_exceeded"}}"#,
                Quota,
                Some("organization_spend_limit_exceeded"),
                Skip,
                LONG,
            ),
            (
                "429 project_spend_limit_exceeded",
                429,
                r#"{"error":{"code":"project_spend_limit_exceeded"}}"#,
                Quota,
                Some("project_spend_limit_exceeded"),
                Skip,
                LONG,
            ),
            (
                "429 organization_usage_limit_exceeded",
                429,
                r#"{"error":{"code":"organization_usage_limit_exceeded"}}"#,
                Quota,
                Some("organization_usage_limit_exceeded"),
                Skip,
                LONG,
            ),
            (
                "429 billing_hard_limit_reached",
                429,
                r#"{"error":{"code":"billing_hard_limit_reached"}}"#,
                Quota,
                Some("billing_hard_limit_reached"),
                Skip,
                LONG,
            ),
            ("409", 409, "", Server, None, Retry, COLD),
            ("408", 408, "", Timeout, None, Retry, COLD),
            (
                "500",
                500,
                r#"{"error":{"type":"server_error"}}"#,
                Server,
                Some("server_error"),
                Retry,
                COLD,
            ),
            ("502", 502, HTML, Server, None, Retry, COLD),
            ("504", 504, "", Timeout, None, Retry, COLD),
            (
                "503 slow_down",
                503,
                r#"{"error":{"type":"slow_down"}}"#,
                Overloaded,
                Some("slow_down"),
                Retry,
                SHORT,
            ),
            (
                "503 server_is_overloaded",
                503,
                r#"{"error":{"type":"service_unavailable_error","code":"server_is_overloaded"}}"#,
                Overloaded,
                Some("server_is_overloaded"),
                Retry,
                SHORT,
            ),
            (
                "503 the engine is currently overloaded",
                503,
                r#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#,
                Overloaded,
                Some("server_error"),
                Retry,
                SHORT,
            ),
        ],
    );
}

#[test]
fn proxies_in_front_of_it() {
    table::failures(
        &OpenAiChat,
        "proxies in front of it",
        &[
            ("499", 499, "", Caller, None, Stop, COLD),
            ("502 with HTML", 502, HTML, Server, None, Retry, COLD),
            ("503 with HTML", 503, HTML, Overloaded, None, Retry, SHORT),
            ("504 with HTML", 504, HTML, Timeout, None, Retry, COLD),
            ("520", 520, HTML, Server, None, Retry, COLD),
            ("522", 522, HTML, Server, None, Retry, COLD),
            ("527", 527, HTML, Server, None, Retry, COLD),
            ("413 with HTML", 413, HTML, ContextTooLong, None, Stop, COLD),
            ("a redirect", 307, "", Unknown, None, Skip, COLD),
            ("501", 501, "", Unknown, None, Skip, COLD),
        ],
    );
}

#[test]
fn a_body_narrows_a_4xx_and_never_turns_a_5xx_into_somebody_elses_fault() {
    table::failures(
        &OpenAiChat,
        "a body narrows a 4xx and never turns a 5xx into somebody elses fault",
        &[
            (
                "a key told by a 400",
                400,
                r#"{"error":{"code":"invalid_api_key"}}"#,
                Authentication,
                Some("invalid_api_key"),
                Skip,
                LONG,
            ),
            (
                "a model told by a 403",
                403,
                r#"{"error":{"code":"model_not_found"}}"#,
                ModelGone,
                Some("model_not_found"),
                Skip,
                LONG,
            ),
            (
                "load told by a 429",
                429,
                r#"{"error":{"code":"engine_overloaded"}}"#,
                Overloaded,
                Some("engine_overloaded"),
                Retry,
                SHORT,
            ),
            (
                "load told by a 500",
                500,
                r#"{"error":{"code":"server_is_overloaded"}}"#,
                Overloaded,
                Some("server_is_overloaded"),
                Retry,
                SHORT,
            ),
            (
                "no wait refills an account",
                402,
                r#"{"error":{"code":"rate_limit_exceeded"}}"#,
                Quota,
                Some("rate_limit_exceeded"),
                Skip,
                LONG,
            ),
            (
                "one request above the limit",
                413,
                r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#,
                ContextTooLong,
                Some("rate_limit_exceeded"),
                Stop,
                COLD,
            ),
            (
                "an image does not explain a 429",
                429,
                r#"{"error":{"code":"image_too_large"}}"#,
                RateLimit,
                Some("image_too_large"),
                Retry,
                SHORT,
            ),
            (
                "500 of a window",
                500,
                r#"{"error":{"code":"context_length_exceeded"}}"#,
                Server,
                Some("context_length_exceeded"),
                Retry,
                COLD,
            ),
            (
                "500 with the sentence of a window",
                500,
                r#"{"error":{"message":"This model's maximum context length is 1 tokens"}}"#,
                Server,
                None,
                Retry,
                COLD,
            ),
            (
                "500 of a filter",
                500,
                r#"{"error":{"code":"content_filter"}}"#,
                Server,
                Some("content_filter"),
                Retry,
                COLD,
            ),
            (
                "500 of an image",
                500,
                r#"{"error":{"code":"invalid_image"}}"#,
                Server,
                Some("invalid_image"),
                Retry,
                COLD,
            ),
            (
                "502 of a key",
                502,
                r#"{"error":{"code":"invalid_api_key"}}"#,
                Server,
                Some("invalid_api_key"),
                Retry,
                COLD,
            ),
            (
                "500 of a quota",
                500,
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Server,
                Some("insufficient_quota"),
                Retry,
                COLD,
            ),
            (
                "500 of a request",
                500,
                r#"{"error":{"type":"invalid_request_error"}}"#,
                Server,
                Some("invalid_request_error"),
                Retry,
                COLD,
            ),
        ],
    );
}

#[test]
fn shapes_that_an_error_document_may_have() {
    table::failures(
        &OpenAiChat,
        "shapes that an error document may have",
        &[
            (
                "a document that is an error",
                429,
                r#"{"object":"error","message":"m","type":"rate_limit_error","code":"1300"}"#,
                RateLimit,
                Some("rate_limit_error"),
                Retry,
                SHORT,
            ),
            (
                "a code beside a sentence",
                429,
                r#"{"code":"insufficient_quota","error":"m"}"#,
                Quota,
                Some("insufficient_quota"),
                Skip,
                LONG,
            ),
            (
                "in an array",
                429,
                r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
                RateLimit,
                Some("RESOURCE_EXHAUSTED"),
                Retry,
                SHORT,
            ),
            (
                "a number for a code",
                429,
                r#"{"error":{"code":429,"message":"m"}}"#,
                RateLimit,
                Some("429"),
                Retry,
                SHORT,
            ),
            (
                "a sentence",
                400,
                r#"{"error":"You said: hi"}"#,
                Caller,
                None,
                Stop,
                COLD,
            ),
            (
                "a sentence for a code",
                400,
                r#"{"error":{"code":"You said: hi"}}"#,
                Caller,
                None,
                Stop,
                COLD,
            ),
            (
                "escapes",
                400,
                r#"{"error":{"\u0063ode":"context_\u006cength_exceeded"}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                COLD,
            ),
            (
                "broken off",
                400,
                r#"{"error":{"code":"context_length_exceeded","message":"This model's max"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                COLD,
            ),
            (
                "words that stand elsewhere",
                400,
                r#"{"error":{"message":"insufficient_quota","param":{"code":"insufficient_quota"}}}"#,
                Caller,
                None,
                Stop,
                COLD,
            ),
            (
                "the request quoted",
                400,
                r#"{"error":{"message":"bad: This model's maximum context length is"}}"#,
                Caller,
                None,
                Stop,
                COLD,
            ),
        ],
    );
}

#[test]
fn a_provider_that_says_it_is_overloaded_is_left_alone_for_longer() {
    for (status, body, wait) in [
        (503, r#"{"error":{"type":"slow_down"}}"#, true),
        (503, r#"{"error":{"code":"server_is_overloaded"}}"#, true),
        (
            503,
            r#"{"error":{"message":"m","type":"server_error"}}"#,
            true,
        ),
        (429, r#"{"error":{"code":"engine_overloaded"}}"#, true),
        (503, HTML, false),
        (503, "", false),
        (500, r#"{"error":{"type":"server_error"}}"#, false),
        (429, r#"{"error":{"code":"rate_limit_exceeded"}}"#, false),
    ] {
        let least = table::least_wait(&OpenAiChat, status, body);
        assert_eq!(least == OVERLOADED_LEAST_WAIT, wait, "{status} {body}");
        assert_eq!(least.is_zero(), !wait, "{status} {body}");
    }
}

#[test]
fn stream_events() {
    table::events(
        &OpenAiChat,
        "stream events",
        &[
            (
                "a role",
                "",
                r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                Says::Nothing,
            ),
            (
                "usage alone",
                "",
                r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
                Says::Nothing,
            ),
            (
                "content",
                "",
                r#"{"choices":[{"delta":{"content":"a"}}]}"#,
                Says::Content,
            ),
            (
                "tool calls",
                "",
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#,
                Says::Content,
            ),
            (
                "a refusal is an answer",
                "",
                r#"{"choices":[{"delta":{"refusal":"I cannot"}}]}"#,
                Says::Content,
            ),
            (
                "reasoning_content",
                "",
                r#"{"choices":[{"delta":{"reasoning_content":"hm","content":""}}]}"#,
                Says::Reasoning,
            ),
            (
                "reasoning",
                "",
                r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#,
                Says::Reasoning,
            ),
            (
                "finish_reason",
                "",
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
                Says::Finished,
            ),
            (
                "finish_reason with the last word",
                "",
                r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"length"}]}"#,
                Says::Last,
            ),
            (
                "finish_reason content_filter",
                "",
                r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#,
                Says::Withheld,
            ),
            ("[DONE]", "", "[DONE]", Says::Ended),
            ("[DONE] is a prefix", "", "[DONE] ", Says::Ended),
            (
                "an error",
                "",
                r#"{"error":{"message":"m","type":"server_error","code":null}}"#,
                Says::Error(Server, Some("server_error")),
            ),
            (
                "an error that says quota",
                "",
                r#"{"error":{"type":"insufficient_quota"}}"#,
                Says::Error(Quota, Some("insufficient_quota")),
            ),
            (
                "an event of that name",
                "error",
                r#"{"message":"m","code":"slow_down"}"#,
                Says::Error(Overloaded, Some("slow_down")),
            ),
            ("no JSON", "", "hello", Says::Nothing),
        ],
    );
}

#[test]
fn whole_answers() {
    table::answers(
        &OpenAiChat,
        "whole answers",
        &[
            (
                "an answer",
                r#"{"id":"chatcmpl-1","error":null,"choices":[{"message":{"content":"{\"error\":1}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
                false,
                None,
                (Some("chatcmpl-1"), Some((1, 2))),
            ),
            (
                "a refusal is an answer",
                r#"{"id":"chatcmpl-1","choices":[{"message":{"content":null,"refusal":"I cannot"},"finish_reason":"stop"}]}"#,
                false,
                None,
                (Some("chatcmpl-1"), None),
            ),
            (
                "withheld",
                r#"{"id":"chatcmpl-1","choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}"#,
                true,
                None,
                (Some("chatcmpl-1"), None),
            ),
            (
                "an error in 200",
                r#"{"error":{"code":429}}"#,
                false,
                Some(RateLimit),
                (None, None),
            ),
        ],
    );
}

#[test]
fn model_credentials_ids() {
    let body = r#"{"messages":[{"model":"x"}],"model":"gpt-4o","stream":true}"#;
    assert_eq!(
        table::place(&OpenAiChat, "/v1/chat/completions", body),
        (Model::Body("gpt-4o".into()), true)
    );
    table::headers(
        &OpenAiChat,
        &[
            "authorization",
            "openai-organization",
            "openai-project",
            "cookie",
        ],
        &["openai-beta"],
        &["x-request-id", "request-id"],
    );
    table::event_ids(
        &OpenAiChat,
        "",
        r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":7}}}"#,
        (Some("chatcmpl-1"), Some((12, 34))),
    );
    assert_eq!(OpenAiChat.family(), "openai-chat");
}
