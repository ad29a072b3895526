//! Before commit a failure is seen by nobody; after it nothing is sent again, and the body says what
//! happened.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    BoxError, ErrorKind, Timeouts,
    cancel::Why,
    dialect::FailureClass,
    fallback::{Backoff, Commit, Target, Targets},
    timeout::Clock,
    trail::{Attempt, Next, Note, Outcome},
};
use backstay_mock::{Mock, Reply, Script};
use backstay_tests::{
    MS, PROMPTLY,
    answer::{Answer, attempts, find, read, read_until},
    ask::{APIS, Api},
    stack::{Setup, http1, http2},
    within,
};
use http_body_util::BodyExt;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(200);

/// Nothing of the first answer may be in what the caller sees.
fn first() -> Reply {
    Reply::tokens(["first", "first"])
}

fn targets() -> Targets {
    Targets::new(Target::model("first").retries(0)).then("second")
}

async fn mock(reply: Reply) -> Mock {
    let mock = Mock::start().await.unwrap();
    mock.script("first", reply);
    mock.script("second", Reply::tokens(["sec", "ond"]));
    mock
}

fn overloaded(api: Api) -> &'static str {
    match api {
        Api::OpenAi => "server_is_overloaded",
        Api::Anthropic => "overloaded_error",
    }
}

/// The second target's whole answer, and nothing else.
fn assert_fell_over(api: Api, answer: &Answer, outcome: Outcome) {
    assert!(answer.error.is_none(), "{:?}", answer.error);
    assert_eq!(answer.status, 200);
    assert!(answer.contains("ond") && !answer.contains("first"));
    let text = std::str::from_utf8(&answer.body).unwrap();
    let heads = match api {
        Api::OpenAi => text.matches("\"role\":\"assistant\"").count(),
        Api::Anthropic => text.matches("event: message_start").count(),
    };
    assert_eq!(heads, 1);
    assert!(text.ends_with(api.end_marker()));
    let attempts = answer.attempts();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].outcome, outcome);
    assert!(attempts[0].committed.is_none());
    assert!(matches!(attempts[0].next, Some(Next::Skip(_))));
    assert_eq!(attempts[1].outcome, Outcome::Complete);
}

// --- Before content ---

async fn falls_over_unseen(api: Api, reply: Reply, timeouts: Timeouts, outcome: Outcome) {
    for client in [http1(), http2()] {
        let mock = mock(reply.clone()).await;
        let stack = Setup::new(targets()).timeouts(timeouts).over(client);
        let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert_fell_over(api, &answer, outcome);
        assert_eq!(stack.ends().settled().await.observed(), [Why::Complete]);
    }
}

#[tokio::test]
async fn an_in_band_error_before_content() {
    for api in APIS {
        let reply = first().error_in_band(0, overloaded(api));
        falls_over_unseen(api, reply, Timeouts::new(), Outcome::InBand).await;
    }
}

#[tokio::test]
async fn an_empty_stream() {
    for api in APIS {
        falls_over_unseen(api, first().empty_stream(), Timeouts::new(), Outcome::Empty).await;
    }
}

#[tokio::test]
async fn pings_and_then_the_end() {
    for api in APIS {
        let reply = Reply::tokens([""; 0]).pings(3, MS).no_end_marker();
        falls_over_unseen(api, reply, Timeouts::new(), Outcome::Empty).await;
    }
}

#[tokio::test]
async fn a_reset_before_content() {
    for api in APIS {
        for reply in [
            first().reset_before_headers(),
            first().reset_after_tokens(0),
            first().cut_after_tokens(0),
        ] {
            falls_over_unseen(api, reply, Timeouts::new(), Outcome::Transport).await;
        }
    }
}

#[tokio::test]
async fn a_first_token_that_does_not_come() {
    for api in APIS {
        let clocks = Timeouts::new().first_token(SHORT);
        let outcome = Outcome::Timeout(Clock::FirstToken);
        // Signs of life stop no first_token clock.
        let alive = first().pings(50, 20 * MS).stall_after_tokens(0);
        let commented = first().comments(50, 20 * MS).stall_after_tokens(0);
        for reply in [
            Reply::never_answer(),
            first().stall_after_tokens(0),
            alive,
            commented,
        ] {
            falls_over_unseen(api, reply, clocks, outcome).await;
        }
    }
}

