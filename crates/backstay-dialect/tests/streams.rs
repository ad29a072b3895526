//! What the events of a stream say, and that no cut changes it.

use backstay_dialect::{
    AnthropicMessages, Dialect, Event, FailureClass, Framing, MAX_EVENT_NAME_BYTES, OpenAiChat,
    OpenAiResponses, OpenRouter, Plain, Progress, Seen, StreamObserver, Usage,
};
use proptest::prelude::*;

fn add(all: &mut Seen, seen: Seen) {
    all.progress = all.progress.max(seen.progress);
    all.ended |= seen.ended;
    all.finished |= seen.finished;
    all.error = all.error.take().or(seen.error);
    all.response_id = all.response_id.take().or(seen.response_id);
    if let Some(usage) = seen.usage {
        all.usage.get_or_insert_default().update(usage);
    }
    all.events += seen.events;
}

fn observe<'a>(
    dialect: &dyn Dialect,
    limit: usize,
    frames: impl IntoIterator<Item = &'a [u8]>,
) -> Seen {
    let mut observer = StreamObserver::with_limit(Framing::ServerSent, limit);
    let mut all = Seen::default();
    for frame in frames {
        add(&mut all, observer.observe(dialect, frame));
    }
    all
}

fn whole(dialect: &dyn Dialect, stream: &str) -> Seen {
    observe(dialect, 1 << 20, [stream.as_bytes()])
}

fn progress(dialect: &dyn Dialect, name: &str, data: &str) -> Progress {
    let facts = dialect.read_event(&Event {
        name: name.as_bytes(),
        data: data.as_bytes(),
        ..Event::default()
    });
    assert_eq!(facts.error, None, "{data}");
    facts.progress
}

const OPENAI: &str = concat!(
    "\u{feff}: OPENROUTER PROCESSING\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-2\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\r\n\r\n",
    "id: 7\rretry: 10\rdata:{\"id\":\"chatcmpl-1\",\rdata: \"choices\":[{\"delta\":{\"content\":\"H\u{e9}\u{2028}llo \\\"\"}}]}\r\r",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46}}\n\n",
    "data: [DONE]\n\n",
    "data: {\"error\":{\"code\":\"late\"}}\n\n",
);

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"stop_reason\":null,\"content\":[],\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\r\n\r\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
);

#[test]
fn an_openai_stream() {
    let seen = whole(&OpenAiChat, OPENAI);
    assert_eq!(seen.progress, Progress::Content);
    assert!(seen.finished && seen.ended);
    assert_eq!(seen.error, None);
    assert_eq!(seen.response_id.as_deref(), Some("chatcmpl-1"));
    let usage = Usage {
        input: Some(12),
        output: Some(34),
    };
    assert_eq!(seen.usage, Some(usage));
    assert_eq!(seen.events, 6);
}

#[test]
fn an_anthropic_stream() {
    let seen = whole(&AnthropicMessages, ANTHROPIC);
    assert_eq!(seen.progress, Progress::Content);
    assert!(seen.finished && seen.ended);
    assert_eq!(seen.error, None);
    assert_eq!(seen.response_id.as_deref(), Some("msg_1"));
    let usage = Usage {
        input: Some(17),
        output: Some(9),
    };
    assert_eq!(seen.usage, Some(usage));
    assert_eq!(seen.events, 7);
}

