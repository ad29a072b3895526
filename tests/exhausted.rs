//! When every target has failed, the caller's own choice speaks; what the others said is in the trail.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Error, ErrorKind, Timeouts,
    cancel::Why,
    dialect::FailureClass,
    fallback::{Backoff, Target, Targets},
    timeout::Clock,
    trail::{Attempt, Next, Outcome, Reason},
};
use backstay_mock::{Mock, Reply, Script};
use backstay_tests::{
    MS, PROMPTLY,
    answer::{attempts, find, read},
    ask::{APIS, Api},
    stack::Setup,
    wire::nobody,
    within,
};
use http::header::CONTENT_TYPE;
use std::time::Duration;

fn targets() -> Targets {
    Targets::new(Target::model("first").retries(1))
        .then(Target::model("second").retries(0))
        .then(Target::model("third").retries(0))
        .backoff(Backoff::new(MS, MS))
}

fn statuses(attempts: &[Attempt]) -> Vec<Option<u16>> {
    let status = |attempt: &Attempt| attempt.status.map(|status| status.as_u16());
    attempts.iter().map(status).collect()
}

#[tokio::test]
async fn the_first_targets_last_answer_is_returned() {
    for api in APIS {
        let mock = Mock::start().await.unwrap();
        let last = Reply::status(500)
            .header("content-type", "text/plain")
            .header("x-of-the-first", "2")
            .body("what the first said last");
        let script = Script::new()
            .attempt(Reply::status(503).body("what it said before"))
            .then(last);
        mock.script("first", script);
        mock.script("second", Reply::status(429).body("another"));
        mock.script("third", Reply::status(401).body("yet another"));
        let stack = Setup::new(targets()).http1();
        let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert_eq!(answer.status, 500);
        assert_eq!(answer.headers["x-of-the-first"], "2");
        assert_eq!(answer.headers[CONTENT_TYPE], "text/plain");
        assert_eq!(answer.body, "what the first said last");
        assert_eq!(answer.content_length(), Some(answer.body.len()));
        assert!(answer.error.is_none());

        let attempts = answer.attempts();
        let said = [503, 500, 429, 401].map(Some);
        assert_eq!(statuses(&attempts), said);
        assert!(
            attempts
                .iter()
                .all(|attempt| attempt.outcome == Outcome::Status)
        );
        assert_eq!(attempts[0].next, Some(Next::Retry));
        assert_eq!(attempts[1].next, Some(Next::Skip(Reason::RetriesUsed)));
        assert_eq!(attempts[3].next, Some(Next::Stop(Reason::Policy)));
        assert_eq!(attempts[3].class, Some(FailureClass::Authentication));
        assert_eq!(mock.log().len(), 4);
        assert_eq!(stack.ends().settled().await.observed(), [Why::Complete]);
    }
}

#[tokio::test]
async fn its_body_is_bounded_and_its_length_right() {
    let mock = Mock::start().await.unwrap();
    let long = "x".repeat(4_000_000);
    mock.script("first", Reply::status(404).body(long.clone()));
    mock.script_default(Reply::status(404).body("gone"));
    let stack = Setup::new(targets()).http1();
    let response = within(stack.call(Api::OpenAi.stream(&mock.url(), "first"))).await;
    let answer = read(response.unwrap()).await;
    assert!(answer.error.is_none());
    assert_eq!(answer.content_length(), Some(answer.body.len()));
    assert!(!answer.body.is_empty() && answer.body.len() < 1_000_000);
    assert!(long.as_bytes().starts_with(&answer.body));
}

#[tokio::test]
async fn a_timeout_of_the_first_is_a_typed_error() {
    for api in APIS {
        let mock = Mock::start().await.unwrap();
        mock.script("first", Reply::never_answer());
        mock.script("second", Reply::status(500));
        mock.script("third", Reply::status(503));
        let limit = Duration::from_millis(200);
        let clocks = Timeouts::new().headers(limit);
        let stack = Setup::new(targets()).timeouts(clocks).http1();
        let call = stack.call(api.stream(&mock.url(), "first"));
        let boxed = within(call).await.err().unwrap();
        let error = Error::find(&*boxed).unwrap();
        assert!(error.is_timeout() && !error.is_deadline() && !error.is_cancelled());
        assert_eq!(error.kind(), ErrorKind::Timeout(Clock::Headers));
        assert_eq!(
            (error.limit(), error.target()),
            (Some(limit), Some("first"))
        );
        assert!((limit..limit + PROMPTLY).contains(&error.elapsed().unwrap()));

        let attempts = attempts(&boxed);
        assert_eq!(statuses(&attempts), [None, Some(500), Some(503)]);
        assert_eq!(attempts[0].outcome, Outcome::Timeout(Clock::Headers));
        assert!(attempts[0].uncertain);
        let why = Why::Failed(Some(ErrorKind::Timeout(Clock::Headers)));
        assert_eq!(stack.ends().settled().await.observed(), [why]);
    }
}

#[tokio::test]
async fn an_in_band_error_of_the_first_is_a_typed_error() {
    let mock = Mock::start().await.unwrap();
    let in_band = Reply::ok().error_in_band(0, "insufficient_quota");
    mock.script("first", in_band);
    mock.script_default(Reply::status(404));
    let stack = Setup::new(targets()).http1();
    let call = stack.call(Api::OpenAi.stream(&mock.url(), "first"));
    let error = within(call).await.err().unwrap();
    let kind = ErrorKind::InBand(FailureClass::Quota);
    assert_eq!(find(&error).kind(), kind);
    assert_eq!(find(&error).target(), Some("first"));
    assert_eq!(attempts(&error).len(), 3);
}

#[tokio::test]
async fn a_lost_connection_of_the_first_keeps_the_clients_error() {
    let gone = format!("http://{}", nobody().await);
    let mock = Mock::start().await.unwrap();
    mock.script_default(Reply::status(404));
    let elsewhere = Target::model("second").origin(mock.url());
    let targets = Targets::new(Target::model("first").retries(0)).then(elsewhere);
    let stack = Setup::new(targets).http1();
    let call = stack.call(Api::OpenAi.stream(&gone, "first"));
    let error = within(call).await.err().unwrap();
    assert_eq!(find(&error).kind(), ErrorKind::Transport);
    let client = std::error::Error::source(find(&error)).unwrap();
    let client = client.downcast_ref::<backstay_client::Error>().unwrap();
    assert_eq!(client.kind(), backstay_client::ErrorKind::Connect);
    let attempts = attempts(&error);
    assert_eq!(statuses(&attempts), [None, Some(404)]);
    // Nobody can have billed what nobody was sent.
    assert!(!attempts[0].uncertain);
}
