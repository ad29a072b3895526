//! Azure OpenAI.

use backstay_dialect::FailureClass::*;
use backstay_dialect::{
    Action::{Retry, Skip, Stop},
    AzureOpenAi, Cooling, Dialect, RequestError,
};

use crate::table::{self, HTML, Model, Says};

#[test]
fn statuses_and_codes() {
    table::failures(
        &AzureOpenAi,
        "statuses and codes",
        &[
            (
                "400 content_filter",
                400,
                r#"{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#,
                ContentPolicy,
                Some("content_filter"),
                Stop,
                Cooling::None,
            ),
            (
                "400 with the inner error alone",
                400,
                r#"{"error":{"code":"BadRequest","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                ContentPolicy,
                Some("BadRequest"),
                Stop,
                Cooling::None,
            ),
            (
                "429 temporary rate limit adjustment",
                429,
                r#"{"error":{"code":"429","message":"m"}}"#,
                RateLimit,
                Some("429"),
                Retry,
                Cooling::Short,
            ),
            (
                "429 too_many_requests",
                429,
                r#"{"error":{"type":"too_many_requests","code":"too_many_requests"}}"#,
                RateLimit,
                Some("too_many_requests"),
                Retry,
                Cooling::Short,
            ),
            (
                "404 DeploymentNotFound",
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"m"}}"#,
                ModelGone,
                Some("DeploymentNotFound"),
                Skip,
                Cooling::Long,
            ),
            (
                "404 of the gateway",
                404,
                r#"{"statusCode":404,"message":"Resource not found"}"#,
                ModelGone,
                None,
                Skip,
                Cooling::Long,
            ),
            (
                "401",
                401,
                r#"{"statusCode":401,"message":"m"}"#,
                Authentication,
                None,
                Skip,
                Cooling::Long,
            ),
            (
                "401 with a code",
                401,
                r#"{"error":{"code":"401","message":"m"}}"#,
                Authentication,
                Some("401"),
                Skip,
                Cooling::Long,
            ),
            (
                "a window",
                400,
                r#"{"error":{"code":"context_length_exceeded","type":"invalid_request_error"}}"#,
                ContextTooLong,
                Some("context_length_exceeded"),
                Stop,
                Cooling::None,
            ),
            (
                "500 of a filter",
                500,
                r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                Server,
                Some("content_filter"),
                Retry,
                Cooling::None,
            ),
            (
                "503 with HTML",
                503,
                HTML,
                Overloaded,
                None,
                Retry,
                Cooling::Short,
            ),
        ],
    );
}

#[test]
fn stream_events() {
    table::events(
        &AzureOpenAi,
        "stream events",
        &[
            (
                "what the filter says of the prompt",
                "",
                r#"{"id":"","choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false}}}]}"#,
                Says::Nothing,
            ),
            (
                "content, with what the filter says",
                "",
                r#"{"choices":[{"content_filter_results":{"hate":{"filtered":false}},"delta":{"content":"a"},"finish_reason":null}]}"#,
                Says::Content,
            ),
            (
                "200 with finish_reason content_filter",
                "",
                r#"{"choices":[{"content_filter_results":{"hate":{"filtered":true}},"delta":{},"finish_reason":"content_filter"}]}"#,
                Says::Withheld,
            ),
            (
                "an error of the filter",
                "",
                r#"{"error":{"code":"content_filter","message":"m"}}"#,
                Says::Error(ContentPolicy, Some("content_filter")),
            ),
            ("[DONE]", "", "[DONE]", Says::Ended),
        ],
    );
}

#[test]
fn whole_answers() {
    table::answers(
        &AzureOpenAi,
        "whole answers",
        &[(
            "withheld",
            r#"{"id":"chatcmpl-1","choices":[{"finish_reason":"content_filter","message":{"role":"assistant"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
            true,
            None,
            (Some("chatcmpl-1"), Some((1, 2))),
        )],
    );
}

#[test]
fn the_path_names_the_deployment() {
    let path = "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21&next=/openai/deployments/x/y";
    let deployment = || "my%20gpt".to_owned();
    for (body, model, stream) in [
        (r#"{"messages":[]}"#, Model::Path(deployment()), false),
        (
            r#"{"messages":[],"stream":true}"#,
            Model::Path(deployment()),
            true,
        ),
        (
            r#"{"model":"gpt-4o","stream":true}"#,
            Model::Both(deployment(), "gpt-4o".into()),
            true,
        ),
        (
            r#"{"model":"a","model":"b","stream":true}"#,
            Model::Path(deployment()),
            true,
        ),
        (r#"{"model":null}"#, Model::Path(deployment()), false),
        (
            r#"{"Model":"gpt-4o","stream":true}"#,
            Model::Path(deployment()),
            true,
        ),
        (r#"{"a":{"stream":true}}"#, Model::Path(deployment()), false),
    ] {
        assert_eq!(
            table::place(&AzureOpenAi, path, body),
            (model, stream),
            "{body}"
        );
    }
    let behind_a_gateway = "/ai/openai/deployments/d/chat/completions";
    assert_eq!(
        table::place(&AzureOpenAi, behind_a_gateway, "{}").0,
        Model::Path("d".into())
    );

    for body in ["", "[]", "x"] {
        let read = AzureOpenAi.read_request(path, body.as_bytes());
        assert_eq!(read, Err(RequestError::NotAnObject), "{body}");
    }
    let broken = AzureOpenAi.read_request(path, br#"{"messages":["#);
    assert!(matches!(broken, Err(RequestError::Malformed { .. })));
}

#[test]
fn without_a_deployment_the_body_names_the_model() {
    let body = r#"{"model":"gpt-4o"}"#;
    for path in [
        "/openai/v1/chat/completions",
        "/openai/v1/chat/completions?x=/openai/deployments/d/chat",
        "/openai/deployments//chat/completions",
        "/openai/deployments/",
        "",
    ] {
        let (model, _) = table::place(&AzureOpenAi, path, body);
        assert_eq!(model, Model::Body("gpt-4o".into()), "{path}");
    }
    let nothing = AzureOpenAi.read_request("/openai/v1/chat/completions", b"{}");
    assert_eq!(nothing, Err(RequestError::NoModel));
}

#[test]
fn credentials_and_ids() {
    table::headers(
        &AzureOpenAi,
        &["api-key", "authorization", "ocp-apim-subscription-key"],
        &["x-ms-client-request-id"],
        &["apim-request-id", "x-request-id", "x-ms-client-request-id"],
    );
    assert!(
        AzureOpenAi
            .credential_parameters()
            .contains(&"subscription-key")
    );
    assert_eq!(AzureOpenAi.family(), "openai-chat");
}
