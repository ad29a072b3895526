//! Gemini: a row of the providers' tables at a time.

use std::time::Duration;

use crate::rows::{
    Asked, Failed, Said, check_credentials, check_events, check_failures, check_garbage,
    check_hint, check_outages, check_requests, document_events, document_failures,
};
use backstay_dialect::{
    Action, Dialect, FailureClass, Framing, Gemini, HintSource, Progress, RequestError, Seen,
    StreamObserver, VertexGemini,
};
use http::{HeaderMap, HeaderValue};

const BOTH: [&dyn Dialect; 2] = [&Gemini, &VertexGemini];

const HTML: &str = "<html><head><title>502. That's an error.</title></head></html>";

const FAILURES: [Failed; 24] = {
    use Action::{Retry, Skip, Stop};
    use FailureClass::*;
    const fn row(
        row: &'static str,
        (status, body): (u16, &'static str),
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
        row(
            "400 INVALID_ARGUMENT",
            (
                400,
                r#"{"error":{"code":400,"message":"* GenerateContentRequest.contents: contents is not specified","status":"INVALID_ARGUMENT"}}"#,
            ),
            (Caller, Stop),
            Some("INVALID_ARGUMENT"),
        ),
        row(
            "400 INVALID_ARGUMENT that is a bad key",
            (
                400,
                r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com","metadata":{"service":"generativelanguage.googleapis.com"}}]}}"#,
            ),
            (Authentication, Skip),
            Some("API_KEY_INVALID"),
        ),
        row(
            "400 INVALID_ARGUMENT whose prose speaks of a key",
            (
                400,
                r#"{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT"}}"#,
            ),
            (Caller, Stop),
            Some("INVALID_ARGUMENT"),
        ),
        row(
            "400 prompt too long",
            (
                400,
                r#"{"error":{"code":400,"message":"The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            ),
            (ContextTooLong, Stop),
            Some("INVALID_ARGUMENT"),
        ),
        row(
            "400 prompt too long, on Vertex",
            (
                400,
                r#"{"error":{"code":400,"message":"Unable to submit request because the input token count is 1048577 but model only supports up to 1048576.","status":"INVALID_ARGUMENT"}}"#,
            ),
            (ContextTooLong, Stop),
            Some("INVALID_ARGUMENT"),
        ),
        row(
            "400 that quotes a request which speaks of tokens",
            (
                400,
                r#"{"error":{"code":400,"message":"Invalid value: \"The input token count\"","status":"INVALID_ARGUMENT"}}"#,
            ),
            (Caller, Stop),
            Some("INVALID_ARGUMENT"),
        ),
        row(
            "400 FAILED_PRECONDITION",
            (
                400,
                r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
            ),
            (Authentication, Skip),
            Some("FAILED_PRECONDITION"),
        ),
        row(
            "401 UNAUTHENTICATED",
            (
                401,
                r#"{"error":{"code":401,"status":"UNAUTHENTICATED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"ACCESS_TOKEN_TYPE_UNSUPPORTED"}]}}"#,
            ),
            (Authentication, Skip),
            Some("ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ),
        row(
            "403 PERMISSION_DENIED",
            (
                403,
                r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}"#,
            ),
            (Authentication, Skip),
            Some("PERMISSION_DENIED"),
        ),
        row(
            "403 billing is off",
            (
                403,
                r#"{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"reason":"BILLING_DISABLED"}]}}"#,
            ),
            (Quota, Skip),
            Some("BILLING_DISABLED"),
        ),
        row(
            "404 NOT_FOUND",
            (
                404,
                r#"{"error":{"code":404,"message":"models/gemini-0 is not found","status":"NOT_FOUND"}}"#,
            ),
            (ModelGone, Skip),
            Some("NOT_FOUND"),
        ),
        row("413 of an edge", (413, HTML), (ContextTooLong, Stop), None),
        row(
            "429 RESOURCE_EXHAUSTED without details",
            (
                429,
                r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#,
            ),
            (RateLimit, Retry),
            Some("RESOURCE_EXHAUSTED"),
        ),
        row(
            "429 RESOURCE_EXHAUSTED per minute",
            (
                429,
                r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"model":"gemini-2.5-pro"},"quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}"#,
            ),
            (RateLimit, Retry),
            Some("RESOURCE_EXHAUSTED"),
        ),
        row(
            "429 RESOURCE_EXHAUSTED per day, after another per minute",
            (
                429,
                r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"},{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"50"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}"#,
            ),
            (Quota, Skip),
            Some("RESOURCE_EXHAUSTED"),
        ),
        row(
            "429 RESOURCE_EXHAUSTED with limit 0",
            (
                429,
                r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier","quotaValue":"0"}]}]}}"#,
            ),
            (Quota, Skip),
            Some("RESOURCE_EXHAUSTED"),
        ),
        row(
            "429 in an array, as the endpoint of streams sends it",
            (
                429,
                r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"RequestsPerDay","quotaValue":0}]}]}}]"#,
            ),
            (Quota, Skip),
            Some("RESOURCE_EXHAUSTED"),
        ),
        row(
            "499 CANCELLED",
            (
                499,
                r#"{"error":{"code":499,"status":"CANCELLED","message":"m"}}"#,
            ),
            (Server, Retry),
            Some("CANCELLED"),
        ),
        row(
            "500 INTERNAL",
            (500, r#"{"error":{"code":500,"status":"INTERNAL"}}"#),
            (Server, Retry),
            Some("INTERNAL"),
        ),
        row("502 of a proxy", (502, HTML), (Server, Retry), None),
        row(
            "503 UNAVAILABLE",
            (
                503,
                r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
            ),
            (Overloaded, Retry),
            Some("UNAVAILABLE"),
        ),
        row(
            "504 DEADLINE_EXCEEDED",
            (
                504,
                r#"{"error":{"code":504,"status":"DEADLINE_EXCEEDED"}}"#,
            ),
            (Timeout, Retry),
            Some("DEADLINE_EXCEEDED"),
        ),
        row(
            "500 that mentions the prompt's length",
            (
                500,
                r#"{"error":{"code":400,"message":"The input token count (9) exceeds","status":"INVALID_ARGUMENT"}}"#,
            ),
            (Server, Retry),
            Some("INVALID_ARGUMENT"),
        ),
        row(
            "an error that is only a word",
            (400, r#"{"error":"invalid_grant"}"#),
            (Caller, Stop),
            None,
        ),
    ]
};

