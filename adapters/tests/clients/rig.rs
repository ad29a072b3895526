//! rig over a stack.

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
use backstay_mock::{Mock, Reply, Script};
use backstay_rig::{MAX_ERROR_BODY, Transport};
use bytes::Bytes;
use futures_util::StreamExt;
use rig_core::{
    ProviderError,
    completion::CompletionRequest,
    http_client::{Error, HttpClientExt, MultipartForm, Request},
    providers::openai::{OpenAI, OpenAIConfig},
    streaming::{CompletionStream, Item, StreamEvent},
};
use std::{future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::Layer;

// --- The six ---

#[tokio::test]
async fn unary_calls_and_streams_go_through_the_stack() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::text("over and out"));
    let (rig, observed) = rig(&mock, Targets::new("m"), AMPLE);
    let answer = within(rig.chat("m").call(ask())).await.unwrap();
    assert_eq!(answer.text(), "over and out");
    let attempts = attempts_of(&observed, 1).await;
    assert_eq!(attempts[0].outcome, Outcome::Complete);

    let (text, error) = read(rig.chat("m").stream(ask()).unwrap()).await;
    assert_eq!(text, "over and out");
    assert!(error.is_none());
    let attempts = attempts_of(&observed, 2).await;
    assert_eq!(attempts[0].outcome, Outcome::Complete);
    assert!(attempts[0].first_token.is_some());
    assert_eq!(mock.log()[0].headers["authorization"], "Bearer key");
}

#[tokio::test]
async fn a_failure_before_content_falls_over() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::tokens(["a"]).cut_after_tokens(0));
    mock.script("n", Reply::text("from n"));
    let targets = Targets::new(Target::model("m").retries(0)).then("n");
    let (rig, observed) = rig(&mock, targets, AMPLE);
    let answer = within(rig.chat("m").call(ask())).await.unwrap();
    assert_eq!(answer.text(), "from n");
    let (text, error) = read(rig.chat("m").stream(ask()).unwrap()).await;
    assert_eq!(text, "from n");
    assert!(error.is_none());
    let attempts = attempts_of(&observed, 2).await;
    assert!(matches!(attempts[0].next, Some(Next::Skip(_))));
    assert_eq!(attempts[1].model.as_deref(), Some("n"));
}

#[tokio::test]
async fn a_cut_after_content_is_found_in_rigs_error() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::tokens(["a", "b"]).cut_after_tokens(1));
    let (rig, _) = rig(&mock, Targets::new("m").then("n"), AMPLE);
    let (text, error) = read(rig.chat("m").stream(ask()).unwrap()).await;
    assert_eq!(text, "a");
    let error = error.unwrap();
    let told = told(&error);
    assert!(matches!(
        told.kind(),
        ErrorKind::Transport | ErrorKind::Truncated
    ));
    assert_eq!(told.trail().unwrap().attempts().len(), 1);
    assert_eq!(mock.attempts("n"), 0);
}

#[tokio::test]
async fn an_error_event_after_content_ends_the_stream() {
    let mock = Mock::start().await.unwrap();
    let fails = Reply::tokens(["a", "b"]).error_in_band(1, "server_error");
    mock.script("m", fails);
    let (rig, observed) = rig(&mock, Targets::new("m").then("n"), AMPLE);
    let (text, error) = read(rig.chat("m").stream(ask()).unwrap()).await;
    assert_eq!(text, "a");
    // rig reads the event itself; the trail says the same.
    assert!(error.is_some());
    let attempts = attempts_of(&observed, 1).await;
    assert!(
        matches!(attempts[0].outcome, Outcome::InBand),
        "{attempts:?}"
    );
    assert_eq!(mock.attempts("n"), 0);
}

#[tokio::test]
async fn the_deadline_is_found_in_rigs_error() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let (rig, _) = rig(&mock, Targets::new("m"), SHORT);
    let error = within(rig.chat("m").call(ask())).await.unwrap_err();
    assert!(matches!(error, ProviderError::Http(_)));
    assert_eq!(told(&error).kind(), ErrorKind::Deadline);
    assert_eq!(told(&error).trail().unwrap().attempts().len(), 1);
    upstream_closed(&mock).await;

    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let (text, error) = read(rig.chat("m").stream(ask()).unwrap()).await;
    assert_eq!(text, "a");
    assert_eq!(told(&error.unwrap()).kind(), ErrorKind::Deadline);
    upstream_closed(&mock).await;
}

#[tokio::test]
async fn the_ambient_deadline_holds_for_calls_and_streams() {
    let mock = Mock::start().await.unwrap();
    let (rig, _) = rig(&mock, Targets::new("m"), AMPLE);
    mock.script("m", Reply::never_answer());
    let call = Deadline::after(SHORT).scope(rig.chat("m").call(ask()));
    assert!(told(&within(call).await.unwrap_err()).is_deadline());

    // rig sends when its stream is first polled, so that this has to happen inside.
    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let read = Deadline::after(SHORT).scope(read(rig.chat("m").stream(ask()).unwrap()));
    let (text, error) = within(read).await;
    assert_eq!(text, "a");
    assert!(told(&error.unwrap()).is_deadline());
}

#[tokio::test]
async fn a_caller_who_goes_closes_the_upstream() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let (rig, observed) = rig(&mock, Targets::new("m"), AMPLE);
    until_sent(rig.chat("m").call(ask()), &mock).await;
    upstream_closed(&mock).await;
    let dropped = Outcome::Cancelled;
    assert_eq!(attempts_of(&observed, 1).await[0].outcome, dropped);

    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let mut stream = rig.chat("m").stream(ask()).unwrap();
    while !is_text(&within(stream.next()).await.unwrap().unwrap()) {}
    drop(stream);
    upstream_closed(&mock).await;
    assert_eq!(attempts_of(&observed, 2).await[0].outcome, dropped);
}

