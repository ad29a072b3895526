//! What can never work is said in types, before anything is sent.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Body, BuildError, ErrorKind, Timeouts,
    cancel::{CancelLayer, Why},
    deadline::DeadlineLayer,
    error::RequestProblem,
    fallback::{Backoff, FallbackLayer, Target, Targets},
    timeout::TimeoutsLayer,
    trail::{Next, Reason},
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    MS,
    answer::{kind, read},
    ask::{APIS, Api, document},
    stack::Setup,
    within,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use std::{convert::Infallible, time::Duration};

/// A request that is refused: with this problem, and before a byte of it is sent.
async fn refused(api: Api, targets: Targets, body: impl Into<Body>, problem: RequestProblem) {
    let mock = Mock::start().await.unwrap();
    let stack = Setup::new(targets).http1();
    let call = stack.call(api.with(&mock.url(), body));
    let error = within(call).await.err().unwrap();
    assert_eq!(kind(&error), ErrorKind::Request(problem));
    assert!(mock.log().is_empty());
    assert_eq!(mock.connections_accepted(), 0);
    let failed = Why::Failed(Some(ErrorKind::Request(problem)));
    assert_eq!(stack.ends().settled().await.observed(), [failed]);
}

#[tokio::test]
async fn a_body_that_leaves_the_model_open() {
    for api in APIS {
        for (body, problem) in [
            ("", RequestProblem::NotAnObject),
            ("hello", RequestProblem::NotAnObject),
            ("[{\"model\":\"m\"}]", RequestProblem::NotAnObject),
            ("{\"messages\":[]}", RequestProblem::NoModel),
            (
                "{\"messages\":[{\"model\":\"m\"}]}",
                RequestProblem::NoModel,
            ),
            (
                "{\"model\":\"m\",\"model\":\"n\"}",
                RequestProblem::SecondModel,
            ),
            (
                "{\"model\":\"m\",\"mod\\u0065l\":\"n\"}",
                RequestProblem::SecondModel,
            ),
            ("{\"model\":7}", RequestProblem::ModelNotAString),
            ("{\"model\":\"m\",\"messages\":[", RequestProblem::Malformed),
        ] {
            // Whether the first target or a later one needs to know.
            let first = Targets::new("m").then("n");
            refused(api, first, body, problem).await;
            let later = Targets::new(Target::named("as it is")).then("n");
            refused(api, later, body, problem).await;
        }
    }
}

#[tokio::test]
async fn where_no_target_needs_to_know_the_upstream_judges() {
    let mock = Mock::start().await.unwrap();
    let stack = Setup::new(Targets::new(Target::named("as it is"))).http1();
    let call = stack.call(Api::OpenAi.with(&mock.url(), "{\"messages\":[]}"));
    let answer = read(within(call).await.unwrap()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(mock.log()[0].body, "{\"messages\":[]}");
}

// --- Over the replay limit ---

const LIMIT: usize = 1024;

fn long() -> String {
    let document = document("m", false);
    let long = format!("\"{}\"", "a".repeat(64 * LIMIT));
    document.replacen("\"Hello\"", &long, 1)
}

/// In memory, of a length that is known, and of one that is not.
fn long_bodies() -> [Body; 3] {
    let sized = Full::new(Bytes::from(long()));
    let unsized_frames = long()
        .into_bytes()
        .chunks(LIMIT / 2)
        .map(Bytes::copy_from_slice)
        .collect::<Vec<_>>();
    [
        Body::from(long()),
        Body::wrap(sized),
        Body::wrap(Frames(unsized_frames.into_iter()).boxed()),
    ]
}

#[tokio::test]
async fn a_long_body_that_needs_a_rewrite() {
    for body in long_bodies() {
        let targets = Targets::new("m").then("n").replay_limit(LIMIT);
        refused(Api::OpenAi, targets, body, RequestProblem::TooLarge).await;
    }
}

#[tokio::test]
async fn a_long_body_that_needs_none_streams_through() {
    for (body, status) in long_bodies()
        .into_iter()
        .chain(long_bodies())
        .zip([200, 200, 200, 503, 503, 503])
    {
        let mock = Mock::start().await.unwrap();
        mock.script("m", Reply::status(status));
        let targets = Targets::new(Target::named("as it is")).then("n");
        let stack = Setup::new(targets.replay_limit(LIMIT)).http1();
        let call = stack.call(Api::OpenAi.with(&mock.url(), body));
        let answer = read(within(call).await.unwrap()).await;
        assert_eq!(answer.status, status);
        assert!(answer.error.is_none());
        let log = mock.log();
        assert_eq!(log.len(), 1);
        assert!(log[0].body == long());
        if status == 503 {
            let stop = Next::Stop(Reason::NotReplayable);
            assert_eq!(answer.attempts()[0].next, Some(stop));
            assert_eq!(answer.trail.passed_over()[0].reason, Reason::NotReplayable);
        }
    }
}

/// Frames without an announced length.
struct Frames(std::vec::IntoIter<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.next().map(|data| Ok(http_body::Frame::data(data))))
    }
}

