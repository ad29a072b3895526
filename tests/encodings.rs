//! What is encoded is passed on as it is: nothing is decoded, rewritten or guessed at.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    ErrorKind,
    error::RequestProblem,
    fallback::{Target, Targets},
    trail::{Note, Outcome},
};
use backstay_mock::{Mock, Reply, Script};
use backstay_tests::{
    answer::{contains, kind, read},
    ask::{APIS, Api, document},
    stack::Setup,
    within,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use std::io::{Read, Write};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    text
}

#[tokio::test]
async fn an_encoded_stream_passes_through_unobserved() {
    for api in APIS {
        let mock = Mock::start().await.unwrap();
        mock.script("m", Reply::text("Here at last").gzip());
        let stack = Setup::new(Targets::new("m").then("n")).http1();
        let response = within(stack.call(api.stream(&mock.url(), "m"))).await;
        let answer = read(response.unwrap()).await;
        assert!(answer.error.is_none());
        assert_eq!(answer.headers[CONTENT_ENCODING], "gzip");
        let text = gunzip(&answer.body);
        assert!(contains(&text, "last"));
        assert!(text.ends_with(api.end_marker().as_bytes()));

        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].notes, [Note::Encoded]);
        assert_eq!(attempts[0].outcome, Outcome::Complete);
        assert!(attempts[0].committed.is_some());
    }
}

#[tokio::test]
async fn an_encoded_document_passes_through_byte_by_byte() {
    // It holds an error, which nobody looks for in there.
    let encoded = gzip(br#"{"error":{"code":"server_is_overloaded"}}"#);
    let mock = Mock::start().await.unwrap();
    let reply = Reply::ok()
        .body(encoded.clone())
        .header("content-encoding", "gzip");
    mock.script("m", reply);
    let stack = Setup::new(Targets::new("m").then("n")).http1();
    let response = within(stack.call(Api::OpenAi.unary(&mock.url(), "m"))).await;
    let answer = read(response.unwrap()).await;
    assert_eq!(answer.body, encoded);
    assert_eq!(answer.content_length(), Some(encoded.len()));
    assert_eq!(answer.headers[CONTENT_ENCODING], "gzip");
    assert_eq!(answer.attempts()[0].notes, [Note::Encoded]);
    assert_eq!(mock.log().len(), 1);
}

#[tokio::test]
async fn an_encoded_request_passes_through_targets_that_keep_the_model() {
    let encoded = gzip(document("m", true).as_bytes());
    let mock = Mock::start().await.unwrap();
    let script = Script::new()
        .attempt(Reply::status(503).header("retry-after-ms", "1").body("{}"))
        .attempt(Reply::status(404).body("{}"))
        .then(Reply::ok().body("{}"));
    mock.script_path("/chat/completions", script);
    let targets = Targets::new(Target::named("first")).then(Target::named("second"));
    let stack = Setup::new(targets).http1();
    let mut request = Api::OpenAi.with(&mock.url(), encoded.clone());
    let gzip = http::HeaderValue::from_static("gzip");
    request.headers_mut().insert(CONTENT_ENCODING, gzip);
    let answer = read(within(stack.call(request)).await.unwrap()).await;
    assert_eq!(answer.body, "{}");
    let log = mock.log();
    assert_eq!(log.len(), 3);
    for seen in log {
        assert_eq!(seen.body, encoded);
        assert_eq!(seen.headers[CONTENT_ENCODING], "gzip");
    }
}

#[tokio::test]
async fn an_encoded_request_is_never_rewritten() {
    let mock = Mock::start().await.unwrap();
    mock.script_path("/chat/completions", Reply::status(503).body("{}"));
    let encoded = || {
        let body = gzip(document("m", true).as_bytes());
        let mut request = Api::OpenAi.with(&mock.url(), body);
        let gzip = http::HeaderValue::from_static("gzip");
        request.headers_mut().insert(CONTENT_ENCODING, gzip);
        request
    };

    let stack = Setup::new(Targets::new("m").then("n")).http1();
    let error = within(stack.call(encoded())).await.err().unwrap();
    assert_eq!(kind(&error), ErrorKind::Request(RequestProblem::Encoded));
    assert!(mock.log().is_empty());

    // Behind a target that keeps the model: it is passed over.
    let targets = Targets::new(Target::named("as it is").retries(0)).then("n");
    let stack = Setup::new(targets).http1();
    let answer = read(within(stack.call(encoded())).await.unwrap()).await;
    assert_eq!(answer.status, 503);
    assert_eq!(mock.log().len(), 1);
    assert_eq!(&*answer.trail.passed_over()[0].target, "n");
}

#[tokio::test]
async fn the_upstream_is_asked_for_no_encoding() {
    let mock = Mock::start().await.unwrap();
    let stack = Setup::new(Targets::new(Target::named("as it is"))).http1();
    let mut request = Api::OpenAi.stream(&mock.url(), "m");
    let any = http::HeaderValue::from_static("gzip, br, zstd");
    request.headers_mut().insert(ACCEPT_ENCODING, any);
    let answer = read(within(stack.call(request)).await.unwrap()).await;
    assert!(answer.error.is_none());
    let log = mock.log();
    let asked: Vec<_> = log[0].headers.get_all(ACCEPT_ENCODING).iter().collect();
    assert_eq!(asked, ["identity"]);
}
