//! Servers that copy OpenAI's chat completions.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    Cooling, Dialect, OpenAiChat, OpenAiCompatible,
};

use crate::table::{self, HTML, Model, Says};

const SELF_HOSTED: OpenAiCompatible = OpenAiCompatible::SELF_HOSTED;

#[test]
fn vllm() {
    table::failures(
        &SELF_HOSTED,
        "vllm, failures",
        &[
            (
                "a window",
                400,
                r#"{"error":{"message":"m","type":"BadRequestError","param":"input_tokens","code":400}}"#,
                ContextTooLong,
                Some("BadRequestError"),
                Stop,
                Cooling::None,
            ),
            (
                "a window, with the answer's length",
                400,
                r#"{"error":{"message":"m","type":"BadRequestError","param":"input_tokens, max_tokens","code":400}}"#,
                ContextTooLong,
                Some("BadRequestError"),
                Stop,
                Cooling::None,
            ),
            (
                "a window, of older versions",
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested","type":"BadRequestError","param":null,"code":400}"#,
                ContextTooLong,
                Some("BadRequestError"),
                Stop,
                Cooling::None,
            ),
            (
                "another 400",
                400,
                r#"{"object":"error","message":"m","type":"BadRequestError","param":"max_tokens","code":400}"#,
                Caller,
                Some("BadRequestError"),
                Stop,
                Cooling::None,
            ),
            (
                "404 model",
                404,
                r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
                ModelGone,
                Some("NotFoundError"),
                Skip,
                Cooling::Long,
            ),
            (
                "500",
                500,
                r#"{"object":"error","message":"m","type":"InternalServerError","code":500}"#,
                Server,
                Some("InternalServerError"),
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
        ],
    );
    table::events(
        &SELF_HOSTED,
        "vllm, events",
        &[
            (
                "a role",
                "",
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
                Says::Nothing,
            ),
            (
                "reasoning_content",
                "",
                r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
                Says::Reasoning,
            ),
            (
                "an error",
                "",
                r#"{"error":{"message":"m","type":"InternalServerError","param":null,"code":500}}"#,
                Says::Error(Server, Some("InternalServerError")),
            ),
            (
                "an error of the request",
                "",
                r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
                Says::Error(Caller, Some("BadRequestError")),
            ),
            (
                "the engine gave up",
                "",
                r#"{"choices":[{"delta":{"content":""},"finish_reason":"abort"}]}"#,
                Says::Error(Server, Some("abort")),
            ),
            ("[DONE]", "", "[DONE]", Says::Ended),
        ],
    );
}

#[test]
fn llama_cpp() {
    table::failures(
        &SELF_HOSTED,
        "llama cpp, failures",
        &[
            (
                "a window",
                400,
                r#"{"error":{"code":400,"message":"m","type":"exceed_context_size_error","n_prompt_tokens":10,"n_ctx":8}}"#,
                ContextTooLong,
                Some("exceed_context_size_error"),
                Stop,
                Cooling::None,
            ),
            (
                "503 while it loads",
                503,
                r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
                Overloaded,
                Some("unavailable_error"),
                Retry,
                Cooling::Short,
            ),
            (
                "404",
                404,
                r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#,
                ModelGone,
                Some("not_found_error"),
                Skip,
                Cooling::Long,
            ),
            (
                "401",
                401,
                r#"{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}"#,
                Authentication,
                Some("authentication_error"),
                Skip,
                Cooling::Long,
            ),
            (
                "501",
                501,
                r#"{"error":{"code":501,"message":"m","type":"not_supported_error"}}"#,
                Unknown,
                Some("not_supported_error"),
                Skip,
                Cooling::None,
            ),
        ],
    );
    table::events(
        &SELF_HOSTED,
        "llama cpp, events",
        &[(
            "an error",
            "",
            r#"{"error":{"code":500,"message":"m","type":"server_error"}}"#,
            Says::Error(Server, Some("server_error")),
        )],
    );
}

#[test]
fn ollama() {
    table::failures(
        &SELF_HOSTED,
        "ollama, failures",
        &[
            (
                "404 model",
                404,
                r#"{"error":{"message":"model 'x' not found","type":"not_found_error","param":null,"code":null}}"#,
                ModelGone,
                Some("not_found_error"),
                Skip,
                Cooling::Long,
            ),
            (
                "a window",
                400,
                r#"{"error":{"message":"prompt too long; exceeded max context length by 4096 tokens","type":"invalid_request_error"}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
                Stop,
                Cooling::None,
            ),
            (
                "a sentence",
                500,
                r#"{"error":"llama runner process has terminated"}"#,
                Server,
                None,
                Retry,
                Cooling::None,
            ),
            (
                "503 of a full queue",
                503,
                r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
                Overloaded,
                None,
                Retry,
                Cooling::Short,
            ),
        ],
    );
    table::events(
        &SELF_HOSTED,
        "ollama, events",
        &[(
            "a sentence",
            "",
            r#"{"error":"an error was encountered while running the model"}"#,
            Says::Error(Server, None),
        )],
    );
}

#[test]
fn sglang() {
    table::failures(
        &SELF_HOSTED,
        "sglang, failures",
        &[
            (
                "a window",
                400,
                r#"{"object":"error","message":"Requested token count exceeds the model's maximum context length of 8192 tokens.","type":"BadRequestError","param":null,"code":400}"#,
                ContextTooLong,
                Some("BadRequestError"),
                Stop,
                Cooling::None,
            ),
            (
                "503",
                503,
                r#"{"object":"error","message":"The request queue is full.","type":"service_unavailable_error","code":503}"#,
                Overloaded,
                Some("service_unavailable_error"),
                Retry,
                Cooling::Short,
            ),
        ],
    );
    table::events(
        &SELF_HOSTED,
        "sglang, events",
        &[
            (
                "an error",
                "",
                r#"{"error":{"object":"error","message":"m","type":"InternalServerError","param":null,"code":500}}"#,
                Says::Error(Server, Some("InternalServerError")),
            ),
            (
                "the engine gave up",
                "",
                r#"{"choices":[{"delta":{},"finish_reason":"abort"}]}"#,
                Says::Error(Server, Some("abort")),
            ),
        ],
    );
}

#[test]
fn text_generation_inference() {
    table::failures(
        &SELF_HOSTED,
        "text generation inference, failures",
        &[
            (
                "a window",
                422,
                r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000","error_type":"validation"}"#,
                ContextTooLong,
                Some("validation"),
                Stop,
                Cooling::None,
            ),
            (
                "another 422",
                422,
                r#"{"error":"Input validation error: `temperature` must be strictly positive","error_type":"validation"}"#,
                Caller,
                Some("validation"),
                Stop,
                Cooling::None,
            ),
            (
                "424 generation",
                424,
                r#"{"error":"Request failed during generation","error_type":"generation"}"#,
                Server,
                Some("generation"),
                Retry,
                Cooling::None,
            ),
            (
                "429 overloaded",
                429,
                r#"{"error":"Model is overloaded","error_type":"overloaded"}"#,
                Overloaded,
                Some("overloaded"),
                Retry,
                Cooling::Short,
            ),
        ],
    );
    table::events(
        &SELF_HOSTED,
        "text generation inference, events",
        &[
            (
                "an error",
                "",
                r#"{"error":{"message":"Request failed during generation","http_status_code":424}}"#,
                Says::Error(Server, Some("424")),
            ),
            (
                "an error of older versions",
                "",
                r#"{"error":"Request failed during generation","error_type":"generation"}"#,
                Says::Error(Server, Some("generation")),
            ),
        ],
    );
}

#[test]
fn together() {
    table::failures(
        &OpenAiCompatible::TOGETHER,
        "together, failures",
        &[
            (
                "403 of a window",
                403,
                r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":null}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
                Stop,
                Cooling::None,
            ),
            (
                "403 with HTML is the edge's",
                403,
                HTML,
                Authentication,
                None,
                Skip,
                Cooling::Long,
            ),
            (
                "402 credit",
                402,
                r#"{"error":{"message":"m","type":"credit_limit"}}"#,
                Quota,
                Some("credit_limit"),
                Skip,
                Cooling::Long,
            ),
            (
                "401",
                401,
                r#"{"error":{"code":"invalid_api_key"}}"#,
                Authentication,
                Some("invalid_api_key"),
                Skip,
                Cooling::Long,
            ),
            ("429", 429, "", RateLimit, None, Retry, Cooling::Short),
            (
                "503",
                503,
                r#"{"error":{"message":"m","type":"service_unavailable"}}"#,
                Overloaded,
                Some("service_unavailable"),
                Retry,
                Cooling::Short,
            ),
        ],
    );
}

#[test]
fn cerebras() {
    table::failures(
        &OpenAiCompatible::CEREBRAS,
        "cerebras, failures",
        &[
            (
                "429 of a rate, called a quota",
                429,
                r#"{"message":"m","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#,
                RateLimit,
                Some("request_quota_exceeded"),
                Retry,
                Cooling::Short,
            ),
            (
                "429 of tokens",
                429,
                r#"{"message":"m","type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}"#,
                RateLimit,
                Some("token_quota_exceeded"),
                Retry,
                Cooling::Short,
            ),
            (
                "429 of a queue",
                429,
                r#"{"message":"m","type":"too_many_requests_error","param":"queue","code":"queue_exceeded"}"#,
                Overloaded,
                Some("queue_exceeded"),
                Retry,
                Cooling::Short,
            ),
            ("402", 402, "", Quota, None, Skip, Cooling::Long),
            (
                "a window",
                400,
                r#"{"message":"m","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                Cooling::None,
            ),
        ],
    );
}

#[test]
fn xai() {
    table::failures(
        &OpenAiCompatible::XAI,
        "xai, failures",
        &[
            (
                "a window",
                400,
                r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 500000 tokens."}"#,
                ContextTooLong,
                None,
                Stop,
                Cooling::None,
            ),
            (
                "a key told by a 400",
                400,
                r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***"}"#,
                Authentication,
                None,
                Skip,
                Cooling::Long,
            ),
            (
                "403 of an account",
                403,
                r#"{"code":"The caller does not have permission to execute the specified operation","error":"m"}"#,
                Authentication,
                None,
                Skip,
                Cooling::Long,
            ),
            (
                "429",
                429,
                r#"{"code":"Some resource has been exhausted","error":"m"}"#,
                RateLimit,
                None,
                Retry,
                Cooling::Short,
            ),
        ],
    );
}

#[test]
fn deepseek() {
    let deepseek = OpenAiCompatible::DEEPSEEK;
    table::failures(
        &deepseek,
        "deepseek, failures",
        &[
            (
                "402",
                402,
                r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
                Quota,
                Some("invalid_request_error"),
                Skip,
                Cooling::Long,
            ),
            (
                "a window",
                400,
                r#"{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 131134","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
                Stop,
                Cooling::None,
            ),
            ("429", 429, "", RateLimit, None, Retry, Cooling::Short),
            (
                "503",
                503,
                r#"{"error":{"message":"m"}}"#,
                Overloaded,
                None,
                Retry,
                Cooling::Short,
            ),
        ],
    );
    table::events(
        &deepseek,
        "deepseek, events",
        &[
            (
                "reasoning_content",
                "",
                r#"{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}"#,
                Says::Reasoning,
            ),
            (
                "it ran out of resources",
                "",
                r#"{"choices":[{"delta":{},"finish_reason":"insufficient_system_resource"}]}"#,
                Says::Error(Overloaded, Some("insufficient_system_resource")),
            ),
        ],
    );
    table::answers(
        &deepseek,
        "deepseek, answers",
        &[
            (
                "blank lines while it waits",
                "\n\n\n{\"id\":\"a\",\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}",
                false,
                None,
                (Some("a"), None),
            ),
            (
                "it ran out of resources",
                r#"{"id":"a","choices":[{"finish_reason":"insufficient_system_resource"}]}"#,
                false,
                Some(Overloaded),
                (Some("a"), None),
            ),
        ],
    );
}

#[test]
fn one_of_your_own() {
    const OURS: OpenAiCompatible = OpenAiCompatible::new("ours", "acme")
        .with_statuses(&[(418, Overloaded), (500, ContextTooLong)])
        .with_words(&[("queue_full", Overloaded), ("broke", Quota)]);
    table::failures(
        &OURS,
        "one of your own, failures",
        &[
            ("a status", 418, "", Overloaded, None, Retry, Cooling::Short),
            (
                "a status of a page",
                418,
                HTML,
                Caller,
                None,
                Stop,
                Cooling::None,
            ),
            (
                "a word",
                400,
                r#"{"error":{"code":"queue_full"}}"#,
                Overloaded,
                Some("queue_full"),
                Retry,
                Cooling::Short,
            ),
            (
                "a word of quota before one of rate",
                429,
                r#"{"error":{"code":"rate_limit_exceeded","type":"broke"}}"#,
                Quota,
                Some("rate_limit_exceeded"),
                Skip,
                Cooling::Long,
            ),
            (
                "a word does not excuse a 5xx",
                502,
                r#"{"error":{"code":"broke"}}"#,
                Server,
                Some("broke"),
                Retry,
                Cooling::None,
            ),
            (
                "the words of OpenAI stay",
                400,
                r#"{"error":{"code":"content_filter"}}"#,
                ContentPolicy,
                Some("content_filter"),
                Stop,
                Cooling::None,
            ),
        ],
    );
    assert_eq!((OURS.name(), OURS.provider()), ("ours", "acme"));
}

#[test]
fn model_credentials_ids() {
    for dialect in [
        SELF_HOSTED,
        OpenAiCompatible::TOGETHER,
        OpenAiCompatible::CEREBRAS,
        OpenAiCompatible::XAI,
        OpenAiCompatible::DEEPSEEK,
    ] {
        let body = r#"{"model":"m","stream":true}"#;
        assert_eq!(
            table::place(&dialect, "/v1/chat/completions", body),
            (Model::Body("m".into()), true)
        );
        table::headers(
            &dialect,
            &["authorization"],
            &[],
            &["x-request-id", "request-id"],
        );
        // So that a call may fall back from any of them to any other.
        assert_eq!(dialect.family(), OpenAiChat.family());
    }
}