#[test]
fn a_stream_may_be_cut_at_every_byte() {
    for (dialect, stream) in [
        (&OpenAiChat as &dyn Dialect, OPENAI),
        (&AnthropicMessages, ANTHROPIC),
        (&Plain, ANTHROPIC),
    ] {
        let bytes = stream.as_bytes();
        for limit in [60, 1 << 20] {
            let expected = observe(dialect, limit, [bytes]);
            assert_eq!(observe(dialect, limit, bytes.chunks(1)), expected);
            for cut in 0..=bytes.len() {
                let (left, right) = bytes.split_at(cut);
                assert_eq!(observe(dialect, limit, [left, right]), expected, "{cut}");
            }
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
        r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"f","choices":[],"usage":{"prompt_tokens":3}}"#,
        r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":null}"#,
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
    let openai = openai.map(|data| (&OpenAiChat as &dyn Dialect, data, "{"));
    let anthropic = anthropic.map(|data| (&AnthropicMessages as &dyn Dialect, data, "{"));
    let responses = responses.map(|data| (&OpenAiResponses as &dyn Dialect, data, "{"));
    for (dialect, data, before) in openai.into_iter().chain(anthropic).chain(responses) {
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

#[test]
fn framing() {
    // How many events each stream holds, as the plain dialect counts them.
    for (stream, events) in [
        ("", 0),
        ("data: a\n\n", 1),
        ("data\n\n", 1),
        ("data:\n\n", 1),
        ("dat: a\n\n", 0),
        ("dataa: a\n\n", 0),
        (" data: a\n\n", 0),
        (": data: a\n\n", 0),
        ("event: x\n\n", 0),
        ("\n\n\n", 0),
        ("data: a\ndata: b\n\n", 1),
        ("data: a\r\rdata: b\r\r", 2),
        ("data: a\r\n\r\ndata: b\r\n\r\n", 2),
        ("data: a\n\rdata: b\r\n\n", 2),
        ("data: a\r\ndata: b\r\n\r\n", 1),
        ("data: a\n\ndata: b\n", 1),
        ("data: a\n\ndata: b", 1),
        ("data: a\u{2028}\u{2028}\n", 0),
        ("\u{feff}data: a\n\n", 1),
        ("\u{feff}\u{feff}data: a\n\n", 0),
        ("\n\u{feff}data: a\n\n", 0),
    ] {
        assert_eq!(whole(&Plain, stream).events, events, "{stream:?}");
        let bytes = observe(&Plain, 1 << 20, stream.as_bytes().chunks(1));
        assert_eq!(bytes.events, events, "{stream:?}");
    }
    for half in [&b"\xefdata: a\n\n"[..], b"\xef\xbbdata: a\n\n"] {
        assert_eq!(observe(&Plain, 1 << 20, [half]).events, 0);
        assert_eq!(observe(&Plain, 1 << 20, half.chunks(1)).events, 0);
    }
}

/// Keeps nothing, but fails on any event that is not the one expected.
#[derive(Debug)]
struct Expect(&'static [u8], &'static [u8]);

impl Dialect for Expect {
    fn name(&self) -> &'static str {
        "expect"
    }
    fn provider(&self) -> &'static str {
        ""
    }
    fn carries_model(&self) -> bool {
        false
    }
    fn read_request(
        &self,
        path: &str,
        body: &[u8],
    ) -> Result<backstay_dialect::RequestFacts, backstay_dialect::RequestError> {
        Plain.read_request(path, body)
    }
    fn portable_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }
    fn credential_headers(&self) -> &'static [http::HeaderName] {
        &[]
    }
    fn classify(&self, answer: &backstay_dialect::Answer<'_>) -> backstay_dialect::Failure {
        Plain.classify(answer)
    }
    fn read_event<'a>(&self, event: &Event<'a>) -> backstay_dialect::EventFacts<'a> {
        assert_eq!((event.name, event.data), (self.0, self.1));
        Plain.read_event(event)
    }
    fn read_answer(&self, body: &[u8]) -> backstay_dialect::AnswerFacts {
        Plain.read_answer(body)
    }
}

#[test]
fn names_and_values_reach_the_dialect() {
    static LONG: [u8; MAX_EVENT_NAME_BYTES] = [b'n'; MAX_EVENT_NAME_BYTES];
    let long = format!("event: {}\ndata: a\n\n", "n".repeat(1000));
    for (stream, expected) in [
        (
            "data: a\ndata:b\ndata\ndata:  c: d\n\n",
            Expect(b"", b"a\nb\n\n c: d"),
        ),
        ("event: x\nid: 1\ndata: a\n\n", Expect(b"x", b"a")),
        ("event: x\nevent: y\ndata: a\n\n", Expect(b"y", b"a")),
        ("event: x\nevent\ndata: a\n\n", Expect(b"", b"a")),
        ("data: a\nevent:y\n\n", Expect(b"y", b"a")),
        ("event: gone\n\ndata: a\n\n", Expect(b"", b"a")),
        (&long, Expect(&LONG, b"a")),
    ] {
        let bytes = stream.as_bytes();
        assert_eq!(observe(&expected, 100, [bytes]).events, 1);
        for size in 1..8 {
            assert_eq!(
                observe(&expected, 100, bytes.chunks(size)).events,
                1,
                "{stream}"
            );
        }
    }
}

