//! A call is over at its deadline, on real sockets and by a real clock, whatever it is doing.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Body, Deadline, ErrorKind, Phase,
    cancel::Why,
    fallback::{Target, Targets},
    trail::{Next, Outcome, Reason},
};
use backstay_client::Client;
use backstay_mock::{Logged, Mock, Reply};
use backstay_tests::{
    HANGS, MS,
    answer::{Answer, find, kind, read},
    ask::{APIS, Api},
    stack::{AMPLE, Setup, Stack, http1, http2},
    within,
};
use std::time::Duration;
use tokio::time::Instant;

const BUDGET: Duration = Duration::from_millis(500);
/// A timer is never early; how late it is depends on what else the machine does.
const LATE: Duration = Duration::from_millis(1500);

fn assert_on_time(started: Instant) {
    let elapsed = Instant::now().saturating_duration_since(started);
    assert!((BUDGET..BUDGET + LATE).contains(&elapsed), "{elapsed:?}");
}

async fn mock(reply: Reply) -> Mock {
    let mock = Mock::start().await.unwrap();
    mock.script("first", reply);
    mock
}

fn stack(client: Client<Body>) -> Stack<Client<Body>> {
    let targets = Targets::new(Target::model("first").retries(0)).then("second");
    Setup::new(targets).budget(BUDGET).over(client)
}

/// The upstream saw the caller go, the hook was told why, and nothing else was tried.
async fn assert_over(mock: &Mock, stack: &Stack<Client<Body>>, phase: Phase) {
    let closed = |log: &[Logged]| log[0].peer_closed_at.is_some();
    assert!(mock.wait_until(closed, HANGS).await);
    assert_eq!((mock.log().len(), mock.attempts("second")), (1, 0));
    let hooked = stack.ends().settled().await.hooked();
    assert_eq!(hooked.len(), 1);
    assert_eq!((hooked[0].why, hooked[0].phase), (Why::Deadline, phase));
    assert_eq!(hooked[0].trail.attempts()[0].outcome, Outcome::Deadline);
}

#[tokio::test]
async fn a_stalled_stream() {
    for api in APIS {
        for client in [http1(), http2()] {
            let mock = mock(Reply::text("first words").stall_after_tokens(1)).await;
            let stack = stack(client);
            let started = Instant::now();
            let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
            let answer = read(response.unwrap()).await;
            assert_on_time(started);
            assert!(answer.contains("first"));
            assert_eq!(answer.kind(), Some(ErrorKind::Deadline));
            let error = answer.error.unwrap();
            let limit = find(&error).limit().unwrap();
            assert!((BUDGET..BUDGET + 100 * MS).contains(&limit), "{limit:?}");
            assert_over(&mock, &stack, Phase::Body).await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_never_ends() {
    let tokens = (0..2000).map(|_| "on ");
    let endless = Reply::tokens(tokens).delay_between_tokens(5 * MS);
    let mock = mock(endless).await;
    let stack = stack(http1());
    let started = Instant::now();
    let call = stack.call(Api::OpenAi.stream(&mock.url(), "first"));
    let answer: Answer = read(within(call).await.unwrap()).await;
    assert_on_time(started);
    assert_eq!(answer.kind(), Some(ErrorKind::Deadline));
    assert!(mock.log()[0].tokens_sent > 1);
    assert_over(&mock, &stack, Phase::Body).await;
}

#[tokio::test]
async fn a_head_or_a_first_token_that_does_not_come() {
    for (reply, phase) in [
        (Reply::never_answer(), Phase::Headers),
        (Reply::ok().stall_after_tokens(0), Phase::FirstToken),
    ] {
        let mock = mock(reply).await;
        let stack = stack(http1());
        let started = Instant::now();
        let call = stack.call(Api::OpenAi.stream(&mock.url(), "first"));
        let error = within(call).await.err().unwrap();
        assert_on_time(started);
        assert_eq!(kind(&error), ErrorKind::Deadline);
        let passed = find(&error).trail().unwrap().passed_over();
        assert_eq!(
            (&*passed[0].target, passed[0].reason),
            ("second", Reason::Deadline)
        );
        assert_over(&mock, &stack, phase).await;
    }
}

#[tokio::test]
async fn the_callers_own_deadline_counts_if_it_is_earlier() {
    let mock = mock(Reply::never_answer()).await;
    let targets = Targets::new(Target::model("first").retries(0)).then("second");
    let stack = Setup::new(targets).budget(AMPLE).http1();
    let started = Instant::now();
    let mut request = Api::OpenAi.stream(&mock.url(), "first");
    request.extensions_mut().insert(Deadline::after(BUDGET));
    let error = within(stack.call(request)).await.err().unwrap();
    assert_on_time(started);
    assert_eq!(kind(&error), ErrorKind::Deadline);
    assert_over(&mock, &stack, Phase::Headers).await;

    let around = Deadline::after(BUDGET);
    let started = Instant::now();
    let call = stack.call(Api::OpenAi.stream(&mock.url(), "first"));
    let error = within(around.scope(call)).await.err().unwrap();
    assert_on_time(started);
    assert_eq!(kind(&error), ErrorKind::Deadline);
}

#[tokio::test]
async fn no_wait_outlasts_it() {
    let refusing = Reply::status(503).header("retry-after-ms", "350");
    let mock = mock(refusing).await;
    let targets = Targets::new("first").retries(9);
    let stack = Setup::new(targets).budget(BUDGET).http1();
    let started = Instant::now();
    let call = stack.call(Api::OpenAi.stream(&mock.url(), "first"));
    let answer = read(within(call).await.unwrap()).await;
    let elapsed = Instant::now().saturating_duration_since(started);
    assert_eq!(
        (answer.status.as_u16(), answer.error.is_none()),
        (503, true)
    );
    let attempts = answer.attempts();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[1].next, Some(Next::Stop(Reason::WaitDoesNotFit)));
    assert!(elapsed < BUDGET, "{elapsed:?}");
}