#[tokio::test]
async fn reasoning_is_content() {
    for api in APIS {
        let reply = first().reasoning(["hm"]).stall_after_tokens(1);
        let mock = mock(reply).await;
        let stack = Setup::new(targets()).http1();
        let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
        let mut body = response.unwrap().into_body();
        read_until(&mut body, "hm").await;
        assert_eq!(mock.log().len(), 1);
    }
}

// --- After content ---

/// What the caller has after a failure that came too late to be hidden.
async fn told(api: Api, reply: Reply, timeouts: Timeouts) -> (BoxError, Vec<Attempt>) {
    let mock = mock(reply).await;
    let stack = Setup::new(targets()).timeouts(timeouts).http1();
    let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
    let answer = read(response.unwrap()).await;
    assert!(answer.contains("first"));
    assert_eq!((mock.attempts("first"), mock.attempts("second")), (1, 0));
    let error = answer.error.unwrap();
    let attempts = attempts(&error);
    assert_eq!(attempts.len(), 1);
    assert!(attempts[0].committed.is_some());
    assert_eq!(find(&error).target(), Some("first"));

    let ends = stack.ends().settled().await;
    assert_eq!(ends.hooked().len(), 1);
    assert_eq!(ends.observed(), [Why::Failed(Some(find(&error).kind()))]);
    (error, attempts)
}

#[tokio::test]
async fn a_cut_after_content_is_a_typed_error() {
    for api in APIS {
        for reply in [first().cut_after_tokens(1), first().reset_after_tokens(1)] {
            let (error, attempts) = told(api, reply, Timeouts::new()).await;
            assert_eq!(find(&error).kind(), ErrorKind::Transport);
            assert!(std::error::Error::source(find(&error)).is_some());
            assert_eq!(attempts[0].outcome, Outcome::Transport);
        }
    }
}

#[tokio::test]
async fn an_end_without_evidence_is_a_typed_error() {
    for api in APIS {
        let (error, attempts) = told(api, first().no_end_marker(), Timeouts::new()).await;
        assert_eq!(find(&error).kind(), ErrorKind::Truncated);
        assert_eq!(attempts[0].outcome, Outcome::Truncated);
    }
}

#[tokio::test]
async fn an_in_band_error_after_content_is_a_typed_error() {
    for api in APIS {
        let code = overloaded(api);
        let (error, attempts) = told(api, first().error_in_band(1, code), Timeouts::new()).await;
        let kind = ErrorKind::InBand(FailureClass::Overloaded);
        assert_eq!(find(&error).kind(), kind);
        assert_eq!(attempts[0].outcome, Outcome::InBand);
        assert_eq!(attempts[0].code.as_deref(), Some(code));
    }
}

#[tokio::test]
async fn a_stall_after_content_is_a_typed_error() {
    for api in APIS {
        let stalled = first().stall_after_tokens(1);
        let clocks = Timeouts::new().idle(SHORT);
        let (error, _) = told(api, stalled, clocks).await;
        assert_eq!(find(&error).kind(), ErrorKind::Timeout(Clock::Idle));
        assert!(find(&error).is_timeout());
    }
}

// --- The commit point can be chosen ---

#[tokio::test]
async fn held_to_the_end_a_cut_and_a_stall_fall_over_too() {
    for api in APIS {
        let clocks = Timeouts::new().idle(SHORT);
        for (reply, outcome) in [
            (first().cut_after_tokens(1), Outcome::Transport),
            (first().stall_after_tokens(1), Outcome::Timeout(Clock::Idle)),
            (first().no_end_marker(), Outcome::Truncated),
            (first().error_in_band(1, overloaded(api)), Outcome::InBand),
        ] {
            let mock = mock(reply).await;
            let targets = targets().commit(Commit::End);
            let stack = Setup::new(targets).timeouts(clocks).http1();
            let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
            assert_fell_over(api, &read(response.unwrap()).await, outcome);
        }
    }
}

