//! Anthropic's models on Vertex: a row of the providers' tables at a time.

use crate::rows::{
    Asked, Failed, check_credentials, check_failures, check_hint, check_outages, check_requests,
    document_failures,
};
use backstay_dialect::{
    Action, AnthropicMessages, Dialect, Event, FailureClass, RequestError, VertexAnthropic,
};

const FAILURES: [Failed; 10] = {
    use Action::{Retry, Skip, Stop};
    use FailureClass::*;
    const fn row(
        row: &'static str,
        status: u16,
        body: &'static str,
        (class, action): (FailureClass, Action),
        code: &'static str,
    ) -> Failed {
        Failed {
            row,
            status,
            header: None,
            body,
            class,
            action,
            code: Some(code),
        }
    }
    [
        row(
            "Google: 401",
            401,
            r#"{"error":{"code":401,"status":"UNAUTHENTICATED"}}"#,
            (Authentication, Skip),
            "UNAUTHENTICATED",
        ),
        row(
            "Google: 403",
            403,
            r#"[{"error":{"code":403,"status":"PERMISSION_DENIED"}}]"#,
            (Authentication, Skip),
            "PERMISSION_DENIED",
        ),
        row(
            "Google: 404",
            404,
            r#"{"error":{"code":404,"status":"NOT_FOUND","message":"Publisher Model was not found"}}"#,
            (ModelGone, Skip),
            "NOT_FOUND",
        ),
        row(
            "Google: 429",
            429,
            r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}"#,
            (RateLimit, Retry),
            "RESOURCE_EXHAUSTED",
        ),
        row(
            "Google: 503",
            503,
            r#"{"error":{"code":503,"status":"UNAVAILABLE"}}"#,
            (Overloaded, Retry),
            "UNAVAILABLE",
        ),
        row(
            "Anthropic: 400",
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"m"}}"#,
            (Caller, Stop),
            "invalid_request_error",
        ),
        row(
            "Anthropic: prompt too long",
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 2 tokens > 1 maximum"}}"#,
            (ContextTooLong, Stop),
            "invalid_request_error",
        ),
        row(
            "Anthropic: 429",
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error"}}"#,
            (RateLimit, Retry),
            "rate_limit_error",
        ),
        row(
            "Anthropic: 529",
            529,
            r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
            (Overloaded, Retry),
            "overloaded_error",
        ),
        row(
            "Anthropic: 500 that names the caller",
            500,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}"#,
            (Server, Retry),
            "invalid_request_error",
        ),
    ]
};

#[test]
fn each_failure_calls_for_its_action_whoever_wrote_it() {
    check_failures(&VertexAnthropic, &FAILURES);
    document_failures(&VertexAnthropic, "statuses and codes", &FAILURES);
    check_outages(&VertexAnthropic, &FAILURES);
}

#[test]
fn events_and_answers_are_anthropics() {
    for data in [
        r#"{"type":"message_start","message":{"id":"msg_vrtx_1","usage":{"input_tokens":1}}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"a"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#,
        r#"{"type":"message_stop"}"#,
        r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
        "no json",
    ] {
        let event = Event {
            data: data.as_bytes(),
            ..Event::default()
        };
        assert_eq!(
            VertexAnthropic.read_event(&event),
            AnthropicMessages.read_event(&event),
            "{data}"
        );
        let body = data.as_bytes();
        assert_eq!(
            VertexAnthropic.read_answer(body),
            AnthropicMessages.read_answer(body),
            "{data}"
        );
    }
}

#[test]
fn an_error_of_googles_in_a_good_answer_is_googles() {
    let data = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#;
    let event = Event {
        data: data.as_bytes(),
        ..Event::default()
    };
    for error in [
        VertexAnthropic.read_event(&event).error,
        VertexAnthropic.read_answer(data.as_bytes()).error,
    ] {
        assert_eq!(
            error.map(|error| error.class),
            Some(FailureClass::RateLimit)
        );
    }
}

#[test]
fn the_model_is_in_the_path() {
    check_requests(
        &VertexAnthropic,
        &[
            Asked {
                path: "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4@20250514:rawPredict",
                model: "claude-sonnet-4@20250514",
                stream: false,
            },
            Asked {
                path: "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4%4020250514:streamRawPredict?a=b",
                model: "claude-sonnet-4%4020250514",
                stream: true,
            },
        ],
    );
    let read = VertexAnthropic.read_request("/v1/models/x", b"{}");
    assert_eq!(read, Err(RequestError::NoModelInPath));
}

#[test]
fn the_counting_of_tokens_names_its_model_in_the_body() {
    let path = "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict";
    let facts = VertexAnthropic
        .read_request(path, br#"{"model":"claude-sonnet-4"}"#)
        .unwrap();
    assert_eq!((facts.model, facts.path_model), (Some(9..26), None));
}

#[test]
fn credentials_are_known_and_ids_are_found() {
    check_credentials(
        &VertexAnthropic,
        &["authorization", "x-goog-user-project", "x-api-key"],
        &["access_token", "key"],
    );
    assert_eq!(VertexAnthropic.request_id_headers()[0], "request-id");
    assert_eq!(VertexAnthropic.family(), AnthropicMessages.family());
    assert_eq!(VertexAnthropic.provider(), "gcp.vertex_ai");
    check_hint(&VertexAnthropic);
}
