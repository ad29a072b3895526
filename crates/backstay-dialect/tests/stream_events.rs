//! What one event of a stream says.

use backstay_dialect::{
    AnthropicMessages, BedrockConverse, Dialect, Event, FailureClass, Gemini, OpenAiChat,
    OpenAiResponses, OpenRouter, Plain, Progress,
};

fn progress(dialect: &dyn Dialect, name: &str, data: &str) -> Progress {
    let facts = dialect.read_event(&Event {
        name: name.as_bytes(),
        data: data.as_bytes(),
        ..Event::default()
    });
    assert_eq!(facts.error, None, "{data}");
    facts.progress
}

#[test]
fn what_an_openai_chunk_adds() {
    use Progress::*;
    for (delta, expected) in [
        (r#"{"role":"assistant"}"#, None),
        (r#"{"role":"assistant","content":""}"#, None),
        (
            r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[ ]}"#,
            None,
        ),
        (r#"{}"#, None),
        ("null", None),
        (r#"{"content":"a"}"#, Content),
        (r#"{"c\u006fntent":" "}"#, Content),
        (r#"{"content":[{"type":"text","text":"a"}]}"#, Content),
        (
            r#"{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#,
            Content,
        ),
        (r#"{"refusal":"no"}"#, Content),
        (r#"{"function_call":{"name":"f"}}"#, Content),
        (r#"{"function_call":{ }}"#, None),
        (r#"{"reasoning_content":"hm"}"#, Reasoning),
        (r#"{"reasoning":"hm","content":""}"#, Reasoning),
        (r#"{"reasoning":"","reasoning_content":null}"#, None),
        (r#"{"reasoning":"hm","content":"a"}"#, Content),
        (r#"{"role":"content"}"#, None),
    ] {
        let data = format!(r#"{{"choices":[{{"delta":{delta},"finish_reason":null}}]}}"#);
        assert_eq!(progress(&OpenAiChat, "", &data), expected, "{delta}");
    }
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":1},"content":"x","error":null}"#;
    assert_eq!(progress(&OpenAiChat, "", usage), None);
}

#[test]
fn what_an_anthropic_event_adds() {
    use Progress::*;
    for (kind, member, expected) in [
        (
            "message_start",
            r#""message":{"content":[{"text":"x"}]}"#,
            None,
        ),
        ("ping", r#""a":1"#, None),
        (
            "content_block_start",
            r#""content_block":{"type":"text","text":""}"#,
            None,
        ),
        (
            "content_block_start",
            r#""content_block":{"type":"text","text":"a"}"#,
            Content,
        ),
        (
            "content_block_start",
            r#""content_block":{"type":"thinking","thinking":"","signature":""}"#,
            None,
        ),
        (
            "content_block_start",
            r#""content_block":{"type":"thinking","thinking":"a"}"#,
            Reasoning,
        ),
        (
            "content_block_start",
            r#""content_block":{"type":"redacted_thinking","data":"a"}"#,
            Reasoning,
        ),
        (
            "content_block_start",
            r#""content_block":{"type":"tool_use","name":"f","input":{}}"#,
            Content,
        ),
        (
            "content_block_delta",
            r#""delta":{"type":"text_delta","text":"a"}"#,
            Content,
        ),
        (
            "content_block_delta",
            r#""delta":{"type":"input_json_delta","partial_json":""}"#,
            Content,
        ),
        (
            "content_block_delta",
            r#""delta":{"type":"citations_delta","citation":{}}"#,
            Content,
        ),
        (
            "content_block_delta",
            r#""delta":{"type":"thinking_delta","thinking":"a"}"#,
            Reasoning,
        ),
        (
            "content_block_delta",
            r#""delta":{"type":"signature_delta","signature":"a"}"#,
            Reasoning,
        ),
        ("content_block_stop", r#""index":0"#, None),
        ("message_delta", r#""delta":{"stop_reason":null}"#, None),
        ("something_new", r#""delta":{"type":"text_delta"}"#, None),
    ] {
        let data = format!(r#"{{"type":"{kind}",{member}}}"#);
        assert_eq!(
            progress(&AnthropicMessages, kind, &data),
            expected,
            "{data}"
        );
        // Without a name the type speaks.
        assert_eq!(progress(&AnthropicMessages, "", &data), expected, "{data}");
    }
}

#[test]
fn the_end_needs_evidence() {
    let read = |dialect: &dyn Dialect, data: &str| {
        let facts = dialect.read_event(&Event {
            name: b"",
            data: data.as_bytes(),
            ..Event::default()
        });
        (facts.finished, facts.ended)
    };
    for (data, expected) in [
        (r#"{"choices":[{"finish_reason":"stop"}]}"#, (true, false)),
        (
            r#"{"choices":[{"finish_reason":"content_filter"}]}"#,
            (true, false),
        ),
        (r#"{"choices":[{"finish_reason":null}]}"#, (false, false)),
        (r#"{"choices":[{"finish_reason":""}]}"#, (false, false)),
        (r#"{"choices":[{"finish_reason":"error"}]}"#, (false, false)),
        (r#"{"finish_reason":"stop"}"#, (false, false)),
        ("[DONE]", (false, true)),
        ("[DONE] ", (false, true)),
        ("\"[DONE]\"", (false, false)),
    ] {
        assert_eq!(read(&OpenAiChat, data), expected, "{data}");
    }
    for (data, expected) in [
        (
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            (true, false),
        ),
        (
            r#"{"type":"message_delta","delta":{"stop_reason":null}}"#,
            (false, false),
        ),
        (r#"{"type":"message_stop"}"#, (false, true)),
        ("[DONE]", (false, false)),
    ] {
        assert_eq!(read(&AnthropicMessages, data), expected, "{data}");
    }
}

#[test]
fn errors_inside_a_stream() {
    use FailureClass::*;
    let read = |dialect: &dyn Dialect, name: &str, data: &str| {
        let event = Event {
            name: name.as_bytes(),
            data: data.as_bytes(),
            ..Event::default()
        };
        let error = dialect.read_event(&event).error;
        error.map(|error| (error.class, error.code.map(String::from)))
    };
    for (name, data, class, code) in [
        (
            "",
            r#"{"error":{"code":"rate_limit_exceeded"}}"#,
            RateLimit,
            Some("rate_limit_exceeded"),
        ),
        (
            "",
            r#"{"error":{"type":"server_error","code":null}}"#,
            Server,
            Some("server_error"),
        ),
        (
            "",
            r#"{"error":{"type":"insufficient_quota"}}"#,
            Quota,
            Some("insufficient_quota"),
        ),
        (
            "",
            r#"{"error":{"type":"overloaded_error"}}"#,
            Overloaded,
            Some("overloaded_error"),
        ),
        (
            "",
            r#"{"error":{"type":"invalid_request_error"}}"#,
            Caller,
            Some("invalid_request_error"),
        ),
        (
            "",
            r#"{"error":{"code":429,"message":"m"}}"#,
            RateLimit,
            Some("429"),
        ),
        ("", r#"{"error":{"code":404}}"#, ModelGone, Some("404")),
        (
            "",
            r#"{"error":{"code":502,"type":"content_filter"}}"#,
            Server,
            Some("content_filter"),
        ),
        ("", r#"{"error":{}}"#, Server, None),
        ("", r#"{"error":"boom"}"#, Server, None),
        (
            "",
            r#"{"object":"error","type":"BadRequestError","code":400}"#,
            Caller,
            Some("BadRequestError"),
        ),
        (
            "",
            r#"{"choices":[{"finish_reason":"error"}]}"#,
            Server,
            Some("error"),
        ),
        (
            "",
            r#"{"error":{"code":"overloaded_error"},"choices":[{"finish_reason":"error"}]}"#,
            Overloaded,
            Some("overloaded_error"),
        ),
        (
            "",
            r#"{"choices":[],"x_groq":{"error":"over capacity"}}"#,
            Server,
            None,
        ),
        (
            "error",
            r#"{"message":"m","code":"slow_down"}"#,
            Overloaded,
            Some("slow_down"),
        ),
    ] {
        let code = code.map(str::to_owned);
        assert_eq!(read(&OpenAiChat, name, data), Some((class, code)), "{data}");
    }
    for (kind, class) in [
        ("overloaded_error", Overloaded),
        ("rate_limit_error", RateLimit),
        ("api_error", Server),
        ("timeout_error", Timeout),
        ("authentication_error", Authentication),
        ("billing_error", Quota),
        ("not_found_error", ModelGone),
        ("request_too_large", ContextTooLong),
        ("invalid_request_error", Caller),
        ("something_new", Server),
    ] {
        let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
        for name in ["", "error"] {
            let expected = Some((class, Some(kind.to_owned())));
            assert_eq!(read(&AnthropicMessages, name, &data), expected, "{data}");
        }
    }
    assert_eq!(
        read(&AnthropicMessages, "error", "no json"),
        Some((Server, None))
    );
}

#[test]
fn what_is_no_whole_document_is_no_answer() {
    for dialect in [
        &OpenAiChat as &dyn Dialect,
        &OpenAiResponses,
        &AnthropicMessages,
        &Plain,
    ] {
        for body in [&b""[..], b"<html>", br#"{"error":{"code":429}"#] {
            assert_eq!(dialect.read_answer(body), Default::default());
        }
    }
}

#[test]
fn garbage_says_nothing() {
    for dialect in [
        &OpenAiChat as &dyn Dialect,
        &OpenAiResponses,
        &OpenRouter,
        &AnthropicMessages,
    ] {
        for data in [
            "",
            "hello",
            "{",
            "[1]",
            "null",
            r#"{"choices":[{"delta":{"content":"a"}}]"#,
            r#"{"choices":[{"delta":{"content":"a"}}]} x"#,
            r#"{"error":{"code":"x"}"#,
        ] {
            let event = Event {
                name: b"",
                data: data.as_bytes(),
                ..Event::default()
            };
            assert_eq!(dialect.read_event(&event), Default::default(), "{data}");
        }
    }
}

/// Typical deltas are compared with known bytes before they are read. A blank puts them on the long way.
#[test]
fn a_typical_delta_says_the_same_on_the_short_way_and_on_the_long() {
    let openai = [
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":" \"hi\\\\"},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c1","choices":[{"index":10,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}"#,
        r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#,
        r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","service_tier":null,"system_fingerprint":"f","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":{"prompt_tokens":31,"total_tokens":40,"completion_tokens":9}}"#,
        r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":""},"finish_reason":null}],"usage":null,"obfuscation":"xY"}"#,
    ];
    let anthropic = [
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\"b\\\\"}}"#,
        r#"{"type":"content_block_delta","index":12,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    ];
    let responses = [
        r#"{"type":"response.output_text.delta","sequence_number":7,"item_id":"m","output_index":1,"content_index":0,"delta":"a\"b\\\\","logprobs":[],"obfuscation":"xY"}"#,
        r#"{"type":"response.output_text.delta","sequence_number":7,"item_id":"m","output_index":1,"content_index":0,"delta":""}"#,
        r#"{"type":"response.reasoning_summary_text.delta","sequence_number":7,"item_id":"m","output_index":0,"summary_index":0,"delta":"hm"}"#,
        r#"{"type":"response.reasoning_text.delta","sequence_number":7,"item_id":"m","output_index":0,"content_index":0,"delta":"hm"}"#,
        r#"{"type":"response.function_call_arguments.delta","sequence_number":7,"item_id":"m","output_index":0,"delta":"{","obfuscation":""}"#,
    ];
    let openai = ["{", "\"choices\":", "\"usage\":{"].map(|before| {
        let with = openai.into_iter().filter(|data| data.contains(before));
        with.map(|data| (&OpenAiChat as &dyn Dialect, data, before))
            .collect::<Vec<_>>()
    });
    let anthropic = anthropic.map(|data| (&AnthropicMessages as &dyn Dialect, data, "{"));
    let responses = responses.map(|data| (&OpenAiResponses as &dyn Dialect, data, "{"));
    for (dialect, data, before) in openai
        .into_iter()
        .flatten()
        .chain(anthropic)
        .chain(responses)
    {
        let blank = data.find(before).unwrap() + before.len();
        let agree = |data: &[u8]| {
            let at = blank.min(data.len());
            let long = [&data[..at], b" ", &data[at..]].concat();
            for name in [&b""[..], b"content_block_delta", b"message_delta", b"error"] {
                let facts = |data: &[u8]| {
                    let event = Event {
                        name,
                        data,
                        ..Event::default()
                    };
                    format!("{:?}", dialect.read_event(&event))
                };
                assert_eq!(facts(data), facts(&long), "{}", data.escape_ascii());
            }
        };
        agree(data.as_bytes());
        for at in 0..data.len() {
            agree(&data.as_bytes()[..at]);
            for byte in *b"\"\\{}[]:,0x " {
                let mut changed = data.as_bytes().to_vec();
                changed[at] = byte;
                agree(&changed);
                changed.insert(at, data.as_bytes()[at]);
                agree(&changed);
            }
        }
    }
}

#[test]
fn a_delta_of_no_length_adds_nothing() {
    let (text, thinking) = (
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":""}}"#,
    );
    for data in [text, thinking] {
        let spaced = data.replace(':', ": ");
        for data in [data, spaced.as_str()] {
            for name in ["", "content_block_delta"] {
                let progress = progress(&AnthropicMessages, name, data);
                assert_eq!(progress, Progress::None, "{data}");
            }
        }
    }
    for part in [
        r#"{"type":"text","text":""}"#,
        r#"{"type":"thinking","thinking":[]}"#,
        r#"{"type":"thinking","thinking":[{"type":"text","text":""}]}"#,
    ] {
        let data = format!(r#"{{"choices":[{{"delta":{{"content":[{part}]}}}}]}}"#);
        assert_eq!(progress(&OpenAiChat, "", &data), Progress::None, "{data}");
    }
    for delta in [
        r#"{"toolUse":{"input":""}}"#,
        r#"{"reasoningContent":{"text":""}}"#,
    ] {
        let data = format!(r#"{{"delta":{delta}}}"#);
        let progress = progress(&BedrockConverse, "contentBlockDelta", &data);
        assert_eq!(progress, Progress::None, "{delta}");
    }
}

#[test]
fn an_error_that_holds_nothing_is_none() {
    for error in [r#""""#, "false", "null"] {
        let chunk = format!(r#"{{"error":{error},"choices":[{{"delta":{{"content":"a"}}}}]}}"#);
        assert_eq!(progress(&OpenAiChat, "", &chunk), Progress::Content);
        let answer = format!(r#"{{"id":"a","error":{error}}}"#);
        for dialect in [
            &OpenAiChat as &dyn Dialect,
            &OpenAiResponses,
            &AnthropicMessages,
            &Gemini,
        ] {
            let error = dialect.read_answer(answer.as_bytes()).error;
            assert_eq!(error, None, "{}: {answer}", dialect.name());
        }
    }
}

#[test]
fn an_event_that_is_named_an_error_is_one_whatever_its_type() {
    for (data, class) in [
        (
            r#"{"type":"server_error","code":"slow_down","message":"m"}"#,
            FailureClass::Overloaded,
        ),
        (
            r#"{"type":"rate_limit_error","message":"m"}"#,
            FailureClass::RateLimit,
        ),
    ] {
        for dialect in [&OpenAiChat as &dyn Dialect, &OpenAiResponses] {
            let facts = dialect.read_event(&Event {
                name: b"error",
                data: data.as_bytes(),
                ..Event::default()
            });
            let told = facts.error.map(|error| error.class);
            assert_eq!(told, Some(class), "{}: {data}", dialect.name());
        }
    }
}
