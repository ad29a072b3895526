//! Attempts that are signed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::error::RequestProblem;
use backstay::fallback::{FallbackLayer, Outgoing, Sign, Target, Targets};
use backstay::trail::Outcome;
use backstay::transport::{Delivery, SendFailure};
use backstay::{Body, BoxError, ErrorKind};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use support::{Answer, PROMPT, Upstream, chat, kind, send, stack, trail, trail_of};
use tower::{Layer, ServiceExt, service_fn};

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

/// Signs the first time only.
#[derive(Debug, Default)]
struct Once(AtomicUsize);

impl Sign for Once {
    fn sign(&self, _: &Outgoing<'_>) -> Result<HeaderMap, BoxError> {
        match self.0.fetch_add(1, SeqCst) {
            0 => Ok(HeaderMap::new()),
            _ => Err("no token any more".into()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_lost_and_cannot_be_signed_again_is_a_failed_attempt() {
    let sendings = AtomicUsize::new(0);
    let leaf = service_fn(|_: Request<Body>| {
        let number = sendings.fetch_add(1, SeqCst);
        async move {
            match number {
                0 => Err(BoxError::from(SendFailure::new(Delivery::maybe_sent(true)))),
                _ => Ok(Response::new(Full::<Bytes>::from("b"))),
            }
        }
    });
    let targets = Targets::new(Target::model("a").sign(Once::default())).then("b");
    let stack = FallbackLayer::new(targets.retries(0)).unwrap().layer(leaf);
    let response = stack.oneshot(chat()).await.unwrap();
    let attempts = trail(&response);
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].outcome, Outcome::Transport);
    assert!(attempts[0].notes.is_empty() && attempts[0].uncertain);
    assert_eq!(&*attempts[1].target, "b");
}
