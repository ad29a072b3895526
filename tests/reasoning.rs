//! Reasoning is progress: however long it takes, `idle` does not run out. `first_content` does, where it is set.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Body, ErrorKind, Timeouts,
    fallback::{Commit, Targets},
    timeout::Clock,
    trail::Outcome,
};
use backstay_client::Client;
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    MS,
    answer::{Answer, read},
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};
use futures_util::future::join_all;
use std::time::Duration;

/// Of either clock: far longer than a word of reasoning takes, and far shorter than all of it.
const LIMIT: Duration = Duration::from_secs(1);

/// Between words.
const PACE: Duration = Duration::from_millis(50);

/// So many words take three times the limit.
const WORDS: usize = 60;

fn reasons() -> Reply {
    Reply::tokens(["said"]).long_reasoning(WORDS, PACE)
}

async fn asked(
    client: Client<Body>,
    spoken: Spoken,
    reply: Reply,
    clocks: Timeouts,
    commit: Commit,
) -> Answer {
    let mock = Mock::start().await.unwrap();
    mock.script(spoken.model("first"), reply);
    mock.script(spoken.model("second"), Reply::tokens(["second"]));
    let targets = Targets::new(spoken.target("first").retries(0))
        .then(spoken.target("second"))
        .commit(commit);
    let stack = Setup::new(targets).timeouts(clocks).over(client);
    let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
    read(response.unwrap()).await
}

#[tokio::test]
async fn reasoning_for_long_does_not_trip_idle() {
    let clocks = Timeouts::new().idle(LIMIT);
    let client = http1();
    let all = SPOKEN.map(|spoken| {
        asked(
            client.clone(),
            spoken,
            reasons(),
            clocks,
            Commit::FirstContent,
        )
    });
    for (spoken, answer) in SPOKEN.iter().zip(join_all(all).await) {
        assert!(answer.error.is_none(), "{spoken:?} {:?}", answer.error);
        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 1, "{spoken:?}");
        assert_eq!(attempts[0].outcome, Outcome::Complete, "{spoken:?}");
        let took = attempts[0].ended.unwrap();
        assert!(took > 2 * LIMIT, "{spoken:?} {took:?}");
    }
}

#[tokio::test]
async fn pings_for_as_long_do() {
    let client = http1();
    let pings = Reply::tokens(["said", "said"]).pings_after_tokens(1, WORDS, PACE);
    let clocks = Timeouts::new().idle(LIMIT);
    let all = SPOKEN.map(|spoken| {
        asked(
            client.clone(),
            spoken,
            pings.clone(),
            clocks,
            Commit::FirstContent,
        )
    });
    for (spoken, answer) in SPOKEN.iter().zip(join_all(all).await) {
        let idle = ErrorKind::Timeout(Clock::Idle);
        assert_eq!(answer.kind(), Some(idle), "{spoken:?}");
    }
}

#[tokio::test]
async fn reasoning_for_long_trips_first_content_where_that_is_set() {
    let clocks = Timeouts::new()
        .idle(LIMIT)
        .for_streams(|clocks| clocks.first_content(LIMIT));
    let client = http1();
    let first_content = Clock::FirstContent;

    // Who is shown the reasoning learns of it.
    let all = SPOKEN.map(|spoken| {
        asked(
            client.clone(),
            spoken,
            reasons(),
            clocks,
            Commit::FirstContent,
        )
    });
    for (spoken, answer) in SPOKEN.iter().zip(join_all(all).await) {
        let expected = ErrorKind::Timeout(first_content);
        assert_eq!(answer.kind(), Some(expected), "{spoken:?}");
        assert!(!answer.contains("said"));
    }

    // Who is not gets the answer of another target.
    let all = SPOKEN.map(|spoken| {
        asked(
            client.clone(),
            spoken,
            reasons(),
            clocks,
            Commit::AfterReasoning,
        )
    });
    for (spoken, answer) in SPOKEN.iter().zip(join_all(all).await) {
        assert!(answer.error.is_none(), "{spoken:?} {:?}", answer.error);
        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 2, "{spoken:?}");
        let outcome = Outcome::Timeout(first_content);
        assert_eq!(attempts[0].outcome, outcome, "{spoken:?}");
        assert_eq!(attempts[1].outcome, Outcome::Complete, "{spoken:?}");
    }
}

#[tokio::test]
async fn content_within_its_time_does_not() {
    let clocks = Timeouts::new().for_streams(|clocks| clocks.first_content(10 * LIMIT));
    let brief = Reply::tokens(["said", "said"]).long_reasoning(5, 10 * MS);
    let anthropic = Spoken::of("anthropic");
    let answer = asked(http1(), anthropic, brief, clocks, Commit::AfterReasoning).await;
    assert!(answer.error.is_none() && answer.contains("said"));
    assert_eq!(answer.attempts().len(), 1);
}
