//! Bedrock: a row of the providers' tables at a time.

use crate::rows::{
    Asked, Failed, Said, check_credentials, check_event, check_events, check_failures,
    check_garbage, check_hint, check_outages, check_requests, document_events, document_failures,
};
use backstay_dialect::{
    Action, AnthropicMessages, BedrockAnthropic, BedrockConverse, Dialect, FailureClass, Framing,
    Progress, RequestError, StreamObserver, segment_name,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};

const BOTH: [&dyn Dialect; 2] = [&BedrockConverse, &BedrockAnthropic];

const HTML: &str = "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>";

const FAILURES: [Failed; 27] = {
    use Action::{Retry, Skip, Stop};
    use FailureClass::*;
    /// The header names the exception.
    const fn named(
        row: &'static str,
        status: u16,
        exception: &'static str,
        body: &'static str,
        (class, action): (FailureClass, Action),
    ) -> Failed {
        Failed {
            row,
            status,
            header: Some(("x-amzn-errortype", exception)),
            body,
            class,
            action,
            code: Some(exception),
        }
    }
    /// The body names it, if anything does.
    const fn told(
        row: &'static str,
        status: u16,
        body: &'static str,
        (class, action): (FailureClass, Action),
        code: Option<&'static str>,
    ) -> Failed {
        Failed {
            row,
            status,
            header: None,
            body,
            class,
            action,
            code,
        }
    }
    [
        named(
            "429 ThrottlingException",
            429,
            "ThrottlingException",
            r#"{"message":"Too many requests, please wait before trying again."}"#,
            (RateLimit, Retry),
        ),
        named(
            "429 ThrottlingException of a day",
            429,
            "ThrottlingException",
            r#"{"message":"Too many tokens per day, please wait before trying again."}"#,
            (Quota, Skip),
        ),
        named(
            "400 ThrottlingException",
            400,
            "ThrottlingException",
            "{}",
            (RateLimit, Retry),
        ),
        named(
            "429 ModelNotReadyException",
            429,
            "ModelNotReadyException",
            r#"{"message":"m"}"#,
            (Overloaded, Retry),
        ),
        named(
            "408 ModelTimeoutException",
            408,
            "ModelTimeoutException",
            r#"{"message":"m"}"#,
            (Timeout, Retry),
        ),
        named(
            "424 ModelStreamErrorException",
            424,
            "ModelStreamErrorException",
            r#"{"message":"m"}"#,
            (Server, Retry),
        ),
        named(
            "424 ModelErrorException",
            424,
            "ModelErrorException",
            r#"{"message":"m","originalStatusCode":400,"resourceName":"r"}"#,
            (Server, Retry),
        ),
        named(
            "503 ServiceUnavailableException",
            503,
            "ServiceUnavailableException",
            r#"{"message":"m"}"#,
            (Overloaded, Retry),
        ),
        named(
            "500 InternalServerException",
            500,
            "InternalServerException",
            r#"{"message":"m"}"#,
            (Server, Retry),
        ),
        named(
            "400 ServiceQuotaExceededException",
            400,
            "ServiceQuotaExceededException",
            r#"{"message":"m"}"#,
            (Quota, Skip),
        ),
        named(
            "403 AccessDeniedException",
            403,
            "AccessDeniedException",
            r#"{"message":"You don't have access to the model with the specified model ID."}"#,
            (Authentication, Skip),
        ),
        named(
            "400 ValidationException",
            400,
            "ValidationException",
            r#"{"message":"1 validation error detected: Value at 'messages' failed to satisfy constraint"}"#,
            (Caller, Stop),
        ),
        named(
            "400 ValidationException, the prompt too long",
            400,
            "ValidationException",
            r#"{"message":"Input is too long for requested model."}"#,
            (ContextTooLong, Stop),
        ),
        named(
            "400 ValidationException, the prompt too long, says the model",
            400,
            "ValidationException",
            r#"{"message":"The model returned the following errors: prompt is too long: 200001 tokens > 200000 maximum"}"#,
            (ContextTooLong, Stop),
        ),
        named(
            "400 ValidationException, the answer too long, says the model",
            400,
            "ValidationException",
            r#"{"message":"The model returned the following errors: input length and `max_tokens` exceed context limit: 1"}"#,
            (ContextTooLong, Stop),
        ),
        named(
            "400 ValidationException that quotes the request",
            400,
            "ValidationException",
            r#"{"message":"Malformed: \"Input is too long\""}"#,
            (Caller, Stop),
        ),
        named(
            "400 ValidationException, no such model",
            400,
            "ValidationException",
            r#"{"message":"The provided model identifier is invalid."}"#,
            (ModelGone, Skip),
        ),
        named(
            "404 ResourceNotFoundException",
            404,
            "ResourceNotFoundException",
            r#"{"message":"m"}"#,
            (ModelGone, Skip),
        ),
        named(
            "403 ExpiredTokenException",
            403,
            "ExpiredTokenException",
            r#"{"message":"m"}"#,
            (Authentication, Skip),
        ),
        named(
            "400 IncompleteSignature",
            400,
            "IncompleteSignature",
            r#"{"message":"m"}"#,
            (Authentication, Skip),
        ),
        told(
            "the body names it, with its namespace",
            429,
            r#"{"__type":"com.amazon.coral.service#ServiceQuotaExceededException","message":"m"}"#,
            (Quota, Skip),
            Some("ServiceQuotaExceededException"),
        ),
        told(
            "the body names it, with an address behind",
            400,
            r#"{"__type":"AccessDeniedException:http://internal.amazon.com/coral/","Message":"m"}"#,
            (Authentication, Skip),
            Some("AccessDeniedException"),
        ),
        told(
            "nothing names it",
            403,
            r#"{"message":"The security token included in the request is invalid."}"#,
            (Authentication, Skip),
            None,
        ),
        told("a proxy's page", 503, HTML, (Overloaded, Retry), None),
        told(
            "a 500 that names the caller",
            500,
            r#"{"__type":"ValidationException","message":"Input is too long"}"#,
            (Server, Retry),
            Some("ValidationException"),
        ),
        told("413 of an edge", 413, HTML, (ContextTooLong, Stop), None),
        told("404 of no path", 404, "", (ModelGone, Skip), None),
    ]
};

