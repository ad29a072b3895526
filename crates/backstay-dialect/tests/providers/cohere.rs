//! Cohere: a row of the providers' tables at a time.

use crate::rows::{
    Failed, Said, check_credentials, check_events, check_failures, check_garbage, check_hint,
    check_outages, document_events, document_failures,
};
use backstay_dialect::{Action, CohereChat, Dialect, FailureClass, Progress, Usage, detect};

const HTML: &str = "<html><head><title>502 Bad Gateway</title></head></html>";

const FAILURES: [Failed; 17] = {
    use Action::{Retry, Skip, Stop};
    use FailureClass::*;
    const fn row(
        row: &'static str,
        status: u16,
        body: &'static str,
        (class, action): (FailureClass, Action),
    ) -> Failed {
        Failed {
            row,
            status,
            header: None,
            body,
            class,
            action,
            code: None,
        }
    }
    [
        row(
            "400",
            400,
            r#"{"id":"i","message":"invalid request: all elements in history must have a message."}"#,
            (Caller, Stop),
        ),
        row(
            "400 prompt too long",
            400,
            r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4099"}"#,
            (ContextTooLong, Stop),
        ),
        row(
            "400 that quotes the request",
            400,
            r#"{"message":"invalid message: too many tokens"}"#,
            (Caller, Stop),
        ),
        row(
            "401",
            401,
            r#"{"message":"invalid api token"}"#,
            (Authentication, Skip),
        ),
        row(
            "402",
            402,
            r#"{"message":"Please add or update your payment method"}"#,
            (Quota, Skip),
        ),
        row("403", 403, r#"{"message":"m"}"#, (Authentication, Skip)),
        row(
            "404",
            404,
            r#"{"message":"model 'command-x' not found"}"#,
            (ModelGone, Skip),
        ),
        row("422", 422, r#"{"message":"m"}"#, (Caller, Stop)),
        row(
            "429",
            429,
            r#"{"message":"You are using a Trial key, which is limited to 20 API calls / minute."}"#,
            (RateLimit, Retry),
        ),
        row(
            "498 blocked input",
            498,
            r#"{"message":"blocked input: please review your request"}"#,
            (ContentPolicy, Stop),
        ),
        row(
            "499 cancelled",
            499,
            r#"{"message":"request cancelled"}"#,
            (Server, Retry),
        ),
        row(
            "500",
            500,
            r#"{"message":"internal server error"}"#,
            (Server, Retry),
        ),
        row(
            "500 that mentions the prompt's length",
            500,
            r#"{"message":"too many tokens"}"#,
            (Server, Retry),
        ),
        row("501", 501, r#"{"message":"m"}"#, (Unknown, Skip)),
        row("502 of a proxy", 502, HTML, (Server, Retry)),
        row("503", 503, r#"{"message":"m"}"#, (Overloaded, Retry)),
        row("504", 504, r#"{"message":"m"}"#, (Timeout, Retry)),
    ]
};

#[test]
fn each_failure_calls_for_its_action() {
    check_failures(&CohereChat, &FAILURES);
    document_failures(&CohereChat, "statuses and codes", &FAILURES);
    check_outages(&CohereChat, &FAILURES);
}

#[test]
fn each_event_says_what_the_table_says() {
    use FailureClass::*;
    use Progress::{Content, Reasoning};
    let none = Said::default();
    let rows = [
        Said {
            row: "lifecycle: message-start",
            name: "message-start",
            data: r#"{"id":"29f14a5a-11de","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#,
            response_id: Some("29f14a5a-11de"),
            ..none
        },
        Said {
            row: "lifecycle: content-start",
            name: "content-start",
            data: r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
            ..none
        },
        Said {
            row: "content-start with text",
            name: "content-start",
            data: r#"{"type":"content-start","delta":{"message":{"content":{"type":"text","text":"a"}}}}"#,
            progress: Content,
            ..none
        },
        Said {
            row: "content-delta",
            name: "content-delta",
            data: r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}}"#,
            progress: Content,
            ..none
        },
        Said {
            row: "content-delta of a thought",
            name: "content-delta",
            data: r#"{"type":"content-delta","delta":{"message":{"content":{"thinking":"hm"}}}}"#,
            progress: Reasoning,
            ..none
        },
        Said {
            row: "tool-plan-delta",
            name: "tool-plan-delta",
            data: r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I will"}}}"#,
            progress: Reasoning,
            ..none
        },
        Said {
            row: "tool-call-start",
            name: "tool-call-start",
            data: r#"{"type":"tool-call-start","delta":{"message":{"tool_calls":{"id":"x","type":"function","function":{"name":"f","arguments":""}}}}}"#,
            progress: Content,
            ..none
        },
        Said {
            row: "tool-call-delta",
            name: "tool-call-delta",
            data: r#"{"type":"tool-call-delta","delta":{"message":{"tool_calls":{"function":{"arguments":"{"}}}}}"#,
            progress: Content,
            ..none
        },
        Said {
            row: "tool-call-end",
            name: "tool-call-end",
            data: r#"{"type":"tool-call-end","index":0}"#,
            ..none
        },
        Said {
            row: "citation-start",
            name: "citation-start",
            data: r#"{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":1,"text":"A","sources":[]}}}}"#,
            progress: Content,
            ..none
        },
        Said {
            row: "citation-end",
            name: "citation-end",
            data: r#"{"type":"citation-end","index":0}"#,
            ..none
        },
        Said {
            row: "content-end",
            name: "content-end",
            data: r#"{"type":"content-end","index":0}"#,
            ..none
        },
        Said {
            row: "message-end",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5.0,"output_tokens":9},"tokens":{"input_tokens":71,"output_tokens":9}}}}"#,
            finished: true,
            ended: true,
            usage: Some((5, 9)),
            ..none
        },
        Said {
            row: "message-end with what was counted only",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"finish_reason":"MAX_TOKENS","usage":{"tokens":{"input_tokens":71,"output_tokens":9}}}}"#,
            finished: true,
            ended: true,
            usage: Some((71, 9)),
            ..none
        },
        Said {
            row: "message-end for a tool",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"finish_reason":"TOOL_CALL"}}"#,
            finished: true,
            ended: true,
            ..none
        },
        Said {
            row: "message-end without a reason",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{}}"#,
            ..none
        },
        Said {
            row: "finish_reason ERROR",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"finish_reason":"ERROR"}}"#,
            error: Some((Server, Some("ERROR"))),
            ..none
        },
        Said {
            row: "finish_reason TIMEOUT",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#,
            error: Some((Timeout, Some("TIMEOUT"))),
            ..none
        },
        Said {
            row: "delta.error",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"error":"all instances are busy","finish_reason":"ERROR"}}"#,
            error: Some((Server, Some("ERROR"))),
            ..none
        },
        Said {
            row: "delta.error alone",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"error":"boom"}}"#,
            error: Some((Server, None)),
            ..none
        },
        Said {
            row: "an error that is none",
            name: "message-end",
            data: r#"{"type":"message-end","delta":{"error":null,"finish_reason":"COMPLETE"}}"#,
            finished: true,
            ended: true,
            ..none
        },
        Said {
            row: "the last line of all",
            data: "[DONE]",
            ended: true,
            ..none
        },
        Said {
            row: "something new",
            name: "something-new",
            data: r#"{"type":"something-new","delta":{"message":{"content":{"text":"a"}}}}"#,
            ..none
        },
    ];
    check_events(&CohereChat, &rows);
    document_events(&CohereChat, "stream events", &rows);
    // Without a name the type speaks.
    let nameless: Vec<_> = rows.iter().map(|row| Said { name: "", ..*row }).collect();
    check_events(&CohereChat, &nameless);
    check_garbage(&CohereChat, &["", "content-delta", "message-end"]);
}

