//! Path and query of a target, and the model in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::dialect::Gemini;
use backstay::error::RequestProblem;
use backstay::fallback::{FallbackLayer, Target, Targets};
use backstay::{Body, BuildError, ErrorKind};
use http::Request;
use support::{Answer, Upstream, chat, chat_with, kind, send, stack};

fn gemini(path: &str) -> Request<Body> {
    Request::post(format!("https://generativelanguage.googleapis.com{path}"))
        .header("content-type", "application/json")
        .header("x-goog-api-key", "secret-of-the-caller")
        .body(Body::from(r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#))
        .unwrap()
}

const GEMINI: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}"#;

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