#[test]
fn an_event_over_the_limit_is_passed_over() {
    for (stream, events) in [
        ("data: 12345\n\ndata: x\n\n", 2),
        ("data: 123456\n\ndata: x\n\n", 1),
        ("data:123456\n\ndata: x\n\n", 1),
        ("data: 12\ndata: 34\n\ndata: x\n\n", 2),
        ("data: 12\ndata: 345\n\ndata: x\n\n", 1),
        ("data: 123456\ndata: 1\n\ndata: x\n\n", 1),
        (": a very long comment\ndata: x\n\n", 1),
        ("id: a very long field\ndata: x\n\n", 1),
        ("event: a_long_name\ndata: x\n\n", 1),
    ] {
        let bytes = stream.as_bytes();
        assert_eq!(observe(&Plain, 5, [bytes]).events, events, "{stream}");
        for size in 1..12 {
            assert_eq!(
                observe(&Plain, 5, bytes.chunks(size)).events,
                events,
                "{stream} {size}"
            );
        }
    }
    assert_eq!(
        observe(&Plain, 0, [b"data:\n\ndata:1\n\n".as_slice()]).events,
        1
    );
    assert_eq!(
        observe(&Plain, usize::MAX, b"data: 1\n\n".chunks(2)).events,
        1
    );
}

/// The last event of an answer repeats all of it, images too.
#[test]
fn an_event_over_the_limit_keeps_its_name() {
    for (stream, expected) in [
        ("event: x\ndata: 123456\n\n", Expect(b"x", b"")),
        ("event: x\ndata: 12\ndata: 345\n\n", Expect(b"x", b"")),
        // It was over the limit before its other name came.
        ("event: x\ndata: 123456\nevent: y\n\n", Expect(b"x", b"")),
    ] {
        let bytes = stream.as_bytes();
        for size in 1..=bytes.len() {
            let seen = observe(&expected, 5, bytes.chunks(size));
            assert_eq!(seen.events, 1, "{stream} {size}");
        }
    }
    let last = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":\"{}\"}}\n\n",
        "x".repeat(2 << 20)
    );
    assert!(whole(&OpenAiResponses, &last).ended);
    assert!(observe(&OpenAiResponses, 1 << 20, last.as_bytes().chunks(9000)).ended);
    let nameless = last.trim_start_matches("event: response.completed\n");
    assert!(!observe(&OpenAiResponses, 1 << 20, nameless.as_bytes().chunks(9000)).ended);
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut observer = StreamObserver::new(Framing::ServerSent);
    assert!(observer.observe(&OpenAiChat, b"data: [DONE]\n\n").ended);
    let seen = observer.observe(&OpenAiChat, b"data: {\"error\":{}}\n\n");
    assert_eq!((seen.ended, seen.events, seen.error), (true, 0, None));
}

#[test]
fn debug_shows_no_content() {
    let mut observer = StreamObserver::new(Framing::ServerSent);
    observer.observe(&OpenAiChat, b"event: x\ndata: s3cret\ndata: s3c");
    let event = Event {
        name: b"x",
        data: b"s3cret",
        ..Event::default()
    };
    assert!(!format!("{observer:?} {event:?}").contains("s3c"));
    // Nor as a list of numbers.
    assert!(!format!("{observer:?} {event:?}").contains("115"));
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn cuts_change_nothing(cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20), limit in 0..200_usize) {
        for (dialect, stream) in [(&OpenAiChat as &dyn Dialect, OPENAI), (&AnthropicMessages, ANTHROPIC)] {
            let bytes = stream.as_bytes();
            prop_assert_eq!(observe(dialect, limit, pieces(bytes, &cuts)), observe(dialect, limit, [bytes]));
        }
    }

    #[test]
    fn cuts_change_nothing_in_any_soup(
        words in proptest::collection::vec(prop::sample::select(&["data", "event", ":", " ", "\r", "\n", "\n\n", "\u{feff}", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "[DONE]", "x", "data: 1"][..]), 0..40),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        limit in 0..30_usize,
    ) {
        let stream = words.concat();
        for dialect in [&OpenAiChat as &dyn Dialect, &Plain] {
            let expected = observe(dialect, limit, [stream.as_bytes()]);
            prop_assert_eq!(observe(dialect, limit, pieces(stream.as_bytes(), &cuts)), expected.clone());
            prop_assert_eq!(observe(dialect, limit, stream.as_bytes().chunks(1)), expected);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), limit in 0..50_usize) {
        observe(&OpenAiChat, limit, bytes.chunks(7));
        observe(&AnthropicMessages, limit, [&bytes[..]]);
        observe(&OpenAiResponses, limit, [&bytes[..]]);
    }
}
