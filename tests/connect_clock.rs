//! The `connect` clock reaches the client through the layers, and what it ends was never sent.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Error, ErrorKind, Timeouts,
    fallback::{Target, Targets},
    timeout::Clock,
    trail::{Next, Outcome},
};
use backstay_mock::Mock;
use backstay_tests::{
    PROMPTLY,
    answer::read,
    ask::{APIS, Api},
    stack::{Setup, http1, http2},
    wire::Silent,
    within,
};
use std::{error::Error as _, time::Duration};
use tokio::time::Instant;

/// Far below the client's own limit.
const LIMIT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn it_ends_the_attempt_with_its_own_kind() {
    for client in [http1(), http2()] {
        for api in APIS {
            for ask in [Api::stream, Api::unary] {
                // Connects, and never says a word of TLS.
                let mut silent = Silent::start().await;
                let targets = Targets::new(Target::model("m").retries(0));
                let clocks = Timeouts::new().connect(LIMIT);
                let stack = Setup::new(targets).timeouts(clocks).over(client.clone());
                let started = Instant::now();
                let call = stack.call(ask(api, &silent.https(), "m"));
                let boxed = within(call).await.err().unwrap();
                let elapsed = Instant::now().saturating_duration_since(started);
                assert!(
                    elapsed >= LIMIT && elapsed < LIMIT + PROMPTLY,
                    "{elapsed:?}"
                );

                // The client knows of no call: what it said is the source, told with the trail.
                let error = Error::find(&*boxed).unwrap();
                let attempts = error.trail().unwrap().attempts();
                assert_eq!(attempts.len(), 1);
                assert_eq!(attempts[0].outcome, Outcome::Timeout(Clock::Connect));
                assert_eq!(error.target(), Some("m"));
                assert!(error.source().is_some());
                assert_eq!(error.kind(), ErrorKind::Timeout(Clock::Connect));
                assert!(error.is_timeout());
                assert_eq!(error.limit(), Some(LIMIT));
                silent.spoken().await;
                silent.closed().await;
            }
        }
    }
}

#[tokio::test]
async fn a_second_target_is_tried() {
    for api in APIS {
        let silent = Silent::start().await;
        let mock = Mock::start().await.unwrap();
        let elsewhere = Target::model("second").origin(mock.url());
        let targets = Targets::new("first").then(elsewhere.allow_plaintext());
        let clocks = Timeouts::new().connect(LIMIT);
        let stack = Setup::new(targets).timeouts(clocks).http1();
        let response = within(stack.call(api.stream(&silent.https(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert!(answer.error.is_none());
        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].outcome, Outcome::Timeout(Clock::Connect));
        assert!(!attempts[0].uncertain);
        assert!(matches!(attempts[0].next, Some(Next::Skip(_))));
        assert_eq!(attempts[1].outcome, Outcome::Complete);
    }
}

#[tokio::test]
async fn nothing_was_billed_so_that_a_careful_stack_goes_on_too() {
    let silent = Silent::start().await;
    let mock = Mock::start().await.unwrap();
    let elsewhere = Target::model("second").origin(mock.url());
    let targets = Targets::new("first")
        .then(elsewhere.allow_plaintext())
        .retry_uncertain(false);
    let clocks = Timeouts::new().connect(LIMIT);
    let stack = Setup::new(targets).timeouts(clocks).http1();
    let call = stack.call(Api::OpenAi.stream(&silent.https(), "first"));
    assert!(read(within(call).await.unwrap()).await.error.is_none());
    assert_eq!(mock.log().len(), 1);
}

#[tokio::test]
async fn a_target_and_a_request_can_set_it() {
    let silent = Silent::start().await;
    let long = Timeouts::new().connect(Duration::from_secs(60));
    let short = Timeouts::new().connect(LIMIT);
    let of_target = Targets::new(Target::model("m").retries(0).timeouts(short));
    let stack = Setup::new(of_target).timeouts(long).http1();
    let call = stack.call(Api::OpenAi.stream(&silent.https(), "m"));
    let error = within(call).await.err().unwrap();
    assert_eq!(Error::find(&*error).unwrap().limit(), Some(LIMIT));

    let of_target = Targets::new(Target::model("m").retries(0).timeouts(long));
    let stack = Setup::new(of_target).http1();
    let mut request = Api::OpenAi.stream(&silent.https(), "m");
    request.extensions_mut().insert(short);
    let error = within(stack.call(request)).await.err().unwrap();
    assert_eq!(Error::find(&*error).unwrap().limit(), Some(LIMIT));
}
