//! A credential of one authority never reaches another.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Body, Error, ErrorKind,
    error::RequestProblem,
    fallback::{Target, Targets},
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    answer::{kind, read},
    ask::{APIS, Api, document},
    stack::Setup,
    wire::{Silent, Wire, nobody},
    within,
};
use http::{HeaderValue, Request};
use std::time::Duration;

/// All of them hold this word, and nothing else does.
const SECRET: &str = "hush";

const SECRET_HEADERS: [&str; 10] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "openai-organization",
    "openai-project",
    "proxy-authorization",
    "x-custom",
    "x-amz-security-token",
];

fn secretive(api: Api, origin: &str) -> Request<Body> {
    let mut request = api.with(origin, document("first", false));
    let uri = format!("{origin}{}?key={SECRET}&api-version=1", api.path());
    *request.uri_mut() = uri.parse().unwrap();
    for name in SECRET_HEADERS {
        let value = HeaderValue::try_from(format!("{SECRET} {name}")).unwrap();
        request.headers_mut().insert(name, value);
    }
    let tenant = HeaderValue::from_static("tenant-7");
    request.headers_mut().insert("x-tenant", tenant);
    request
}

/// An upstream that shows every byte that reached it.
async fn confidant() -> Wire {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    Wire::start(vec![(Duration::ZERO, answer.into())]).await
}

#[tokio::test]
async fn another_origin_gets_none_of_the_callers() {
    for api in APIS {
        let first = Mock::start().await.unwrap();
        first.script("first", Reply::status(404));
        let second = confidant().await;
        let other = Target::model("second").origin(second.url());
        let targets = Targets::new("first")
            .then(other.bearer("the-targets-own"))
            .portable_header("x-tenant");
        let stack = Setup::new(targets).http1();
        let response = within(stack.call(secretive(api, &first.url()))).await;
        assert_eq!(read(response.unwrap()).await.body, "{}");

        // The caller's own choice gets all that the caller gave.
        let log = first.log();
        for name in SECRET_HEADERS {
            assert!(log[0].headers.contains_key(name), "{name}");
        }
        let requests = second.requests();
        assert_eq!(requests.len(), 1);
        let seen = requests[0].to_ascii_lowercase();
        assert!(!seen.contains(SECRET) && !seen.contains("api-version"));
        assert!(seen.contains("authorization: bearer the-targets-own\r\n"));
        assert!(seen.contains("x-tenant: tenant-7\r\n"));
        assert!(seen.contains("content-type: application/json\r\n"));
    }
}

#[tokio::test]
async fn another_port_or_another_name_of_a_host_is_another_origin() {
    let first = Mock::start().await.unwrap();
    first.script("first", Reply::status(404));
    let second = confidant().await;
    for origin in [second.url(), second.url().replace("127.0.0.1", "localhost")] {
        let other = Target::model("second").origin(origin);
        let stack = Setup::new(Targets::new("first").then(other)).http1();
        let response = within(stack.call(secretive(Api::OpenAi, &first.url()))).await;
        assert_eq!(read(response.unwrap()).await.body, "{}");
    }
    let requests = second.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|seen| !seen.contains(SECRET)));
    // Nor is anything portable unless it is said to be.
    assert!(requests.iter().all(|seen| !seen.contains("tenant-7")));
}

#[tokio::test]
async fn a_target_with_credentials_of_its_own_gets_none_of_the_callers() {
    let same = confidant().await;
    let targets = [
        Target::model("other").bearer("the-targets-own"),
        Target::model("other").credential("x-api-key", "the-targets-own"),
    ];
    for target in targets {
        let stack = Setup::new(Targets::new(target)).http1();
        let response = within(stack.call(secretive(Api::OpenAi, &same.url()))).await;
        assert_eq!(read(response.unwrap()).await.body, "{}");
    }
    let requests = same.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|seen| !seen.contains(SECRET)));
    assert!(requests.iter().all(|seen| seen.contains("the-targets-own")));
}

#[tokio::test]
async fn nothing_of_one_attempt_is_left_in_the_next() {
    let first = Mock::start().await.unwrap();
    first.script("a", Reply::status(404));
    first.script("c", Reply::text("Here"));
    let second = Mock::start().await.unwrap();
    second.script("b", Reply::status(404));
    let away = Target::model("b").origin(second.url()).bearer("of-b");
    let targets = Targets::new("a").then(away.header("x-of-b", "1")).then("c");
    let stack = Setup::new(targets).http1();
    let response = within(stack.call(secretive(Api::OpenAi, &first.url()))).await;
    assert!(read(response.unwrap()).await.contains("Here"));
    let log = first.log();
    assert_eq!(
        log[1].headers["authorization"],
        log[0].headers["authorization"]
    );
    assert_eq!(log[1].headers["cookie"], log[0].headers["cookie"]);
    assert!(!log[1].headers.contains_key("x-of-b"));
}

#[tokio::test]
async fn https_never_becomes_http_unless_allowed() {
    let mock = Mock::start().await.unwrap();
    let silent = Silent::start().await;
    let plain = || Target::model("m").origin(mock.url());

    let stack = Setup::new(Targets::new(plain())).http1();
    let error = within(stack.call(secretive(Api::OpenAi, &silent.https()))).await;
    let problem = ErrorKind::Request(RequestProblem::Plaintext);
    assert_eq!(kind(&error.err().unwrap()), problem);
    assert!(mock.log().is_empty());

    let stack = Setup::new(Targets::new(plain().allow_plaintext())).http1();
    let response = within(stack.call(secretive(Api::OpenAi, &silent.https()))).await;
    assert!(read(response.unwrap()).await.error.is_none());
    assert_eq!(mock.log().len(), 1);
}

#[tokio::test]
async fn a_refused_fallback_does_not_hide_the_failure_that_led_to_it() {
    let gone = format!("https://{}", nobody().await);
    let mock = Mock::start().await.unwrap();
    let plain = Target::model("second").origin(mock.url());
    let targets = Targets::new(Target::model("first").retries(0)).then(plain);
    let stack = Setup::new(targets).http1();
    let error = within(stack.call(secretive(Api::OpenAi, &gone)))
        .await
        .err();
    let error = error.unwrap();
    assert!(mock.log().is_empty());
    let error = Error::find(&*error).unwrap();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(error.target(), Some("first"));
}
