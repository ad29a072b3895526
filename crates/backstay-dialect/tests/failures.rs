//! What answers outside of 2xx mean, a row of the providers' tables at a time.

use std::time::{Duration, SystemTime};

use backstay_dialect::{
    Action, Answer, AnthropicMessages, Dialect, Failure, FailureClass, OpenAiChat, Plain,
};
use http::{HeaderMap, HeaderValue, StatusCode};

fn classify(dialect: &dyn Dialect, status: u16, body: &str) -> Failure {
    dialect.classify(&Answer {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
        now: SystemTime::UNIX_EPOCH,
    })
}

fn check(dialect: &dyn Dialect, rows: &[(u16, &str, FailureClass, Option<&str>)]) {
    for &(status, body, class, code) in rows {
        let failure = classify(dialect, status, body);
        assert_eq!(failure.class, class, "{status} {body}");
        assert_eq!(failure.code.as_deref(), code, "{status} {body}");
    }
}

const HTML: &str = "<html><head><title>502 Bad Gateway</title></head></html>";

#[test]
fn openai() {
    use FailureClass::*;
    check(
        &OpenAiChat,
        &[
            // The status alone.
            (400, "", Caller, None),
            (401, "", Authentication, None),
            (402, "", Quota, None),
            (403, "", Authentication, None),
            (404, "", ModelGone, None),
            (408, "", Timeout, None),
            (409, "", Server, None),
            (413, HTML, ContextTooLong, None),
            (
                422,
                r#"{"detail":[{"loc":["body"],"msg":"x"}]}"#,
                Caller,
                None,
            ),
            (429, "", RateLimit, None),
            (498, "", Overloaded, None),
            (500, "", Server, None),
            (501, "", Unknown, None),
            (502, HTML, Server, None),
            (503, HTML, Overloaded, None),
            (504, "", Timeout, None),
            (520, HTML, Server, None),
            (307, "", Unknown, None),
            // The body narrows a 4xx.
            (
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
            ),
            (
                400,
                r#"{"error":{"type":"exceed_context_size_error","code":400,"n_ctx":4096}}"#,
                ContextTooLong,
                Some("exceed_context_size_error"),
            ),
            (
                400,
                r#"{"error":{"code":"content_policy_violation"}}"#,
                ContentPolicy,
                Some("content_policy_violation"),
            ),
            (
                400,
                r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                ContentPolicy,
                Some("content_filter"),
            ),
            (
                400,
                r#"{"error":{"code":"invalid_prompt"}}"#,
                ContentPolicy,
                Some("invalid_prompt"),
            ),
            (
                400,
                r#"{"error":{"code":"bio_policy"}}"#,
                ContentPolicy,
                Some("bio_policy"),
            ),
            (
                400,
                r#"{"error":{"code":"invalid_api_key"}}"#,
                Authentication,
                Some("invalid_api_key"),
            ),
            (
                403,
                r#"{"error":{"code":"model_not_found"}}"#,
                ModelGone,
                Some("model_not_found"),
            ),
            (
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#,
                ModelGone,
                Some("DeploymentNotFound"),
            ),
            (
                400,
                r#"{"error":{"type":"invalid_request_error","code":null}}"#,
                Caller,
                Some("invalid_request_error"),
            ),
            // Quota is told from rate limit, and asked for first.
            (
                429,
                r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#,
                RateLimit,
                Some("rate_limit_exceeded"),
            ),
            (
                429,
                r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#,
                Quota,
                Some("insufficient_quota"),
            ),
            (
                429,
                r#"{"error":{"type":"insufficient_quota","code":"rate_limit_exceeded"}}"#,
                Quota,
                Some("rate_limit_exceeded"),
            ),
            (
                429,
                r#"{"error":{"code":"credit_balance_exhausted"}}"#,
                Quota,
                Some("credit_balance_exhausted"),
            ),
            (
                429,
                r#"{"error":{"code":"organization_spend_limit_exceeded"}}"#,
                Quota,
                Some("organization_spend_limit_exceeded"),
            ),
            (
                429,
                r#"{"error":{"code":"project_spend_limit_exceeded"}}"#,
                Quota,
                Some("project_spend_limit_exceeded"),
            ),
            (
                429,
                r#"{"error":{"code":"organization_usage_limit_exceeded"}}"#,
                Quota,
                Some("organization_usage_limit_exceeded"),
            ),
            (
                429,
                r#"{"error":{"code":"billing_hard_limit_reached"}}"#,
                Quota,
                Some("billing_hard_limit_reached"),
            ),
            (
                402,
                r#"{"error":{"code":"rate_limit_exceeded"}}"#,
                Quota,
                Some("rate_limit_exceeded"),
            ),
            (
                413,
                r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#,
                ContextTooLong,
                Some("rate_limit_exceeded"),
            ),
            // The body says that the server is busy.
            (
                503,
                r#"{"error":{"type":"slow_down"}}"#,
                Overloaded,
                Some("slow_down"),
            ),
            (
                500,
                r#"{"error":{"code":"server_is_overloaded"}}"#,
                Overloaded,
                Some("server_is_overloaded"),
            ),
            (
                429,
                r#"{"error":{"code":"engine_overloaded"}}"#,
                Overloaded,
                Some("engine_overloaded"),
            ),
            // It never turns a 5xx into somebody else's fault.
            (
                500,
                r#"{"error":{"code":"context_length_exceeded"}}"#,
                Server,
                Some("context_length_exceeded"),
            ),
            (
                500,
                r#"{"error":{"code":"content_filter"}}"#,
                Server,
                Some("content_filter"),
            ),
            (
                502,
                r#"{"error":{"code":"invalid_api_key"}}"#,
                Server,
                Some("invalid_api_key"),
            ),
            (
                500,
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Server,
                Some("insufficient_quota"),
            ),
            (
                500,
                r#"{"error":{"type":"invalid_request_error"}}"#,
                Server,
                Some("invalid_request_error"),
            ),
            // Other shapes.
            (
                429,
                r#"{"object":"error","message":"m","type":"rate_limit_error","code":"1300"}"#,
                RateLimit,
                Some("rate_limit_error"),
            ),
            (
                429,
                r#"{"code":"insufficient_quota","error":"m"}"#,
                Quota,
                Some("insufficient_quota"),
            ),
            (
                429,
                r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
                RateLimit,
                Some("RESOURCE_EXHAUSTED"),
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"m"}}"#,
                RateLimit,
                Some("429"),
            ),
            (400, r#"{"error":"You said: hi"}"#, Caller, None),
            (400, r#"{"error":{"code":"You said: hi"}}"#, Caller, None),
            (
                400,
                r#"{"error":{"\u0063ode":"context_\u006cength_exceeded"}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
            ),
            // A prefix that breaks off still counts.
            (
                400,
                r#"{"error":{"code":"context_length_exceeded","message":"This model's max"#,
                ContextTooLong,
                Some("context_length_exceeded"),
            ),
            // The words count only where they belong.
            (
                400,
                r#"{"error":{"message":"insufficient_quota","param":{"code":"insufficient_quota"}}}"#,
                Caller,
                None,
            ),
        ],
    );
}