#[test]
fn each_failure_calls_for_its_action() {
    for dialect in BOTH {
        check_failures(dialect, &FAILURES);
    }
    document_failures(&BedrockConverse, "statuses and codes", &FAILURES);
}

#[test]
fn no_outage_is_anybody_elses_fault() {
    check_outages(&BedrockConverse, &FAILURES);
}

#[test]
fn the_header_names_the_exception_in_any_of_its_forms() {
    for name in [
        "ServiceQuotaExceededException",
        "ServiceQuotaExceededException:",
        "ServiceQuotaExceededException:http://internal.amazon.com/coral/com.amazon.bedrock/",
        "aws.protocoltests.restjson#ServiceQuotaExceededException",
        "aws#ServiceQuotaExceededException:http://a/#b",
    ] {
        let header = Some(("x-amzn-errortype", name));
        // The header goes before the body.
        let failure = crate::rows::classify(
            &BedrockConverse,
            400,
            header,
            br#"{"__type":"ValidationException"}"#,
        );
        assert_eq!(failure.class, FailureClass::Quota, "{name}");
        assert_eq!(
            failure.code.as_deref(),
            Some("ServiceQuotaExceededException"),
            "{name}"
        );
    }
}

#[test]
fn each_event_of_a_conversation_says_what_the_table_says() {
    use Progress::{Content, Reasoning};
    let none = Said::default();
    let delta = Said {
        name: "contentBlockDelta",
        ..none
    };
    let rows = [
        Said {
            row: "lifecycle: messageStart",
            name: "messageStart",
            data: r#"{"role":"assistant","p":"abc"}"#,
            ..none
        },
        Said {
            row: "lifecycle: contentBlockStart",
            name: "contentBlockStart",
            data: r#"{"contentBlockIndex":0,"start":{}}"#,
            ..none
        },
        Said {
            row: "lifecycle: contentBlockStart of a tool",
            name: "contentBlockStart",
            data: r#"{"contentBlockIndex":0,"start":{"toolUse":{"name":"f","toolUseId":"x"}}}"#,
            ..none
        },
        Said {
            row: "text",
            data: r#"{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"ab"}"#,
            progress: Content,
            ..delta
        },
        Said {
            row: "text of no length",
            data: r#"{"delta":{"text":""}}"#,
            ..delta
        },
        Said {
            row: "a tool's input",
            data: r#"{"delta":{"toolUse":{"input":"{"}}}"#,
            progress: Content,
            ..delta
        },
        Said {
            row: "a citation",
            data: r#"{"delta":{"citation":{"title":"t"}}}"#,
            progress: Content,
            ..delta
        },
        Said {
            row: "reasoning",
            data: r#"{"delta":{"reasoningContent":{"text":"hm"}}}"#,
            progress: Reasoning,
            ..delta
        },
        Said {
            row: "reasoning's signature",
            data: r#"{"delta":{"reasoningContent":{"signature":"s"}}}"#,
            progress: Reasoning,
            ..delta
        },
        Said {
            row: "reasoning that is redacted",
            data: r#"{"delta":{"reasoningContent":{"redactedContent":"Cg=="}}}"#,
            progress: Reasoning,
            ..delta
        },
        Said {
            row: "contentBlockStop",
            name: "contentBlockStop",
            data: r#"{"contentBlockIndex":0}"#,
            ..none
        },
        Said {
            row: "messageStop",
            name: "messageStop",
            data: r#"{"stopReason":"end_turn"}"#,
            finished: true,
            ..none
        },
        Said {
            row: "messageStop for a tool",
            name: "messageStop",
            data: r#"{"stopReason":"tool_use"}"#,
            finished: true,
            ..none
        },
        Said {
            row: "messageStop without a reason",
            name: "messageStop",
            data: r#"{"stopReason":null}"#,
            ..none
        },
        Said {
            row: "messageStop at the context's end",
            name: "messageStop",
            data: r#"{"stopReason":"model_context_window_exceeded"}"#,
            finished: true,
            ..none
        },
        Said {
            row: "messageStop by a guardrail",
            name: "messageStop",
            data: r#"{"stopReason":"guardrail_intervened"}"#,
            finished: true,
            refused: true,
            ..none
        },
        Said {
            row: "messageStop by a filter",
            name: "messageStop",
            data: r#"{"stopReason":"content_filtered"}"#,
            finished: true,
            refused: true,
            ..none
        },
        Said {
            row: "metadata",
            name: "metadata",
            data: r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":10,"outputTokens":9,"totalTokens":26,"cacheReadInputTokens":5,"cacheWriteInputTokens":2}}"#,
            ended: true,
            usage: Some((17, 9)),
            ..none
        },
        Said {
            row: "something new",
            name: "somethingNew",
            data: r#"{"delta":{"text":"a"},"stopReason":"x"}"#,
            ..none
        },
    ];
    check_events(&BedrockConverse, &rows);
    document_events(&BedrockConverse, "stream events", &rows);
    check_garbage(
        &BedrockConverse,
        &["contentBlockDelta", "messageStop", "metadata", "chunk"],
    );
}