#[test]
fn each_failure_calls_for_its_action() {
    for dialect in BOTH {
        check_failures(dialect, &FAILURES);
    }
    document_failures(&Gemini, "statuses and codes", &FAILURES);
}

#[test]
fn the_wait_is_in_the_body() {
    for row in FAILURES
        .iter()
        .filter(|row| row.body.contains("retryDelay"))
    {
        for dialect in BOTH {
            let hint = crate::rows::classify(dialect, row.status, None, row.body.as_bytes()).hint;
            assert_eq!(hint.after, Some(Duration::from_secs(36)), "{}", row.row);
            assert_eq!(hint.source, Some(HintSource::RetryInfo), "{}", row.row);
        }
    }
}

#[test]
fn no_outage_is_anybody_elses_fault() {
    check_outages(&Gemini, &FAILURES);
}

#[test]
fn each_event_says_what_the_table_says() {
    use FailureClass::*;
    let none = Said::default();
    let mut rows = vec![
        Said {
            row: "lifecycle: a candidate with no parts",
            data: r#"{"candidates":[{"content":{"role":"model"},"index":0}],"responseId":"r-1","modelVersion":"m"}"#,
            response_id: Some("r-1"),
            ..none
        },
        Said {
            row: "lifecycle: an empty part",
            data: r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"}}]}"#,
            ..none
        },
        Said {
            row: "text",
            data: r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"}}]}"#,
            progress: Progress::Content,
            ..none
        },
        Said {
            row: "a thought",
            data: r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}]}}]}"#,
            progress: Progress::Reasoning,
            ..none
        },
        Said {
            row: "a thought, and text after it",
            data: r#"{"candidates":[{"content":{"parts":[{"thought":true,"text":"hm"},{"text":"Hi","thought":false}]}}]}"#,
            progress: Progress::Content,
            ..none
        },
        Said {
            row: "a thought's signature alone",
            data: r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"Cg=="}]}}]}"#,
            progress: Progress::Reasoning,
            ..none
        },
        Said {
            row: "a tool call, signed",
            data: r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"Cg=="}]}}]}"#,
            progress: Progress::Content,
            ..none
        },
        Said {
            row: "an image",
            data: r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"A"}}]}}]}"#,
            progress: Progress::Content,
            ..none
        },
        Said {
            row: "usage while the answer goes on",
            data: r#"{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":1,"totalTokenCount":6}}"#,
            usage: Some((5, 1)),
            ..none
        },
        Said {
            row: "the normal end",
            data: r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"toolUsePromptTokenCount":2,"cachedContentTokenCount":4,"candidatesTokenCount":3,"thoughtsTokenCount":10,"totalTokenCount":20}}"#,
            finished: true,
            usage: Some((7, 13)),
            ..none
        },
        Said {
            row: "the answer was too long",
            data: r#"{"candidates":[{"finishReason":"MAX_TOKENS"}]}"#,
            finished: true,
            ..none
        },
        Said {
            row: "the default of the reason is none",
            data: r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}],"promptFeedback":{"blockReason":"BLOCK_REASON_UNSPECIFIED"}}"#,
            ..none
        },
        Said {
            row: "an in-band error with a status",
            data: r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#,
            error: Some((Overloaded, Some("UNAVAILABLE"))),
            ..none
        },
        Said {
            row: "an in-band error of a quota",
            data: r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"XPerDay"}]}]}}"#,
            error: Some((Quota, Some("RESOURCE_EXHAUSTED"))),
            ..none
        },
        Said {
            row: "an in-band error without a status",
            data: r#"{"error":{"message":"m"}}"#,
            error: Some((Server, None)),
            ..none
        },
        Said {
            row: "an in-band error that is the caller's",
            data: r#"{"error":{"status":"INVALID_ARGUMENT"}}"#,
            error: Some((Caller, Some("INVALID_ARGUMENT"))),
            ..none
        },
        Said {
            row: "an in-band 5xx that names the caller",
            data: r#"{"error":{"code":500,"status":"INVALID_ARGUMENT"}}"#,
            error: Some((Server, Some("INVALID_ARGUMENT"))),
            ..none
        },
        Said {
            row: "an in-band error that is only a word",
            data: r#"{"error":"boom"}"#,
            error: Some((Server, None)),
            ..none
        },
        Said {
            row: "an id that could smuggle text",
            data: r#"{"responseId":"a b","error":null}"#,
            ..none
        },
    ];
    for (row, data) in [
        (
            "blockReason SAFETY",
            r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
        ),
        (
            "blockReason BLOCKLIST",
            r#"{"promptFeedback":{"safetyRatings":[],"blockReason":"BLOCKLIST"}}"#,
        ),
        (
            "blockReason PROHIBITED_CONTENT",
            r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}"#,
        ),
        (
            "blockReason JAILBREAK",
            r#"{"promptFeedback":{"blockReason":"JAILBREAK"}}"#,
        ),
        (
            "blockReason SOMETHING_NEW",
            r#"{"promptFeedback":{"blockReason":"SOMETHING_NEW"}}"#,
        ),
        (
            "finishReason SAFETY",
            r#"{"candidates":[{"finishReason":"SAFETY"}]}"#,
        ),
        (
            "finishReason RECITATION",
            r#"{"candidates":[{"finishReason":"RECITATION"}]}"#,
        ),
        (
            "finishReason PROHIBITED_CONTENT",
            r#"{"candidates":[{"finishReason":"PROHIBITED_CONTENT"}]}"#,
        ),
        (
            "finishReason BLOCKLIST",
            r#"{"candidates":[{"finishReason":"BLOCKLIST"}]}"#,
        ),
        (
            "finishReason SPII",
            r#"{"candidates":[{"finishReason":"SPII"}]}"#,
        ),
        (
            "finishReason LANGUAGE",
            r#"{"candidates":[{"finishReason":"LANGUAGE"}]}"#,
        ),
        (
            "finishReason IMAGE_SAFETY",
            r#"{"candidates":[{"finishReason":"IMAGE_SAFETY"}]}"#,
        ),
        (
            "finishReason MODEL_ARMOR",
            r#"{"candidates":[{"finishReason":"MODEL_ARMOR"}]}"#,
        ),
    ] {
        rows.push(Said {
            row,
            data,
            finished: true,
            refused: true,
            ..none
        });
    }
    for dialect in BOTH {
        check_events(dialect, &rows);
        check_garbage(dialect, &["", "message"]);
    }
    document_events(&Gemini, "stream events", &rows);
}

