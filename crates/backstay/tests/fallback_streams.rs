//! Streams of other formats than server-sent events, and what their ends are worth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::{Commit, Targets};
use backstay::timeout::Clock;
use backstay::trail::Outcome;
use backstay::{Body, ErrorKind, Timeouts, Trail};
use bytes::Bytes;
use http::Request;
use support::{
    Answer, Step, Upstream, chat, data, done, finish, kind, read, role, seconds, send, stack,
    stack_with, token, trail, trail_of, wait,
};
use tokio::time::{Duration, Instant};

fn answer(content_type: &str, steps: Vec<Step>) -> Answer {
    let mut answer = Answer::events(steps);
    answer.head = Some((200, vec![("content-type", content_type.to_owned())]));
    answer
}

fn post(uri: &'static str, body: &'static str) -> Request<Body> {
    Request::post(uri)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

// Amazon's binary frames.

fn bedrock(steps: Vec<Step>) -> Answer {
    answer("application/vnd.amazon.eventstream", steps)
}

fn converse() -> Request<Body> {
    post(
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse-stream",
        r#"{"messages":[]}"#,
    )
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A frame as Smithy's event stream specification has it.
fn frame(headers: &[(&str, &str)], payload: &str) -> Step {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap());
        encoded.extend(name.as_bytes());
        encoded.push(7);
        encoded.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        encoded.extend(value.as_bytes());
    }
    let total = u32::try_from(16 + encoded.len() + payload.len()).unwrap();
    let mut frame = total.to_be_bytes().to_vec();
    frame.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame.extend(encoded);
    frame.extend(payload.as_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    Step::Data(frame.into())
}

fn event(name: &str, payload: &str) -> Step {
    frame(
        &[(":message-type", "event"), (":event-type", name)],
        payload,
    )
}

fn start() -> Step {
    event("messageStart", r#"{"role":"assistant"}"#)
}

fn delta() -> Step {
    event(
        "contentBlockDelta",
        r#"{"contentBlockIndex":0,"delta":{"text":"x"}}"#,
    )
}

fn stop() -> Step {
    event("messageStop", r#"{"stopReason":"end_turn"}"#)
}

fn metadata() -> Step {
    event(
        "metadata",
        r#"{"usage":{"inputTokens":5,"outputTokens":2,"totalTokens":7}}"#,
    )
}

fn throttled() -> Step {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", "throttlingException"),
    ];
    frame(&headers, r#"{"message":"x"}"#)
}

#[tokio::test(start_paused = true)]
async fn a_binary_stream_that_fails_before_content_falls_over_and_a_whole_one_has_its_usage() {
    let Step::Data(cut) = delta() else { panic!() };
    let cut = Step::Data(cut.slice(..cut.len() - 1));
    for (steps, outcome) in [
        (vec![start(), throttled()], Outcome::InBand),
        (vec![start()], Outcome::Empty),
        (vec![start(), cut], Outcome::Empty),
        (vec![start(), wait(60)], Outcome::Timeout(Clock::FirstToken)),
    ] {
        let good = bedrock(vec![start(), delta(), stop(), metadata(), Step::Hang]);
        let upstream = Upstream::new([bedrock(steps), good]);
        let timeouts = Timeouts::new().first_token(seconds(5));
        let targets = Targets::new("a")
            .then("b")
            .retries(0)
            .commit(Commit::FirstContent);
        let response = send(&stack_with(targets, timeouts, &upstream), converse())
            .await
            .unwrap();
        assert_eq!(trail(&response)[0].outcome, outcome);
        let shared = response.extensions().get::<Trail>().unwrap().clone();
        let began = Instant::now();
        let (body, error) = read(response.into_body()).await;
        assert!(error.is_none() && !body.is_empty());
        // `metadata` is the last of all, though the socket stays open.
        assert_eq!(Instant::now() - began, Duration::from_millis(50));
        let attempts = shared.attempts();
        assert_eq!(attempts[1].outcome, Outcome::Complete);
        let usage = attempts[1].usage.unwrap();
        assert_eq!((usage.input, usage.output), (Some(5), Some(2)));
        assert_eq!(upstream.live(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_binary_stream_that_fails_after_content_ends_in_a_typed_error_with_the_trail() {
    let broken = Step::Data(Bytes::from_static(&[0xff; 64]));
    for (steps, outcome) in [
        (vec![start(), delta(), throttled()], Outcome::InBand),
        (vec![start(), delta()], Outcome::Truncated),
        (vec![start(), delta(), Step::Fail], Outcome::Transport),
        (
            vec![start(), delta(), wait(60)],
            Outcome::Timeout(Clock::Idle),
        ),
        (vec![start(), delta(), broken], Outcome::InBand),
    ] {
        let upstream = Upstream::new([bedrock(steps)]);
        let timeouts = Timeouts::new().idle(seconds(5));
        let targets = Targets::new("a").then("b").retries(0);
        let response = send(&stack_with(targets, timeouts, &upstream), converse())
            .await
            .unwrap();
        let (body, error) = read(response.into_body()).await;
        let error = error.expect("no answer without its end");
        assert!(!body.is_empty());
        assert_eq!(trail_of(&error).attempts()[0].outcome, outcome);
        assert_eq!(upstream.attempts(), 1);
        assert_eq!(upstream.live(), 0);
    }
}

// A JSON array.

#[tokio::test(start_paused = true)]
async fn a_json_array_is_a_stream_where_one_was_asked_for() {
    let element = |rest: &str| {
        format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"x"}}]}}{rest}}}]}}"#)
    };
    let text = |text: String| Step::Data(text.into());
    let first = || text(format!("[{}", element("")));
    let last = || text(format!(",\r\n{}", element(r#","finishReason":"STOP""#)));
    let uri = "https://generativelanguage.googleapis.com/v1beta/models/a:streamGenerateContent";
    let array = |steps| answer("application/json; charset=UTF-8", steps);
    let whole = vec![first(), wait(5), last(), text("]".into())];
    let upstream = Upstream::new([array(whole), array(vec![first(), wait(5)]), array(vec![])]);
    let service = stack(Targets::new("a").then("b").retries(0), &upstream);
    let began = Instant::now();
    let response = send(&service, post(uri, "{}")).await.unwrap();
    assert_eq!(Instant::now(), began, "let through at its first content");
    assert!(read(response.into_body()).await.1.is_none());
    let response = send(&service, post(uri, "{}")).await.unwrap();
    let error = read(response.into_body()).await.1.unwrap();
    assert_eq!(kind(&error), ErrorKind::Truncated);
    let response = send(&service, post(uri, "{}")).await.unwrap();
    assert_eq!(trail(&response)[0].outcome, Outcome::Empty);
}

// Ends.

#[tokio::test(start_paused = true)]
async fn a_stream_of_responses_is_over_when_it_says_so_though_the_socket_stays_open() {
    let named = |name: &str, rest: &str| {
        let text = format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
        Step::Data(text.into())
    };
    let upstream = Upstream::new([Answer::events(vec![
        named(
            "response.created",
            r#","response":{"id":"resp_1","status":"in_progress"}"#,
        ),
        named("response.output_text.delta", r#","delta":"x""#),
        named(
            "response.completed",
            r#","response":{"id":"resp_1","status":"completed","usage":{"input_tokens":1,"output_tokens":2}}"#,
        ),
        Step::Hang,
    ])]);
    let request = post(
        "https://api.openai.com/v1/responses",
        r#"{"model":"a","stream":true,"input":"hi"}"#,
    );
    let service = stack(Targets::new("a").then("b"), &upstream);
    let response = send(&service, request).await.unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    let began = Instant::now();
    assert!(read(response.into_body()).await.1.is_none());
    assert_eq!(Instant::now() - began, Duration::from_millis(50));
    let attempt = &shared.attempts()[0];
    assert_eq!(attempt.outcome, Outcome::Complete);
    assert_eq!(attempt.response_id.as_deref(), Some("resp_1"));
    assert_eq!(attempt.usage.unwrap().output, Some(2));
    assert_eq!(upstream.live(), 0);
}

/// Gemini's streams have no end marker: the end of the transfer is one, and so is silence after the reason.
#[tokio::test(start_paused = true)]
async fn silence_after_the_reason_to_stop_is_an_end_and_before_it_a_timeout() {
    let text = || data(r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#);
    let last = || data(r#"{"candidates":[{"content":{},"finishReason":"STOP"}]}"#);
    for (steps, outcome) in [
        (vec![text(), last(), Step::Hang], Outcome::Complete),
        (vec![text(), Step::Hang], Outcome::Timeout(Clock::Idle)),
    ] {
        let upstream = Upstream::new([Answer::events(steps)]);
        let timeouts = Timeouts::new().idle(seconds(5));
        let uri = "https://generativelanguage.googleapis.com/v1beta/models/a:streamGenerateContent?alt=sse";
        let service = stack_with(Targets::new("a").then("b"), timeouts, &upstream);
        let response = send(&service, post(uri, "{}")).await.unwrap();
        let shared = response.extensions().get::<Trail>().unwrap().clone();
        let began = Instant::now();
        let error = read(response.into_body()).await.1;
        assert_eq!(error.is_none(), outcome == Outcome::Complete);
        assert_eq!(Instant::now() - began, seconds(5));
        assert_eq!(shared.attempts()[0].outcome, outcome);
        assert_eq!((upstream.attempts(), upstream.live()), (1, 0));
    }
}

// Reasoning.

fn thinks() -> Step {
    data(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#)
}

#[tokio::test(start_paused = true)]
async fn a_model_that_reasons_for_ever_falls_over_where_nobody_is_shown_the_reasoning() {
    let endless = || {
        let steps = (0..100).flat_map(|_| [thinks(), wait(1)]);
        Answer::events(steps.collect())
    };
    let timeouts = Timeouts::new()
        .idle(seconds(5))
        .for_streams(|clocks| clocks.first_content(seconds(30)));
    for (commit, attempts) in [(Commit::AfterReasoning, 2), (Commit::FirstContent, 1)] {
        let upstream = Upstream::new([endless(), Answer::stream(&["b"])]);
        let targets = Targets::new("a").then("b").retries(0).commit(commit);
        let began = Instant::now();
        let response = send(&stack_with(targets, timeouts, &upstream), chat())
            .await
            .unwrap();
        let (_, error) = read(response.into_body()).await;
        assert_eq!(Instant::now() - began, seconds(30));
        assert_eq!(upstream.attempts(), attempts);
        let expected = ErrorKind::Timeout(Clock::FirstContent);
        assert_eq!(
            error.map(|error| kind(&error)),
            (attempts == 1).then_some(expected)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_reasoning_an_answer_is_let_through_at_its_first_word() {
    let steps = vec![
        role(),
        thinks(),
        wait(2),
        token("a"),
        wait(3),
        finish(),
        done(),
    ];
    let upstream = Upstream::new([Answer::events(steps)]);
    let targets = Targets::new("a").then("b").commit(Commit::AfterReasoning);
    let began = Instant::now();
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert_eq!(Instant::now() - began, seconds(2));
    let attempt = &trail(&response)[0];
    assert_eq!(attempt.first_token, Some(Duration::ZERO));
    assert_eq!(attempt.committed, Some(seconds(2)));
    assert!(read(response.into_body()).await.1.is_none());
}