#[test]
fn each_exception_in_a_stream_says_what_the_table_says() {
    use FailureClass::*;
    let mut rows = Vec::new();
    for (name, class) in [
        ("internalServerException", Server),
        ("modelStreamErrorException", Server),
        ("throttlingException", RateLimit),
        ("validationException", Caller),
        ("serviceUnavailableException", Overloaded),
        ("modelTimeoutException", Timeout),
        ("accessDeniedException", Authentication),
        ("InternalFailure", Server),
        ("somethingNew", Server),
    ] {
        let row = Said {
            row: name,
            name,
            exception: true,
            error: Some((class, Some(name))),
            ..Said::default()
        };
        for dialect in BOTH {
            check_event(dialect, &row, br#"{"message":"m"}"#);
            // The name alone is enough.
            check_event(dialect, &row, b"no json");
        }
        rows.push(row);
    }
    let long = Said {
        row: "the prompt too long",
        name: "validationException",
        data: r#"{"message":"Input is too long for requested model."}"#,
        exception: true,
        error: Some((ContextTooLong, Some("validationException"))),
        ..Said::default()
    };
    let nameless = Said {
        row: "an exception without a name",
        exception: true,
        error: Some((Server, None)),
        ..Said::default()
    };
    check_events(&BedrockConverse, &[long, nameless]);
    rows.extend([long, nameless]);
    document_events(&BedrockConverse, "exceptions in a stream", &rows);
}

#[test]
fn an_event_of_anthropics_is_unwrapped() {
    let long = format!(
        r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{}"}}}}"#,
        "a".repeat(10_000)
    );
    for event in [
        r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"a"}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"a"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#,
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
        "no json",
        "",
        &long,
    ] {
        let wrapped = format!(r#"{{"bytes":"{}","p":"abcd"}}"#, STANDARD.encode(event));
        let chunk = backstay_dialect::Event {
            name: b"chunk",
            data: wrapped.as_bytes(),
            exception: false,
        };
        let bare = backstay_dialect::Event {
            data: event.as_bytes(),
            ..Default::default()
        };
        let mut expected = AnthropicMessages.read_event(&bare);
        expected.response_id = None;
        assert_eq!(BedrockAnthropic.read_event(&chunk), expected, "{event}");
    }
    for data in [
        r#"{"bytes":"%%%"}"#,
        r#"{"bytes":7}"#,
        r#"{"p":"a"}"#,
        r#"{"bytes":"e30="} x"#,
        "[]",
    ] {
        let chunk = backstay_dialect::Event {
            name: b"chunk",
            data: data.as_bytes(),
            exception: false,
        };
        assert_eq!(
            BedrockAnthropic.read_event(&chunk),
            Default::default(),
            "{data}"
        );
    }
    check_garbage(&BedrockAnthropic, &["chunk", "contentBlockDelta"]);
}

#[test]
fn the_model_is_in_the_path() {
    let claude = "anthropic.claude-sonnet-4-20250514-v1%3A0";
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-sonnet-4";
    check_requests(
        &BedrockConverse,
        &[
            Asked {
                path: "/model/anthropic.claude-sonnet-4-20250514-v1%3A0/converse",
                model: claude,
                stream: false,
            },
            Asked {
                path: "/model/anthropic.claude-sonnet-4-20250514-v1:0/converse-stream",
                model: "anthropic.claude-sonnet-4-20250514-v1:0",
                stream: true,
            },
            Asked {
                path: "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-sonnet-4/converse-stream",
                model: arn,
                stream: true,
            },
        ],
    );
    check_requests(
        &BedrockAnthropic,
        &[
            Asked {
                path: "/model/anthropic.claude-sonnet-4-20250514-v1%3A0/invoke",
                model: claude,
                stream: false,
            },
            Asked {
                path: "/model/us.anthropic.claude-3/invoke-with-response-stream?a=b",
                model: "us.anthropic.claude-3",
                stream: true,
            },
        ],
    );
    assert_eq!(
        segment_name(claude),
        "anthropic.claude-sonnet-4-20250514-v1:0"
    );
    assert_eq!(
        segment_name(arn),
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4"
    );
    for path in [
        "",
        "/model/converse",
        "/model//converse",
        "/model/a/b/converse",
        "/models/a/converse",
    ] {
        for dialect in BOTH {
            let read = dialect.read_request(path, b"{}");
            assert_eq!(read, Err(RequestError::NoModelInPath), "{path}");
        }
    }
    // Another maker's model has a body, and a stream, of its own.
    let other = backstay_dialect::detect("", "/model/meta.llama3-70b-instruct-v1%3A0/invoke");
    assert_eq!(other.name(), "plain");
}

#[test]
fn signatures_are_known_and_ids_are_found() {
    for dialect in BOTH {
        check_credentials(
            dialect,
            &[
                "authorization",
                "x-amz-date",
                "x-amz-security-token",
                "x-amz-content-sha256",
                "cookie",
            ],
            &[
                "X-Amz-Signature",
                "X-Amz-Credential",
                "X-Amz-Security-Token",
            ],
        );
        assert_eq!(dialect.request_id_headers()[0], "x-amzn-requestid");
        check_hint(dialect);
        assert_eq!(dialect.provider(), "aws.bedrock");
    }
    // The one's callers cannot read what the other answers.
    assert_ne!(BedrockConverse.family(), BedrockAnthropic.family());
    assert_ne!(AnthropicMessages.family(), BedrockAnthropic.family());
}

#[test]
fn the_framing_follows_the_content_type() {
    for (kind, framing) in [
        (
            "application/vnd.amazon.eventstream",
            Some(Framing::EventStream),
        ),
        (
            "Application/Vnd.Amazon.EventStream; a=b",
            Some(Framing::EventStream),
        ),
        ("application/json", None),
    ] {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        for streamed in [true, false] {
            for dialect in BOTH {
                assert_eq!(dialect.framing(&headers, streamed), framing, "{kind}");
            }
        }
    }
}

#[test]
fn a_whole_answer() {
    let answer = BedrockConverse.read_answer(br#"{"metrics":{"latencyMs":1},"output":{"message":{"content":[{"text":"{\"error\":1}"}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#);
    assert_eq!((answer.error, answer.refused), (None, false));
    let usage = answer.usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(1), Some(2)));

    let blocked = BedrockConverse.read_answer(br#"{"stopReason":"guardrail_intervened"}"#);
    assert!(blocked.refused);

    let answer = BedrockAnthropic.read_answer(
        br#"{"id":"msg_bdrk_1","type":"message","usage":{"input_tokens":1,"output_tokens":2}}"#,
    );
    assert_eq!(answer.response_id.as_deref(), Some("msg_bdrk_1"));

    for dialect in BOTH {
        for body in [&b""[..], b"<html>", br#"{"stopReason":"x""#] {
            assert_eq!(dialect.read_answer(body), Default::default());
        }
    }
}

#[test]
fn a_stream_of_announcements_is_no_first_token() {
    let mut observer = StreamObserver::new(Framing::EventStream);
    for (name, payload) in [
        ("messageStart", r#"{"role":"assistant"}"#),
        ("contentBlockStart", r#"{"start":{"toolUse":{"name":"f"}}}"#),
        ("contentBlockStop", "{}"),
    ] {
        let seen = observer.observe(&BedrockConverse, &crate::frames::event(name, payload));
        assert_eq!((seen.events, seen.progress), (1, Progress::None), "{name}");
    }
}