#[tokio::test]
async fn a_body_that_fails_while_it_is_read() {
    let broken: BoxBody<Bytes, std::io::Error> =
        http_body_util::StreamBody::new(futures_util::stream::iter([
            Ok(http_body::Frame::data(Bytes::from("{\"model\":"))),
            Err(std::io::Error::other("the caller's own")),
        ]))
        .boxed();
    let body = Body::wrap(broken);
    refused(
        Api::OpenAi,
        Targets::new("m"),
        body,
        RequestProblem::Unreadable,
    )
    .await;
}

// --- At build ---

#[test]
fn a_target_with_an_impossible_uri() {
    let target = || Target::model("m");
    for target in [
        target().origin("not a uri"),
        target().origin("api.example.com"),
        target().origin("ftp://api.example.com"),
        target().origin("https://user:password@api.example.com"),
        target().origin("https://api.example.com/v1"),
        target().origin("https://api.example.com?key=1"),
        target().origin("https://"),
        target().path("v1/chat/completions"),
        target().path("/v1?x=1"),
        target().path("/v 1"),
        target().query("a b"),
    ] {
        let built = FallbackLayer::new(Targets::new(target.clone()));
        assert!(matches!(built, Err(BuildError::Uri { .. })), "{target:?}");
    }
}

#[test]
fn targets_that_contradict_each_other() {
    let built = FallbackLayer::new(Targets::new("m").then("m"));
    assert!(matches!(built, Err(BuildError::DuplicateTarget { .. })));
    let openai = Target::model("a").dialect(backstay::dialect::OpenAiChat);
    let anthropic = Target::model("b").dialect(backstay::dialect::AnthropicMessages);
    let built = FallbackLayer::new(Targets::new(openai).then(anthropic));
    assert!(matches!(built, Err(BuildError::Dialects { .. })));
    let built = FallbackLayer::new(Targets::plain(Target::model("m")));
    assert!(matches!(built, Err(BuildError::ModelNotCarried { .. })));
    let built = FallbackLayer::new(Targets::new(Target::model("m").bearer("a\nb")));
    assert!(matches!(built, Err(BuildError::Header { .. })));
}

#[test]
fn a_duration_of_zero() {
    let zero = Duration::ZERO;
    let is_zero = |error| matches!(error, BuildError::ZeroDuration { .. });
    assert!(is_zero(DeadlineLayer::new(zero).unwrap_err()));
    assert!(is_zero(CancelLayer::new().hook_timeout(zero).unwrap_err()));
    let clocks = Timeouts::new;
    for zeroed in [
        clocks().connect(zero),
        clocks().headers(zero),
        clocks().first_token(zero),
        clocks().idle(zero),
        clocks().liveness(zero),
        clocks().attempt(zero),
        clocks().for_unary(|unary| unary.headers(zero)),
    ] {
        assert!(is_zero(TimeoutsLayer::new(zeroed).unwrap_err()));
        let of_target = Targets::new(Target::model("m").timeouts(zeroed));
        assert!(is_zero(FallbackLayer::new(of_target).unwrap_err()));
    }
    for targets in [
        Targets::new("m").max_wait(zero),
        Targets::new("m").hold_time(zero),
        Targets::new("m").backoff(Backoff::new(zero, MS)),
    ] {
        assert!(is_zero(FallbackLayer::new(targets).unwrap_err()));
    }
}

#[tokio::test]
async fn a_clock_of_zero_in_a_requests_extensions() {
    let mock = Mock::start().await.unwrap();
    let stack = Setup::new(Targets::new("m").then("n")).http1();
    let mut request = Api::OpenAi.stream(&mock.url(), "m");
    let zeroed = Timeouts::new().idle(Duration::ZERO);
    request.extensions_mut().insert(zeroed);
    let error = within(stack.call(request)).await.err().unwrap();
    let problem = ErrorKind::Request(RequestProblem::ZeroDuration);
    assert_eq!(kind(&error), problem);
    assert!(mock.log().is_empty());
}
