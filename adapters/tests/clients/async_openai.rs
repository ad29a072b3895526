//! async-openai over a stack.

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    types::{
        audio::{AudioInput, CreateTranscriptionRequestArgs},
        chat::{
            ChatCompletionRequestUserMessage, ChatCompletionResponseStream,
            CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
        },
    },
};
use backstay::{
    Deadline, ErrorKind, Timeouts,
    fallback::{Target, Targets},
    status_error::StatusErrorLayer,
    trail::{Next, Outcome},
};
use backstay_adapter_tests::{
    AMPLE, MS, Observed, SHORT, attempts_of, find, http1, observed_stack, until_sent,
    upstream_closed, within,
};
use backstay_async_openai::{Report, Transport};
use backstay_mock::{Mock, Reply, Script};
use futures_util::StreamExt;
use std::time::Duration;
use tower::Layer;

// --- The six ---

#[tokio::test]
async fn unary_calls_and_streams_go_through_the_stack() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::text("over and out"));
    let (client, observed) = client(&mock, Targets::new("m"), AMPLE);
    let report = Report::new();
    let answer = within(report.of(client.chat().create(ask())))
        .await
        .unwrap();
    assert_eq!(
        answer.choices[0].message.content.as_deref(),
        Some("over and out")
    );
    let attempts = report.trail().unwrap().attempts();
    assert_eq!(attempts[0].outcome, Outcome::Complete);
    assert!(report.failure().is_none());

    let report = Report::new();
    let stream = within(report.of(client.chat().create_stream(ask()))).await;
    let (text, errors) = read(stream.unwrap()).await;
    assert_eq!(text, "over and out");
    assert!(errors.is_empty());
    let attempts = attempts_of(&observed, 2).await;
    assert_eq!(attempts[0].outcome, Outcome::Complete);
    assert!(attempts[0].first_token.is_some());
    assert_eq!(report.trail().unwrap().attempts().len(), 1);
    assert_eq!(mock.log()[0].headers["authorization"], "Bearer key");
}

#[tokio::test]
async fn a_failure_before_content_falls_over() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::tokens(["a"]).cut_after_tokens(0));
    mock.script("n", Reply::text("from n"));
    let targets = Targets::new(Target::model("m").retries(0)).then("n");
    let (client, _) = client(&mock, targets, AMPLE);
    let report = Report::new();
    let answer = within(report.of(client.chat().create(ask())))
        .await
        .unwrap();
    assert_eq!(answer.choices[0].message.content.as_deref(), Some("from n"));
    let attempts = report.trail().unwrap().attempts();
    assert!(matches!(attempts[0].next, Some(Next::Skip(_))));
    assert_eq!(attempts[1].model.as_deref(), Some("n"));

    let report = Report::new();
    let stream = within(report.of(client.chat().create_stream(ask()))).await;
    let (text, errors) = read(stream.unwrap()).await;
    assert_eq!(text, "from n");
    assert!(errors.is_empty());
    assert_eq!(report.trail().unwrap().attempts().len(), 2);
}

#[tokio::test]
async fn an_error_after_content_ends_the_stream_and_is_reported() {
    let mock = Mock::start().await.unwrap();
    let tokens = Reply::tokens(["a", "b"]);
    for (reply, in_band) in [
        (tokens.clone().error_in_band(1, "server_error"), true),
        (tokens.clone().cut_after_tokens(1), false),
    ] {
        mock.script("m", reply);
        let (client, _) = client(&mock, Targets::new("m").then("n"), AMPLE);
        let report = Report::new();
        let stream = within(report.of(client.chat().create_stream(ask()))).await;
        let (text, errors) = read(stream.unwrap()).await;
        assert_eq!(text, "a");
        // async-openai keeps the text of it only; the report has the rest.
        let last = errors.last().unwrap();
        assert!(matches!(last, OpenAIError::StreamError(_)), "{last:?}");
        assert!(backstay::Error::find(last).is_none());
        let failure = report.failure().unwrap();
        let error = failure.error().unwrap();
        assert_eq!(matches!(error.kind(), ErrorKind::InBand(_)), in_band);
        assert_eq!(error.trail().unwrap().attempts().len(), 1);
        assert_eq!(find(&failure).kind(), error.kind());
        assert_eq!(mock.attempts("n"), 0);
    }
}

