//! What a target changes: dialect, model, fields, signature.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::dialect::{
    self, AnswerFacts, AnthropicMessages, BedrockConverse, Dialect, Event, EventFacts, Failure,
    FailureClass, Gemini, Groq, OpenAiChat, OpenRouter, Progress, RequestError, RequestFacts,
    VertexAnthropic,
};
use backstay::error::RequestProblem;
use backstay::fallback::{FallbackLayer, Outgoing, PromptTokens, Sign, Target, Targets};
use backstay::trail::{Outcome, Reason};
use backstay::{Body, BoxError, BuildError, ErrorKind, Trail};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use parking_lot::Mutex;
use std::sync::Arc;
use support::{
    Answer, PROMPT, Upstream, chat, chat_with, kind, models, send, stack, trail, trail_of,
};

fn gemini(path: &str) -> Request<Body> {
    Request::post(format!("https://generativelanguage.googleapis.com{path}"))
        .header("content-type", "application/json")
        .header("x-goog-api-key", "secret-of-the-caller")
        .body(Body::from(r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#))
        .unwrap()
}

const GEMINI: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}"#;

// Dialects.

#[test]
fn targets_of_two_families_are_refused_at_build_and_both_are_named() {
    let build = |targets: Targets| FallbackLayer::new(targets).map(drop);
    let named = Targets::new(Target::model("a").dialect(OpenAiChat))
        .then(Target::model("b").dialect(AnthropicMessages));
    let by_host = Targets::new(
        Target::model("a")
            .origin("https://api.openai.com")
            .path("/v1/chat/completions"),
    )
    .then(
        Target::model("b")
            .origin("https://api.anthropic.com")
            .path("/v1/messages"),
    );
    for targets in [named, by_host] {
        let Err(BuildError::Dialects { first, second }) = build(targets) else {
            panic!("two families");
        };
        assert_eq!(first, ("openai-chat".into(), "a".into()));
        assert_eq!(second, ("anthropic-messages".into(), "b".into()));
    }
    let of_one = Targets::new(Target::model("a").dialect(OpenAiChat))
        .then(Target::model("b").dialect(Groq))
        .then(Target::model("c").dialect(dialect::AzureOpenAi));
    assert_eq!(build(of_one), Ok(()));
    let roofs = Targets::new(Target::model("a").dialect(AnthropicMessages))
        .then(Target::model("b").dialect(VertexAnthropic));
    assert_eq!(build(roofs), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_classified_with_the_dialect_of_its_own_target() {
    // OpenRouter's moderation; at OpenAI a 403 is about the key.
    let moderated =
        r#"{"error":{"code":403,"message":"x","metadata":{"reasons":["x"],"flagged_input":"x"}}}"#;
    let refused = || Answer::status(403, moderated);
    for (target, class) in [
        (Target::model("b"), FailureClass::Authentication),
        (
            Target::model("b").dialect(OpenRouter),
            FailureClass::ContentPolicy,
        ),
        (
            Target::model("b").origin("https://openrouter.ai"),
            FailureClass::ContentPolicy,
        ),
    ] {
        let upstream = Upstream::new([Answer::status(500, "{}"), refused()]);
        let targets = Targets::new("a").then(target).retries(0);
        let response = send(&stack(targets, &upstream), chat()).await.unwrap();
        assert_eq!(trail(&response)[1].class, Some(class));
    }
    // What one target names is nothing to the others.
    let upstream = Upstream::new([refused()]);
    let targets = Targets::new("a").then(Target::model("b").dialect(OpenRouter));
    let response = send(&stack(targets.retries(0), &upstream), chat())
        .await
        .unwrap();
    let attempts = trail(&response);
    assert_eq!(attempts[0].class, Some(FailureClass::Authentication));
    assert_eq!(attempts[1].class, Some(FailureClass::ContentPolicy));
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_each_attempt_is_read_with_the_dialect_of_its_own_target() {
    let odd = support::data("a word of its own");
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::events(vec![odd])]);
    let targets = Targets::new("a").then(Target::model("b").dialect(Odd));
    let targets = targets.then("c").retries(0);
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    assert!(support::read(response.into_body()).await.1.is_none());
    assert_eq!(shared.attempts().len(), 2);
    assert_eq!(shared.last_target(), Some((2, "b".into())));
    assert_eq!(shared.attempts()[1].outcome, Outcome::Complete);
}

/// One event, whatever it says, is a whole answer.
#[derive(Debug)]
struct Odd;

impl Dialect for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }
    fn provider(&self) -> &'static str {
        ""
    }
    fn family(&self) -> &'static str {
        OpenAiChat.family()
    }
    fn carries_model(&self) -> bool {
        true
    }
    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        OpenAiChat.read_request(path, body)
    }
    fn portable_headers(&self) -> &'static [HeaderName] {
        OpenAiChat.portable_headers()
    }
    fn credential_headers(&self) -> &'static [HeaderName] {
        OpenAiChat.credential_headers()
    }
    fn classify(&self, answer: &dialect::Answer<'_>) -> Failure {
        OpenAiChat.classify(answer)
    }
    fn read_event<'a>(&self, _: &Event<'a>) -> EventFacts<'a> {
        let mut facts = EventFacts::default();
        facts.progress = Progress::Content;
        facts.ended = true;
        facts
    }
    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        OpenAiChat.read_answer(body)
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_path_tells_of_another_family_is_passed_over() {
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["c"])]);
    let targets = Targets::new("a")
        .then(Target::model("b").path("/v1/messages"))
        .then("c")
        .retries(0);
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert_eq!(models(&upstream), ["a", "c"]);
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(
        (&*passed[0].target, passed[0].reason),
        ("b", Reason::Unsuitable)
    );

    let alone = Targets::new(Target::model("b").path("/v1/messages"));
    let error = send(&stack(alone, &upstream), chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Request(RequestProblem::Dialect));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_the_ids_of_its_provider_and_the_usage_of_its_stream() {
    let usage = support::data(
        r#"{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#,
    );
    let mut good = Answer::stream(&["x"]).header("x-request-id", "req_good-1");
    good.steps.insert(3, usage);
    let upstream = Upstream::new([
        Answer::status(500, "{}").header("x-request-id", "req_bad.1"),
        Answer::status(500, "{}").header("x-request-id", "you said: hello"),
        good,
    ]);
    let targets = Targets::new("a").then("b").then("c").retries(0);
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    let trail = response.extensions().get::<Trail>().unwrap().clone();
    assert!(support::read(response.into_body()).await.1.is_none());
    let attempts = trail.attempts();
    assert_eq!(attempts[0].request_id.as_deref(), Some("req_bad.1"));
    assert_eq!(attempts[1].request_id, None);
    assert_eq!(attempts[2].request_id.as_deref(), Some("req_good-1"));
    assert_eq!(attempts[2].response_id.as_deref(), Some("chatcmpl-1"));
    let usage = attempts[2].usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(7), Some(3)));
    assert_eq!(attempts[0].usage, None);
}