#[test]
fn the_model_is_in_the_path() {
    check_requests(
        &Gemini,
        &[
            Asked {
                path: "/v1beta/models/gemini-2.5-pro:generateContent",
                model: "gemini-2.5-pro",
                stream: false,
            },
            Asked {
                path: "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=k",
                model: "gemini-2.5-pro",
                stream: true,
            },
            Asked {
                path: "/v1beta/tunedModels/mine%2F1:streamGenerateContent",
                model: "mine%2F1",
                stream: true,
            },
        ],
    );
    check_requests(
        &VertexGemini,
        &[
            Asked {
                path: "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:streamGenerateContent",
                model: "gemini-2.5-pro",
                stream: true,
            },
            Asked {
                path: "/v1/projects/p/locations/l/endpoints/123:generateContent",
                model: "123",
                stream: false,
            },
        ],
    );
    for path in [
        "",
        "/v1beta/models",
        "/v1beta/models/m",
        "/v1beta/models/:generateContent",
        "/v1beta/files/m:generateContent",
    ] {
        let read = Gemini.read_request(path, b"{}");
        assert_eq!(read, Err(RequestError::NoModelInPath), "{path}");
    }
}

#[test]
fn keys_are_known_and_ids_are_found() {
    for dialect in BOTH {
        check_credentials(
            dialect,
            &[
                "authorization",
                "x-goog-api-key",
                "x-goog-user-project",
                "cookie",
            ],
            &["key", "access_token"],
        );
        assert_eq!(dialect.request_id_headers()[0], "x-goog-request-id");
        check_hint(dialect);
        assert_eq!(dialect.family(), "gemini");
    }
    assert_eq!(Gemini.provider(), "gcp.gemini");
    assert_eq!(VertexGemini.provider(), "gcp.vertex_ai");
}