#[tokio::test]
async fn the_deadline_is_found_in_the_error_and_in_the_report() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let (client, _) = client(&mock, Targets::new("m"), SHORT);
    let report = Report::new();
    let error = within(report.of(client.chat().create(ask())))
        .await
        .unwrap_err();
    assert!(matches!(error, OpenAIError::Boxed(_)));
    assert_eq!(find(&error).kind(), ErrorKind::Deadline);
    assert_eq!(find(&error).trail().unwrap().attempts().len(), 1);
    assert!(report.failure().unwrap().error().unwrap().is_deadline());
    assert_eq!(report.trail().unwrap().attempts().len(), 1);
    upstream_closed(&mock).await;

    // In the stream, which a task of async-openai's own reads.
    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let report = Report::new();
    let stream = within(report.of(client.chat().create_stream(ask()))).await;
    let (text, errors) = read(stream.unwrap()).await;
    assert_eq!((&*text, errors.len()), ("a", 1));
    assert!(report.failure().unwrap().error().unwrap().is_deadline());
    upstream_closed(&mock).await;
}

#[tokio::test]
async fn the_ambient_deadline_holds_for_calls_and_streams() {
    let mock = Mock::start().await.unwrap();
    let (client, _) = client(&mock, Targets::new("m"), AMPLE);
    mock.script("m", Reply::never_answer());
    let chat = client.chat();
    let call = Deadline::after(SHORT).scope(chat.create(ask()));
    assert!(find(&within(call).await.unwrap_err()).is_deadline());

    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let report = Report::new();
    let call = report.of(chat.create_stream(ask()));
    let stream = within(Deadline::after(SHORT).scope(call)).await;
    assert_eq!(read(stream.unwrap()).await.0, "a");
    assert!(report.failure().unwrap().error().unwrap().is_deadline());
}

#[tokio::test]
async fn the_deadline_is_found_where_it_ends_a_unary_body() {
    let mock = Mock::start().await.unwrap();
    let stalls = Reply::text("over and out").delay_first_token(AMPLE);
    mock.script("m", stalls);
    // Nothing else could be tried, so that the answer is passed on at its head.
    let targets = Targets::new(Target::model("m").retries(0));
    let (client, _) = client(&mock, targets, SHORT);
    let error = within(client.chat().create(ask())).await.unwrap_err();
    assert!(matches!(error, OpenAIError::Reqwest(_)), "{error:?}");
    assert_eq!(find(&error).kind(), ErrorKind::Deadline);
}

#[tokio::test]
async fn a_caller_who_goes_closes_the_upstream() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let (client, observed) = client(&mock, Targets::new("m"), AMPLE);
    until_sent(client.chat().create(ask()), &mock).await;
    upstream_closed(&mock).await;
    let attempts = attempts_of(&observed, 1).await;
    let dropped = Outcome::Cancelled;
    assert_eq!(attempts[0].outcome, dropped);

    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let mut stream = within(client.chat().create_stream(ask())).await.unwrap();
    within(stream.next()).await.unwrap().unwrap();
    drop(stream);
    upstream_closed(&mock).await;
    let attempts = attempts_of(&observed, 2).await;
    assert_eq!(attempts[0].outcome, dropped);
}

#[tokio::test]
async fn a_limit_with_a_hint_is_waited_for_and_nothing_is_retried_twice() {
    let mock = Mock::start().await.unwrap();
    let limited = Reply::status(429).header("retry-after-ms", "150");
    let script = Script::new().attempt(limited.clone()).then(Reply::ok());
    mock.script("m", script);
    let (client, _) = client(&mock, Targets::new("m").retries(1), AMPLE);
    within(client.chat().create(ask())).await.unwrap();
    let log = mock.log();
    assert_eq!(log.len(), 2);
    assert!(log[1].at.saturating_duration_since(log[0].at) >= 150 * MS);

    // When all is used up, the answer itself arrives, and async-openai's own retries are gone.
    mock.clear_log();
    mock.script("m", limited);
    let report = Report::new();
    let error = within(report.of(client.chat().create(ask())))
        .await
        .unwrap_err();
    match error {
        OpenAIError::ApiError(answer) => assert_eq!(answer.status_code, 429),
        other => panic!("{other:?}"),
    }
    assert_eq!(mock.log().len(), 2);
    let attempts = report.trail().unwrap().attempts();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[1].status.unwrap(), 429);
    assert!(report.failure().is_none());
}