#[tokio::test(start_paused = true)]
async fn of_a_stream_that_is_cut_the_last_usage_that_it_told_is_known() {
    let counted = |output: u64| {
        support::data(&format!(
            r#"{{"choices":[{{"delta":{{"content":"x"}}}}],"usage":{{"prompt_tokens":7,"completion_tokens":{output}}}}}"#
        ))
    };
    let cut = Answer::events(vec![counted(1), counted(2), counted(3)]);
    let upstream = Upstream::new([cut]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let error = support::read(response.into_body()).await.1.unwrap();
    let usage = trail_of(&error).attempts()[0].usage.unwrap();
    assert_eq!((usage.input, usage.output), (Some(7), Some(3)));
}

#[tokio::test(start_paused = true)]
async fn the_request_id_is_looked_for_where_the_dialect_has_it() {
    let request = Request::post("https://bedrock-runtime.us-east-1.amazonaws.com/model/a/converse")
        .header("content-type", "application/json")
        .body(Body::from("{}"))
        .unwrap();
    let upstream = Upstream::new([Answer::json("{}").header("x-amzn-requestid", "a1-b2")]);
    let targets = Targets::new(Target::model("m").dialect(BedrockConverse));
    let response = send(&stack(targets, &upstream), request).await.unwrap();
    assert_eq!(trail(&response)[0].request_id.as_deref(), Some("a1-b2"));
}

// The model in the path and the query.

#[tokio::test(start_paused = true)]
async fn a_model_in_the_path_is_replaced_there_and_always_from_the_original() {
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::json(GEMINI)]);
    let targets = Targets::new("gemini-2.5-pro")
        .then("publishers/x:y z")
        .retries(0);
    let request = gemini("/v1beta/models/first:generateContent?x=1");
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    let base = "https://generativelanguage.googleapis.com/v1beta/models/";
    assert_eq!(
        seen[0].uri,
        format!("{base}gemini-2.5-pro:generateContent?x=1")
    );
    assert_eq!(
        seen[1].uri,
        format!("{base}publishers%2Fx%3Ay%20z:generateContent?x=1")
    );
    assert_eq!(seen[0].body, seen[1].body);
}