#[test]
fn the_framing_follows_the_content_type() {
    for (kind, streamed, framing) in [
        ("text/event-stream", true, Some(Framing::ServerSent)),
        (
            "application/json; charset=UTF-8",
            true,
            Some(Framing::JsonArray),
        ),
        ("application/json", false, None),
        ("text/html", true, None),
    ] {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        for dialect in BOTH {
            assert_eq!(
                dialect.framing(&headers, streamed),
                framing,
                "{kind} {streamed}"
            );
        }
    }
}

#[test]
fn a_whole_answer() {
    let answer = Gemini.read_answer(br#"{"candidates":[{"content":{"parts":[{"text":"{\"error\":1}"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2},"responseId":"r"}"#);
    assert_eq!((answer.error, answer.refused), (None, false));
    assert_eq!(answer.response_id.as_deref(), Some("r"));
    assert_eq!(answer.usage.and_then(|usage| usage.output), Some(2));

    let blocked = Gemini.read_answer(br#"{"promptFeedback":{"blockReason":"SAFETY"}}"#);
    assert_eq!((blocked.error, blocked.refused), (None, true));

    let failed = Gemini.read_answer(br#"{"error":{"code":503}}"#);
    assert_eq!(
        failed.error.map(|e| e.class),
        Some(FailureClass::Overloaded)
    );

    for body in [&b""[..], b"<html>", br#"{"error":{"code":429}"#] {
        assert_eq!(Gemini.read_answer(body), Default::default());
    }
}

#[test]
fn an_array_that_closes_without_a_reason_is_no_success() {
    for stream in [
        "[]",
        r#"[{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}]"#,
    ] {
        let seen = StreamObserver::new(Framing::JsonArray).observe(&Gemini, stream.as_bytes());
        assert!(!seen.finished && !seen.ended, "{stream}");
    }
    let refused = r#"[{"promptFeedback":{"blockReason":"SAFETY"}}]"#;
    let Seen {
        finished,
        ended,
        refused,
        ..
    } = StreamObserver::new(Framing::JsonArray).observe(&Gemini, refused.as_bytes());
    assert!(finished && ended && refused);
}