#[tokio::test]
async fn a_limit_with_a_hint_is_waited_for() {
    let mock = Mock::start().await.unwrap();
    let limited = Reply::status(429).header("retry-after-ms", "150");
    mock.script("m", Script::new().attempt(limited).then(Reply::ok()));
    let (rig, _) = rig(&mock, Targets::new("m").retries(1), AMPLE);
    within(rig.chat("m").call(ask())).await.unwrap();
    let log = mock.log();
    assert_eq!(log.len(), 2);
    assert!(log[1].at.saturating_duration_since(log[0].at) >= 150 * MS);
}

// --- rig's contract ---

#[tokio::test]
async fn an_answer_other_than_2xx_is_rigs_error_with_status_headers_and_body() {
    let mock = Mock::start().await.unwrap();
    let limited = Reply::status(429).header("retry-after", "7");
    mock.script("m", limited);
    let (rig, _) = rig(&mock, Targets::new(Target::model("m").retries(0)), AMPLE);
    let unary = within(rig.chat("m").call(ask())).await.unwrap_err();
    let streamed = read(rig.chat("m").stream(ask()).unwrap()).await.1.unwrap();
    for error in [unary, streamed] {
        let answer = error.provider_response().unwrap();
        assert_eq!(answer.status.unwrap(), 429);
        assert!(!answer.body.is_empty());
        assert_eq!(answer.headers.as_ref().unwrap()["retry-after"], "7");
    }
}

#[tokio::test]
async fn a_status_made_an_error_keeps_trail_and_answer() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::status(400));
    let (stack, _) = observed_stack(http1(), Targets::new("m"), Timeouts::new(), AMPLE);
    let stack = StatusErrorLayer::new().layer(stack);
    let config = OpenAIConfig::new("key").with_base_url(format!("{}/v1", mock.url()));
    let rig = config.connect(Transport::new(stack));
    let error = within(rig.chat("m").call(ask())).await.unwrap_err();
    assert!(matches!(told(&error).kind(), ErrorKind::Status(status) if status == 400));
    assert_eq!(told(&error).trail().unwrap().attempts().len(), 1);
    assert!(!told(&error).upstream().unwrap().body.is_empty());
}

#[tokio::test]
async fn a_long_error_is_read_up_to_a_bound() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        // More than is read, and no end.
        let head = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 999999999\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream
            .write_all(&[b'e'; MAX_ERROR_BODY + 1000])
            .await
            .unwrap();
        future::pending::<()>().await;
    });
    let transport = Transport::new(http1());
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let sent = transport.send::<_, Bytes>(request);
    let error = within(sent).await.err().unwrap();
    assert_eq!(error.non_success_status().unwrap(), 400);
    assert_eq!(error.non_success_body().unwrap().len(), MAX_ERROR_BODY);
}

#[tokio::test]
async fn a_multipart_form_is_sent_and_sent_again() {
    let mock = Mock::start().await.unwrap();
    let script = Script::new()
        .attempt(Reply::status(503))
        .then(Reply::ok().body("{}"));
    mock.script_path("/transcriptions", script);
    let targets = Targets::new(Target::named("as it comes")).retries(1);
    let (stack, _) = observed_stack(http1(), targets, Timeouts::new(), AMPLE);
    let form = MultipartForm::new().text("model", "whisper-1");
    let url = format!("{}/v1/audio/transcriptions", mock.url());
    let request = Request::post(url).body(form).unwrap();
    let response = within(Transport::new(stack).send_multipart::<Bytes>(request)).await;
    assert!(
        !within(response.unwrap().into_body())
            .await
            .unwrap()
            .is_empty()
    );
    let log = mock.log();
    assert_eq!(log.len(), 2);
    for seen in &log {
        let kind = seen.headers["content-type"].to_str().unwrap();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let sent = String::from_utf8_lossy(&seen.body);
        assert!(sent.starts_with(&format!("--{boundary}\r\n")));
        assert!(sent.contains("whisper-1"));
    }
}

#[tokio::test]
async fn what_was_not_sent_is_an_instance() {
    let transport = Transport::new(http1());
    let request = Request::get("/relative").body(Bytes::new()).unwrap();
    let error = within(transport.send::<_, Bytes>(request)).await.err();
    assert!(matches!(error, Some(Error::Instance(_))));
}

// --- How it is done ---

fn rig(mock: &Mock, targets: Targets, budget: Duration) -> (OpenAI, Observed) {
    let (stack, observed) = observed_stack(http1(), targets, Timeouts::new(), budget);
    let config = OpenAIConfig::new("key").with_base_url(format!("{}/v1", mock.url()));
    (config.connect(Transport::new(stack)), observed)
}

fn ask() -> CompletionRequest {
    CompletionRequest::new("Hello")
}

fn is_text(item: &Item<StreamEvent>) -> bool {
    matches!(item, Item::Event(StreamEvent::Text { .. }))
}

/// backstay's error within rig's, whose own `source()` stops short of it.
fn told(error: &ProviderError) -> &backstay::Error {
    match error {
        ProviderError::Http(error) => find(&**error),
        other => panic!("{other:?}"),
    }
}

/// The text of a stream, and the error that it ended with.
async fn read(mut stream: CompletionStream) -> (String, Option<ProviderError>) {
    let mut text = String::new();
    while let Some(item) = within(stream.next()).await {
        match item {
            Ok(Item::Event(StreamEvent::Text { text: more, .. })) => text.push_str(&more),
            Ok(_) => {}
            Err(error) => return (text, Some(error)),
        }
    }
    (text, None)
}