#[tokio::test(start_paused = true)]
async fn a_model_never_changes_the_shape_of_the_path() {
    let template =
        |model: &str| Target::model(model).path("/openai/deployments/{model}/chat/completions");
    for model in ["..", ".", "", "a/../b", "../../admin", "a\\..\\b"] {
        let built = FallbackLayer::new(Targets::new(template(model).name("t"))).map(drop);
        assert_eq!(
            built,
            Err(BuildError::ModelInPath { target: "t".into() }),
            "{model}"
        );
        // Where only the call shows that the model is in the path.
        let upstream = Upstream::new([Answer::json(GEMINI)]);
        let targets = Targets::new(Target::model(model).name("t"));
        let request = gemini("/v1beta/models/first:generateContent");
        let error = send(&stack(targets, &upstream), request).await.unwrap_err();
        assert_eq!(
            kind(&error),
            ErrorKind::Request(RequestProblem::ModelInPath),
            "{model}"
        );
        assert_eq!(upstream.attempts(), 0);
    }
    for model in ["a/b", "a?b=c", "a#b", "a%2e", "a:b", "é", "a b", "/", "//"] {
        let upstream = Upstream::new([Answer::stream(&["x"])]);
        let service = stack(Targets::new(template(model)), &upstream);
        send(&service, chat()).await.unwrap();
        let uri: http::Uri = upstream.seen()[0].uri.parse().unwrap();
        assert_eq!(uri.path().split('/').count(), 6, "{uri}");
        assert!(uri.path().ends_with("/chat/completions"), "{uri}");
        assert_eq!(uri.query(), None, "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_and_a_query_take_the_model_of_the_target_or_else_of_the_call() {
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["x"])]);
    let azure = |target: Target| {
        target
            .path("/openai/deployments/{model}/chat/completions")
            .query("api-version=1&m={model}")
    };
    let targets = Targets::new(azure(Target::model("of/target")))
        .then(azure(Target::named("keeps")))
        .retries(0);
    let request = chat_with(r#"{"model":"of the call & more","stream":true}"#);
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    let base = "https://api.example.com/openai/deployments/";
    assert_eq!(
        seen[0].uri,
        format!("{base}of%2Ftarget/chat/completions?api-version=1&m=of%2Ftarget")
    );
    assert_eq!(
        seen[1].uri,
        format!(
            "{base}of%20the%20call%20%26%20more/chat/completions?api-version=1&m=of%20the%20call%20%26%20more"
        )
    );
}

