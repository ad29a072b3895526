//! A signature is made of the bytes that arrive.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    BoxError, Error, ErrorKind,
    error::RequestProblem,
    fallback::{Backoff, Outgoing, Sign, Target, Targets},
};
use backstay_mock::{Logged, Mock, Reply, Script};
use backstay_tests::{
    MS,
    answer::read,
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use parking_lot::Mutex;
use std::sync::Arc;

/// Signs with a number, and remembers what it signed.
#[derive(Clone, Debug, Default)]
struct Notary(Arc<Mutex<Vec<Signed>>>);

#[derive(Debug)]
struct Signed {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Headers that a client writes of its own accord.
const OF_THE_CLIENT: [&str; 4] = ["host", "content-length", "transfer-encoding", "user-agent"];

const PATCH: &str = r#"{"patched":{"very":"much"},"stream_options":null}"#;

// === impl Notary ===

impl Sign for Notary {
    fn sign(&self, request: &Outgoing<'_>) -> Result<HeaderMap, BoxError> {
        let body = request.body.ok_or("it is streamed")?.to_bytes();
        let mut signed = self.0.lock();
        signed.push(Signed {
            method: request.method.clone(),
            uri: request.uri.clone(),
            headers: request.headers.clone(),
            body,
        });
        let name = format!("AWS4-HMAC-SHA256 {}", signed.len());
        let headers = [
            ("authorization", name),
            ("x-amz-date", "20260101T000000Z".into()),
        ];
        let headers = headers.map(|(name, value)| {
            let value = HeaderValue::try_from(value).unwrap();
            (name.parse().unwrap(), value)
        });
        Ok(headers.into_iter().collect())
    }
}

impl Notary {
    /// The nth thing signed is what arrived.
    fn assert_attests(&self, nth: usize, arrived: &Logged) {
        let signed = &self.0.lock()[nth];
        assert_eq!(signed.method, arrived.method);
        assert_eq!(signed.uri.path(), arrived.path);
        assert_eq!(signed.uri.query(), arrived.query.as_deref());
        assert_eq!(signed.body, arrived.body);
        let mut headers = arrived.headers.clone();
        let host = signed.uri.authority().unwrap().as_str();
        assert_eq!(headers["host"], host);
        let signature = format!("AWS4-HMAC-SHA256 {}", nth + 1);
        assert_eq!(headers["authorization"], signature);
        assert_eq!(headers["x-amz-date"], "20260101T000000Z");
        for name in OF_THE_CLIENT
            .into_iter()
            .chain(["authorization", "x-amz-date"])
        {
            if !signed.headers.contains_key(name) {
                headers.remove(name);
            }
        }
        // None was added, changed or taken away after that.
        assert_eq!(headers, signed.headers);
        if let Some(length) = arrived.headers.get("content-length") {
            assert_eq!(*length, arrived.body.len().to_string());
        }
    }
}

#[tokio::test]
async fn each_attempt_is_signed_as_it_is_sent() {
    let client = http1();
    for spoken in SPOKEN {
        let first = Mock::start().await.unwrap();
        let second = Mock::start().await.unwrap();
        second.script_default(
            Script::new()
                .attempts(2, Reply::status(500))
                .then(Reply::text("Here")),
        );
        first.script_default(Reply::status(404));
        let notary = Notary::default();
        let signs = |target: Target| target.sign(notary.clone()).header("x-of-the-target", "1");
        let targets = Targets::new(signs(spoken.target("first")))
            .then(
                signs(spoken.target("longer-than-that"))
                    .origin(second.url())
                    .patch(PATCH),
            )
            .retries(2)
            .backoff(Backoff::new(MS, MS));
        let stack = Setup::new(targets).over(client.clone());
        let mut request = spoken.request(&first.url(), "first");
        // The caller's own signature is of other bytes.
        for (name, value) in [
            ("authorization", "of the caller"),
            ("x-amz-date", "earlier"),
        ] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        let response = within(stack.call(request)).await;
        let answer = read(response.unwrap()).await;
        assert_eq!(answer.status, 200, "{spoken:?}");
        let arrived = [first.log(), second.log()].concat();
        assert_eq!(arrived.len(), 4, "{spoken:?}");
        for (nth, arrived) in arrived.iter().enumerate() {
            notary.assert_attests(nth, arrived);
            let patched = String::from_utf8_lossy(&arrived.body).contains(r#""patched""#);
            assert_eq!(patched, nth > 0, "{spoken:?}");
        }
    }
}

/// Has no token.
#[derive(Debug)]
struct Forgetful;

impl Sign for Forgetful {
    fn sign(&self, _: &Outgoing<'_>) -> Result<HeaderMap, BoxError> {
        Err("no token has been fetched yet".into())
    }
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let bedrock = Spoken::of("bedrock");
    let mock = Mock::start().await.unwrap();
    let unsigned = || bedrock.target("first").sign(Forgetful);

    let stack = Setup::new(Targets::new(unsigned())).http1();
    let error = within(stack.call(bedrock.request(&mock.url(), "first"))).await;
    let error = error.err().unwrap();
    let problem = ErrorKind::Request(RequestProblem::Unsigned);
    assert_eq!(Error::find(&*error).unwrap().kind(), problem);
    assert!(mock.log().is_empty());

    let targets = Targets::new(unsigned()).then(bedrock.target("second"));
    let stack = Setup::new(targets).http1();
    let response = within(stack.call(bedrock.request(&mock.url(), "first"))).await;
    assert!(read(response.unwrap()).await.error.is_none());
    assert_eq!((mock.attempts("first"), mock.attempts("second")), (0, 1));
}