#[tokio::test]
async fn a_target_and_a_request_can_choose_it() {
    let api = Api::OpenAi;
    let mock = mock(first().cut_after_tokens(1)).await;
    let of_target = Targets::new(Target::model("first").retries(0).commit(Commit::End));
    let stack = Setup::new(of_target.then("second").commit(Commit::Head)).http1();
    let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
    assert_fell_over(api, &read(response.unwrap()).await, Outcome::Transport);

    let stack = Setup::new(targets().commit(Commit::Head)).http1();
    let mut request = api.stream(&mock.url(), "first");
    request.extensions_mut().insert(Commit::End);
    let response = within(stack.call(request)).await;
    assert_fell_over(api, &read(response.unwrap()).await, Outcome::Transport);
}

#[tokio::test]
async fn at_the_head_an_answer_passes_at_once() {
    for api in APIS {
        let mock = mock(first().stall_after_tokens(0)).await;
        let stack = Setup::new(targets().commit(Commit::Head)).http1();
        let call = stack.call(api.stream(&mock.url(), "first"));
        let response = tokio::time::timeout(PROMPTLY, call).await.unwrap();
        let mut body = response.unwrap().into_body();
        // The frames before the first token come through as well.
        assert!(within(body.frame()).await.unwrap().is_ok());
        assert_eq!(mock.log()[0].tokens_sent, 0);
        drop(body);
        assert_eq!(stack.ends().settled().await.observed(), [Why::Dropped]);
    }
}

#[tokio::test]
async fn a_bound_of_the_hold_commits() {
    let mock = mock(first().pings(8, MS).stall_after_tokens(0)).await;
    let stack = Setup::new(targets().hold_frames(4)).http1();
    let call = stack.call(Api::OpenAi.stream(&mock.url(), "first"));
    let response = within(call).await.unwrap();
    let trail = response.extensions().get::<backstay::Trail>().unwrap();
    assert_eq!(trail.attempts()[0].notes, [Note::HoldBound]);
}

// --- Documents ---

fn retried() -> Targets {
    let soon = Backoff::new(MS, MS);
    Targets::new(Target::model("first").retries(1)).backoff(soon)
}

#[tokio::test]
async fn a_truncated_document_is_sent_again() {
    for api in APIS {
        for (bad, outcome) in [
            (first().truncate_body_to(30), Outcome::Transport),
            (
                first().truncate_body_close_delimited(30),
                Outcome::Truncated,
            ),
            (first().empty_stream(), Outcome::Empty),
        ] {
            let mock = Mock::start().await.unwrap();
            let script = Script::new().attempt(bad).then(Reply::text("second"));
            mock.script("first", script);
            let stack = Setup::new(retried()).http1();
            let response = within(stack.call(api.unary(&mock.url(), "first"))).await;
            let answer = read(response.unwrap()).await;
            assert!(answer.error.is_none());
            assert!(answer.contains("second") && answer.body.ends_with(b"}"));
            assert_eq!(answer.content_length(), Some(answer.body.len()));
            let attempts = answer.attempts();
            assert_eq!(attempts.len(), 2);
            assert_eq!(attempts[0].outcome, outcome);
            assert_eq!(attempts[0].next, Some(Next::Retry));
        }
    }
}

#[tokio::test]
async fn a_truncated_document_is_never_passed_on_as_success() {
    for api in APIS {
        for bad in [
            first().truncate_body_to(30),
            first().truncate_body_close_delimited(30),
        ] {
            // With a second chance, and without one.
            for targets in [retried(), Targets::new(Target::model("first").retries(0))] {
                let mock = mock(bad.clone()).await;
                let stack = Setup::new(targets).http1();
                let error = match within(stack.call(api.unary(&mock.url(), "first"))).await {
                    Ok(response) => read(response).await.error.unwrap(),
                    Err(error) => error,
                };
                let kind = find(&error).kind();
                assert!(matches!(kind, ErrorKind::Truncated | ErrorKind::Transport));
                let ends = stack.ends().settled().await;
                assert_eq!(ends.observed(), [Why::Failed(Some(kind))]);
            }
        }
    }
}

#[tokio::test]
async fn a_document_with_an_error_in_a_200_falls_over() {
    for api in APIS {
        let mock = mock(first().error_in_band(0, overloaded(api))).await;
        let stack = Setup::new(targets()).http1();
        let response = within(stack.call(api.unary(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert!(answer.contains("second"));
        let attempts = answer.attempts();
        assert_eq!(attempts[0].outcome, Outcome::InBand);
        assert_eq!(attempts[0].class, Some(FailureClass::Overloaded));
        assert_eq!(mock.log().len(), 2);
    }
}