#[test]
fn anthropic() {
    use FailureClass::*;
    check(
        &AnthropicMessages,
        &[
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"}}"#,
                Caller,
                Some("invalid_request_error"),
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 200001 tokens > 200000 maximum"}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
            ),
            (
                400,
                r#"{"type":"error","error":{"message":"input length and `max_tokens` exceed context limit: 1","type":"invalid_request_error"}}"#,
                ContextTooLong,
                Some("invalid_request_error"),
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access"}}"#,
                Quota,
                Some("invalid_request_error"),
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}"#,
                ContentPolicy,
                Some("invalid_request_error"),
            ),
            // What follows the start may quote the request.
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"bad value: prompt is too long"}}"#,
                Caller,
                Some("invalid_request_error"),
            ),
            (
                401,
                r#"{"type":"error","error":{"type":"authentication_error"}}"#,
                Authentication,
                Some("authentication_error"),
            ),
            (
                402,
                r#"{"type":"error","error":{"type":"billing_error"}}"#,
                Quota,
                Some("billing_error"),
            ),
            (
                403,
                r#"{"type":"error","error":{"type":"permission_error"}}"#,
                Authentication,
                Some("permission_error"),
            ),
            (
                404,
                r#"{"type":"error","error":{"type":"not_found_error"}}"#,
                ModelGone,
                Some("not_found_error"),
            ),
            (
                409,
                r#"{"type":"error","error":{"type":"conflict_error"}}"#,
                Server,
                Some("conflict_error"),
            ),
            (413, HTML, ContextTooLong, None),
            (
                413,
                r#"{"type":"error","error":{"type":"request_too_large"}}"#,
                ContextTooLong,
                Some("request_too_large"),
            ),
            (
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error"}}"#,
                RateLimit,
                Some("rate_limit_error"),
            ),
            (
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
                Quota,
                Some("enforced_spend_limit_reached"),
            ),
            (
                500,
                r#"{"type":"error","error":{"type":"api_error"}}"#,
                Server,
                Some("api_error"),
            ),
            (
                500,
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
                Overloaded,
                Some("overloaded_error"),
            ),
            (502, HTML, Server, None),
            (
                504,
                r#"{"type":"error","error":{"type":"timeout_error"}}"#,
                Timeout,
                Some("timeout_error"),
            ),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
                Overloaded,
                Some("overloaded_error"),
            ),
            (529, "", Overloaded, None),
            (
                500,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}"#,
                Server,
                Some("invalid_request_error"),
            ),
            (
                500,
                r#"{"type":"error","error":{"type":"authentication_error"}}"#,
                Server,
                Some("authentication_error"),
            ),
        ],
    );
}