#[test]
fn a_path_that_would_be_folded_is_refused_at_build() {
    for path in ["/v1/../admin", "/./v1", "/v1/.."] {
        let built = FallbackLayer::new(Targets::new(Target::named("t").path(path))).map(drop);
        assert!(matches!(built, Err(BuildError::Uri { .. })), "{path}");
    }
}

// Credentials.

#[tokio::test(start_paused = true)]
async fn of_the_query_only_what_tells_the_format_goes_to_another_authority() {
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::json(GEMINI)]);
    let targets = Targets::new("a")
        .then(
            Target::model("b")
                .origin("https://mirror.example")
                .dialect(Gemini),
        )
        .retries(0);
    let query =
        "key=sesame&alt=sse&api-version=1&access_token=t&X-Amz-Signature=s&api_key=k&user=me";
    let mut request = gemini(&format!(
        "/v1beta/models/first:streamGenerateContent?{query}"
    ));
    let authority = "name:word@generativelanguage.googleapis.com";
    let uri = request.uri().to_string();
    *request.uri_mut() = uri
        .replace("generativelanguage.googleapis.com", authority)
        .parse()
        .unwrap();
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    assert!(seen[0].uri.contains(query) && seen[0].uri.contains("word@"));
    assert_eq!(
        seen[1].uri,
        "https://mirror.example/v1beta/models/b:streamGenerateContent?alt=sse"
    );
    assert!(!format!("{:?}", seen[1]).contains("secret"));
}

// Patches.