#[test]
fn the_model_is_in_the_body() {
    let body = br#"{"stream":true,"model":"command-a-03-2025"}"#;
    let facts = CohereChat.read_request("/v2/chat", body).unwrap();
    assert_eq!(&body[facts.model.unwrap()], b"\"command-a-03-2025\"");
    assert!(facts.stream);
    assert_eq!(facts.path_model, None);
    assert_eq!(
        detect("api.cohere.com", "/v2/chat?x=1").name(),
        CohereChat.name()
    );
    assert_eq!(detect("api.cohere.com", "/v1/chat").name(), "plain");
    let openai = detect("api.cohere.ai", "/compatibility/v1/chat/completions");
    assert_eq!(openai.name(), "openai-chat");
}

#[test]
fn credentials_are_known_and_ids_are_found() {
    check_credentials(&CohereChat, &["authorization", "cookie"], &[]);
    assert_eq!(CohereChat.request_id_headers()[0], "x-debug-trace-id");
    assert_eq!(CohereChat.provider(), "cohere");
    check_hint(&CohereChat);
}

#[test]
fn a_whole_answer() {
    let answer = CohereChat.read_answer(br#"{"id":"c-1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"{\"error\":1}"}]},"usage":{"billed_units":{"input_tokens":5,"output_tokens":418.0},"tokens":{"input_tokens":71,"output_tokens":418}}}"#);
    assert_eq!(answer.error, None);
    assert_eq!(answer.response_id.as_deref(), Some("c-1"));
    let usage = Usage {
        input: Some(5),
        output: Some(418),
    };
    assert_eq!(answer.usage, Some(usage));

    let failed = CohereChat.read_answer(br#"{"id":"c-1","finish_reason":"TIMEOUT"}"#);
    assert_eq!(failed.error.map(|e| e.class), Some(FailureClass::Timeout));

    for body in [&b""[..], b"<html>", br#"{"finish_reason":"ERROR""#] {
        assert_eq!(CohereChat.read_answer(body), Default::default());
    }
}

#[test]
fn counts_that_are_none_are_passed_over() {
    for (count, expected) in [
        ("1.5", None),
        ("-1", None),
        ("1e3", None),
        ("null", None),
        ("\"1\"", None),
        ("7.", Some(7)),
        ("99999999999999999999", None),
    ] {
        let body =
            format!(r#"{{"usage":{{"tokens":{{"input_tokens":{count},"output_tokens":1}}}}}}"#);
        let usage = CohereChat.read_answer(body.as_bytes()).usage.unwrap();
        assert_eq!((usage.input, usage.output), (expected, Some(1)), "{count}");
    }
}