#[test]
fn plain_reads_the_status_only() {
    use FailureClass::*;
    let quota = r#"{"error":{"code":"insufficient_quota"}}"#;
    check(
        &Plain,
        &[
            (400, quota, Caller, None),
            (401, quota, Authentication, None),
            (404, quota, Caller, None),
            (408, quota, Timeout, None),
            (409, quota, Server, None),
            (413, quota, Caller, None),
            (429, quota, RateLimit, None),
            (500, quota, Server, None),
            (503, quota, Overloaded, None),
            (504, quota, Timeout, None),
            (302, quota, Unknown, None),
        ],
    );
}

#[test]
fn the_default_actions() {
    use FailureClass::*;
    for (class, action) in [
        (RateLimit, Action::Retry),
        (Overloaded, Action::Retry),
        (Server, Action::Retry),
        (Timeout, Action::Retry),
        (Quota, Action::Skip),
        (Authentication, Action::Skip),
        (ModelGone, Action::Skip),
        (Unknown, Action::Skip),
        (ContextTooLong, Action::Stop),
        (ContentPolicy, Action::Stop),
        (Caller, Action::Stop),
    ] {
        assert_eq!(class.action(), action, "{class}");
    }
}

#[test]
fn every_dialect_reads_the_hint() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    headers.insert("x-should-retry", HeaderValue::from_static("true"));
    for dialect in [&OpenAiChat as &dyn Dialect, &AnthropicMessages, &Plain] {
        let hint = dialect
            .classify(&Answer {
                status: StatusCode::BAD_REQUEST,
                headers: &headers,
                body: b"",
                now: SystemTime::UNIX_EPOCH,
            })
            .hint;
        assert_eq!(hint.after, Some(Duration::from_secs(7)));
        assert_eq!(hint.should_retry, Some(true));
    }
}

#[test]
fn debug_shows_no_body_and_no_header() {
    let mut headers = HeaderMap::new();
    headers.insert("set-cookie", HeaderValue::from_static("s3cret"));
    let answer = Answer {
        status: StatusCode::BAD_REQUEST,
        headers: &headers,
        body: b"s3cret",
        now: SystemTime::UNIX_EPOCH,
    };
    assert!(!format!("{answer:?}").contains("s3cret"));
}