#[tokio::test(start_paused = true)]
async fn fields_are_patched_from_the_original_and_the_length_is_right() {
    let prompt =
        r#"{"model":"m","temperature":1,"logit_bias":{"1":2},"stream":true,"messages":[]}"#;
    let upstream = Upstream::new([
        Answer::status(500, "{}"),
        Answer::status(500, "{}"),
        Answer::stream(&["x"]),
    ]);
    let patched = Target::model("a").patch(r#"{"temperature":0.2,"logit_bias":null,"top_p":1}"#);
    let targets = Targets::new(patched)
        .then(Target::named("b").patch(r#"{"seed":7}"#))
        .then(Target::named("c"))
        .retries(0);
    let mut request = chat_with(prompt);
    let length = HeaderValue::from(prompt.len());
    request.headers_mut().insert("content-length", length);
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    assert_eq!(
        seen[0].body,
        r#"{"top_p":1,"model":"a","temperature":0.2,"stream":true,"messages":[]}"#
    );
    assert_eq!(seen[1].body, prompt.replacen('{', r#"{"seed":7,"#, 1));
    assert_eq!(seen[2].body, prompt);
    for seen in seen {
        assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_copies_no_prompt() {
    use http_body::Body as _;
    let prompt = bytes::Bytes::from(format!(
        r#"{{"model":"m","temperature":1,"messages":["{}"],"n":1}}"#,
        "x".repeat(100_000)
    ));
    let range = prompt.as_ptr_range();
    let upstream = tower::service_fn(move |request: Request<Body>| {
        let range = range.clone();
        async move {
            let mut body = request.into_body();
            let mut largest = bytes::Bytes::new();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            while let std::task::Poll::Ready(Some(Ok(frame))) =
                std::pin::Pin::new(&mut body).poll_frame(&mut context)
            {
                let data = frame.into_data().unwrap();
                if data.len() > largest.len() {
                    largest = data;
                }
            }
            assert!(largest.len() > 100_000);
            assert!(range.contains(&largest.as_ptr()));
            Ok::<_, BoxError>(http::Response::new(http_body_util::Full::from("{}")))
        }
    });
    let target = Target::model("another").patch(r#"{"temperature":null,"n":2,"seed":1}"#);
    let layer = FallbackLayer::new(Targets::new(target)).unwrap();
    let service = tower::Layer::layer(&layer, upstream);
    let request = chat().map(|_| Body::from(prompt));
    send(&service, request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_turns_streaming_off_turns_the_clocks_of_streams_off() {
    use backstay::Timeouts;
    use support::{seconds, stack_with};
    let timeouts = Timeouts::new()
        .for_streams(|clocks| clocks.headers(seconds(1)))
        .for_unary(|clocks| clocks.headers(seconds(9)));
    let upstream = Upstream::new([Answer::json(r#"{"choices":[]}"#).after(seconds(5))]);
    let targets = Targets::new(Target::named("t").patch(r#"{"stream":false}"#));
    let response = send(&stack_with(targets, timeouts, &upstream), chat()).await;
    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_patched_is_refused_or_passed_over() {
    for patch in ["[]", "{", r#"{"model":"x"}"#, r#"{"a":1,"a":2}"#] {
        let built = FallbackLayer::new(Targets::new(Target::named("t").patch(patch))).map(drop);
        assert!(matches!(built, Err(BuildError::Patch { .. })), "{patch}");
    }
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["c"])]);
    let mut request = chat();
    let gzip = HeaderValue::from_static("gzip");
    request.headers_mut().insert("content-encoding", gzip);
    let targets = Targets::new(Target::named("a"))
        .then(Target::named("b").patch(r#"{"n":1}"#))
        .then(Target::named("c"))
        .retries(0);
    let response = send(&stack(targets, &upstream), request).await.unwrap();
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(
        (&*passed[0].target, passed[0].reason),
        ("b", Reason::Unsuitable)
    );
    assert!(upstream.seen().iter().all(|seen| seen.body == PROMPT));
}

// Signatures.

/// URI, headers and body, as the signer was shown them.
type Shown = (String, HeaderMap, Vec<u8>);

#[derive(Debug, Default)]
struct Signer {
    fails: bool,
    signed: Arc<Mutex<Vec<Shown>>>,
}

impl Sign for Signer {
    fn sign(&self, request: &Outgoing<'_>) -> Result<HeaderMap, BoxError> {
        if self.fails {
            return Err("no token yet".into());
        }
        let body = request.body.unwrap().to_bytes().to_vec();
        let number = self.signed.lock().len();
        let uri = request.uri.to_string();
        self.signed
            .lock()
            .push((uri, request.headers.clone(), body));
        let mut headers = HeaderMap::new();
        let value = format!("AWS4-HMAC-SHA256 {number}");
        headers.insert("authorization", value.parse().unwrap());
        headers.insert("host", HeaderValue::from_static("elsewhere"));
        Ok(headers)
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_signed_after_everything_else_about_it() {
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["x"])]);
    let signer = Signer::default();
    let signed = signer.signed.clone();
    let target = Target::model("b")
        .origin("https://other.example")
        .path("/v2/chat/completions")
        .header("x-own", "1")
        .patch(r#"{"n":1}"#)
        .sign(signer);
    send(&stack(Targets::new(target).retries(1), &upstream), chat())
        .await
        .unwrap();
    let (seen, signed) = (upstream.seen(), signed.lock());
    assert_eq!(signed.len(), 2);
    for (number, (seen, (uri, headers, body))) in seen.iter().zip(signed.iter()).enumerate() {
        assert_eq!(&seen.uri, uri);
        assert_eq!(&seen.body, body);
        assert_eq!(
            seen.body,
            PROMPT.replace(r#"{"model":"a""#, r#"{"n":1,"model":"b""#)
        );
        assert_eq!(headers["x-own"], "1");
        assert!(!headers.contains_key("authorization"));
        let value = &seen.headers["authorization"];
        assert_eq!(value, &format!("AWS4-HMAC-SHA256 {number}"));
        assert!(value.is_sensitive());
        assert!(!seen.headers.contains_key("host"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_signs_gets_none_of_the_callers_credentials() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let mut request = chat();
    let key = HeaderValue::from_static("secret-of-the-caller");
    request.headers_mut().insert("x-api-key", key);
    let target = Target::named("t").sign(Signer::default());
    send(&stack(Targets::new(target), &upstream), request)
        .await
        .unwrap();
    assert!(!format!("{:?}", upstream.seen()).contains("secret-of-the-caller"));
}

#[tokio::test(start_paused = true)]
async fn a_signature_that_cannot_be_made_goes_to_the_next_target_or_is_a_typed_error() {
    let fails = || {
        Target::model("a").sign(Signer {
            fails: true,
            ..Signer::default()
        })
    };
    let upstream = Upstream::new([Answer::stream(&["b"])]);
    let response = send(&stack(Targets::new(fails()).then("b"), &upstream), chat())
        .await
        .unwrap();
    assert_eq!(&*trail(&response)[0].target, "b");
    let error = send(&stack(Targets::new(fails()), &upstream), chat())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Request(RequestProblem::Unsigned));
    assert!(std::error::Error::source(backstay::Error::find(&*error).unwrap()).is_some());
    assert_eq!(trail_of(&error).attempts().len(), 0);
    assert_eq!(upstream.attempts(), 1);
}

// Windows.

fn windows() -> Targets {
    Targets::new(Target::model("small").context_window(100))
        .then(Target::model("middle").context_window(1_000))
        .then(Target::model("large").context_window(10_000))
        .retries(0)
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_window_does_not_hold_the_request_is_passed_over_without_being_called() {
    for (tokens, asked) in [
        (100, "small"),
        (101, "middle"),
        (1_001, "large"),
        // None holds it: the provider of the first judges.
        (10_001, "small"),
    ] {
        let upstream = Upstream::new([Answer::stream(&["x"])]);
        let mut request = chat();
        request.extensions_mut().insert(PromptTokens(tokens));
        let response = send(&stack(windows(), &upstream), request).await.unwrap();
        assert_eq!(models(&upstream), [asked], "{tokens}");
        let passed = response.extensions().get::<Trail>().unwrap().passed_over();
        assert!(
            passed
                .iter()
                .all(|passed| passed.reason == Reason::ContextWindow)
        );
        assert_eq!(
            passed.len(),
            ["small", "middle", "large"]
                .iter()
                .position(|name| *name == asked)
                .unwrap()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_count_only_a_body_that_is_surely_too_long_is_left_out_and_data_never() {
    let long: &'static str = Box::leak(
        format!(
            r#"{{"model":"m","stream":true,"messages":["{}"]}}"#,
            "x".repeat(4_000)
        )
        .into_boxed_str(),
    );
    let image: &'static str = Box::leak(long.replace("xxxx\"]", ";base64,\"]").into_boxed_str());
    for (body, asked) in [(PROMPT, "small"), (long, "middle"), (image, "small")] {
        let upstream = Upstream::new([Answer::stream(&["x"])]);
        send(&stack(windows(), &upstream), chat_with(body))
            .await
            .unwrap();
        assert_eq!(models(&upstream), [asked]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_first_does_not_hold_it_the_one_that_was_asked_has_the_last_word() {
    let upstream = Upstream::new([
        Answer::status(502, "middle"),
        Answer::status(504, "middle again"),
        Answer::status(500, "large"),
    ]);
    let mut request = chat();
    request.extensions_mut().insert(PromptTokens(500));
    let service = stack(windows().retries(1), &upstream);
    let response = send(&service, request).await.unwrap();
    assert_eq!(models(&upstream), ["middle", "middle", "large", "large"]);
    assert_eq!(response.status(), 504);
}

#[test]
fn a_window_of_nothing_is_refused_at_build() {
    let built = FallbackLayer::new(Targets::new(Target::model("a").context_window(0)));
    assert!(matches!(built, Err(BuildError::Zero { .. })));
}
