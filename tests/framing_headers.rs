//! Headers that were true of the caller's request only are made true of what is sent, or are not sent.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Body,
    fallback::{Target, Targets},
};
use backstay_mock::{Logged, Mock, Reply};
use backstay_tests::{
    answer::read,
    ask::{Api, document},
    stack::{Setup, http1, http2},
    within,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING},
};

const OLD: &str = "a-model-with-a-long-name";

/// What is true of the old bytes or the caller's own connection only.
const GONE: [&str; 9] = [
    "expect",
    "digest",
    "content-digest",
    "repr-digest",
    "content-md5",
    "signature",
    "signature-input",
    "keep-alive",
    "x-named-by-connection",
];

/// A request that another proxy has framed, signed and addressed.
fn framed(origin: &str) -> Request<Body> {
    let mut request = Api::OpenAi.stream(origin, OLD);
    let length = document(OLD, true).len();
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("caller.example"));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    headers.insert(
        "connection",
        HeaderValue::from_static("x-named-by-connection"),
    );
    for name in GONE {
        headers.insert(name, HeaderValue::from_static("of the caller's own"));
    }
    headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    headers.insert("x-harmless", HeaderValue::from_static("kept"));
    request
}

fn assert_true_of_the_wire(seen: &Logged, mock: &Mock, model: &str) {
    assert_eq!(seen.body, document(model, true));
    let headers = &seen.headers;
    let host = if seen.http_version == http::Version::HTTP_2 {
        // The authority has a field of its own there.
        headers
            .get(HOST)
            .is_none_or(|host| host == &*mock.addr().to_string())
    } else {
        all(headers, HOST) == [&*mock.addr().to_string()]
    };
    assert!(host, "{:?}", headers.get(HOST));
    assert_eq!(
        all(headers, CONTENT_LENGTH),
        [&*seen.body.len().to_string()]
    );
    assert!(!headers.contains_key(TRANSFER_ENCODING));
    for name in GONE {
        assert!(!headers.contains_key(name), "{name}");
    }
}

fn all(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let values = headers.get_all(name).into_iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_rewritten_request_is_framed_anew() {
    for client in [http1(), http2()] {
        let mock = Mock::start().await.unwrap();
        mock.script("m", Reply::status(404));
        // Shorter and longer than what the caller asked for.
        let targets = Targets::new("m").then("another-model-with-an-even-longer-name");
        let stack = Setup::new(targets).over(client);
        let answer = read(within(stack.call(framed(&mock.url()))).await.unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error.is_none()),
            (200, true)
        );
        let log = mock.log();
        assert_eq!(log.len(), 2);
        assert_true_of_the_wire(&log[0], &mock, "m");
        assert_true_of_the_wire(&log[1], &mock, "another-model-with-an-even-longer-name");
        assert_eq!(log[0].headers["x-harmless"], "kept");
    }
}

#[tokio::test]
async fn a_request_for_another_origin_is_framed_anew() {
    for client in [http1(), http2()] {
        let first = Mock::start().await.unwrap();
        first.script("m", Reply::status(404));
        let second = Mock::start().await.unwrap();
        let targets = Targets::new("m")
            .then(Target::model(OLD).name("same model").origin(second.url()))
            .then("unused");
        let stack = Setup::new(targets).over(client);
        let answer = read(within(stack.call(framed(&first.url()))).await.unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error.is_none()),
            (200, true)
        );
        assert_true_of_the_wire(&second.log()[0], &second, OLD);
    }
}
