//! Gemini (<https://ai.google.dev/gemini-api/docs/troubleshooting>), with the details that it carries in
//! the body instead of headers.

use super::{ProviderError, row};

pub(super) const ROWS: &[ProviderError] = &[
    row(
        "gemini",
        "rate_limit",
        429,
        &[],
        r#"{"error":{"code":429,"message":"The quota of requests per minute is used up. Please retry in 36.5s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"model":"gemini-2.5-flash","location":"global"},"quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":"limits","url":"https://ai.google.dev/gemini-api/docs/rate-limits"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36.5s"}]}}"#,
    ),
    row(
        "gemini",
        "rate_limit_short",
        429,
        &[],
        r#"{"error":{"code":429,"message":"Too many requests.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"0.2s"}]}}"#,
    ),
    row(
        "gemini",
        "quota",
        429,
        &[],
        r#"{"error":{"code":429,"message":"The quota of requests per day is used up. Please retry in 10h17m5.7s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"250"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37025s"}]}}"#,
    ),
    row(
        "gemini",
        "quota_limit_zero",
        429,
        &[],
        r#"{"error":{"code":429,"message":"The quota is used up: limit: 0","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"0"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"20s"}]}}"#,
    ),
    row(
        "gemini",
        "resource_exhausted_bare",
        429,
        &[],
        r#"{"error":{"code":429,"message":"Resource exhausted.","status":"RESOURCE_EXHAUSTED"}}"#,
    ),
    row(
        "gemini",
        "context_too_long",
        400,
        &[],
        r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
    ),
    row(
        "gemini",
        "invalid_argument",
        400,
        &[],
        r#"{"error":{"code":400,"message":"Unknown name \"temprature\".","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"Unknown name"}]}]}}"#,
    ),
    row(
        "gemini",
        "invalid_api_key",
        400,
        &[],
        r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com","metadata":{"service":"generativelanguage.googleapis.com"}}]}}"#,
    ),
    row(
        "gemini",
        "permission_denied",
        403,
        &[],
        r#"{"error":{"code":403,"message":"The caller does not have permission.","status":"PERMISSION_DENIED"}}"#,
    ),
    row(
        "gemini",
        "not_found",
        404,
        &[],
        r#"{"error":{"code":404,"message":"The model is not found for API version v1beta.","status":"NOT_FOUND"}}"#,
    ),
    row(
        "gemini",
        "internal",
        500,
        &[],
        r#"{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}"#,
    ),
    row(
        "gemini",
        "unavailable",
        503,
        &[],
        r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#,
    ),
    row(
        "gemini",
        "deadline_exceeded",
        504,
        &[],
        r#"{"error":{"code":504,"message":"The deadline was reached first.","status":"DEADLINE_EXCEEDED"}}"#,
    ),
    row(
        "gemini",
        "unavailable_in_array",
        503,
        &[],
        r#"[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]"#,
    ),
    row(
        "gemini",
        "prompt_blocked",
        200,
        &[],
        r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":8,"totalTokenCount":8},"modelVersion":"gemini-2.5-flash"}"#,
    ),
    row(
        "gemini",
        "answer_blocked",
        200,
        &[],
        r#"{"candidates":[{"finishReason":"SAFETY","index":0}],"usageMetadata":{"promptTokenCount":8,"totalTokenCount":8},"modelVersion":"gemini-2.5-flash"}"#,
    ),
];
