//! Each target has a dialect of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::dialect::{
    self, AnswerFacts, AnthropicMessages, BedrockConverse, Dialect, Event, EventFacts, Failure,
    FailureClass, Groq, OpenAiChat, OpenRouter, Progress, RequestError, RequestFacts,
    VertexAnthropic,
};
use backstay::error::RequestProblem;
use backstay::fallback::{FallbackLayer, Target, Targets};
use backstay::trail::{Outcome, Reason};
use backstay::{Body, BuildError, ErrorKind, Trail};
use http::{HeaderName, Request};
use support::{Answer, Upstream, chat, kind, models, send, stack, trail, trail_of};

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