// --- What else goes through ---

#[tokio::test]
async fn a_status_made_an_error_keeps_trail_and_answer() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::status(400));
    let (stack, _) = observed_stack(http1(), Targets::new("m"), Timeouts::new(), AMPLE);
    let stack = StatusErrorLayer::new().layer(stack);
    let client = Client::with_config(config(&mock)).with_http_service(Transport::new(stack));
    let error = within(client.chat().create(ask())).await.unwrap_err();
    let told = find(&error);
    assert!(matches!(told.kind(), ErrorKind::Status(status) if status == 400));
    assert_eq!(told.trail().unwrap().attempts().len(), 1);
    assert!(!told.upstream().unwrap().body.is_empty());
}

#[tokio::test]
async fn a_multipart_form_is_sent_and_sent_again() {
    let mock = Mock::start().await.unwrap();
    let written = Reply::ok().json(&serde_json::json!({
        "text": "over and out",
        "usage": {"type": "duration", "seconds": 1}
    }));
    let script = Script::new().attempt(Reply::status(503)).then(written);
    mock.script_path("/transcriptions", script);
    let target = Target::named("as it comes");
    let (client, _) = client(&mock, Targets::new(target).retries(1), AMPLE);
    let file = AudioInput::from_vec_u8("a.wav".into(), b"RIFF and so on".to_vec());
    let request = CreateTranscriptionRequestArgs::default()
        .file(file)
        .model("whisper-1")
        .build()
        .unwrap();
    let report = Report::new();
    let answer = within(report.of(client.audio().transcription().create(request))).await;
    assert_eq!(answer.unwrap().text, "over and out");
    let log = mock.log();
    assert_eq!(log.len(), 2);
    for seen in &log {
        let kind = seen.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("multipart/form-data; boundary="));
        let sent = String::from_utf8_lossy(&seen.body);
        assert!(sent.contains("RIFF and so on") && sent.contains("whisper-1"));
    }
    assert_eq!(log[0].body, log[1].body);
    assert_eq!(report.trail().unwrap().attempts().len(), 2);
}

#[tokio::test]
async fn reqwest_can_be_the_leaf() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::status(503));
    mock.script("n", Reply::text("from n"));
    let leaf = backstay_reqwest::Client::build(reqwest::ClientBuilder::no_proxy).unwrap();
    let targets = Targets::new(Target::model("m").retries(0)).then("n");
    let (stack, _) = observed_stack(leaf, targets, Timeouts::new(), AMPLE);
    let client = Client::with_config(config(&mock)).with_http_service(Transport::new(stack));
    let stream = within(client.chat().create_stream(ask())).await.unwrap();
    assert_eq!(read(stream).await.0, "from n");
}

// --- How it is done ---

fn config(mock: &Mock) -> OpenAIConfig {
    let base = format!("{}/v1", mock.url());
    OpenAIConfig::new().with_api_base(base).with_api_key("key")
}

fn client(mock: &Mock, targets: Targets, budget: Duration) -> (Client<OpenAIConfig>, Observed) {
    let (stack, observed) = observed_stack(http1(), targets, Timeouts::new(), budget);
    let client = Client::with_config(config(mock)).with_http_service(Transport::new(stack));
    (client, observed)
}

fn ask() -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessage::from("Hello");
    CreateChatCompletionRequestArgs::default()
        .model("m")
        .messages([message.into()])
        .build()
        .unwrap()
}

/// The text of a stream, and every error in it.
async fn read(mut stream: ChatCompletionResponseStream) -> (String, Vec<OpenAIError>) {
    let (mut text, mut errors) = (String::new(), Vec::new());
    while let Some(item) = within(stream.next()).await {
        match item {
            Ok(chunk) => {
                let content = chunk
                    .choices
                    .first()
                    .and_then(|one| one.delta.content.clone());
                text.push_str(&content.unwrap_or_default());
            }
            Err(error) => errors.push(error),
        }
    }
    (text, errors)
}
