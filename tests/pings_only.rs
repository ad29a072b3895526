//! A stream of pings only is a first token that does not come.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{ErrorKind, Timeouts, fallback::Targets, timeout::Clock, trail::Outcome};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    MS, PROMPTLY,
    answer::{attempts, kind, read},
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};
use std::time::Duration;

/// Of the clock, far beyond the time between two pings.
const FIRST_TOKEN: Duration = Duration::from_millis(400);

/// Pings for as long as anybody waits for the test.
fn pings() -> Reply {
    Reply::tokens([""; 0]).pings(3_000, 10 * MS)
}

/// These pings are bytes: nothing but the clock of semantic events may run out.
fn clocks() -> Timeouts {
    Timeouts::new()
        .first_token(FIRST_TOKEN)
        .liveness(20 * FIRST_TOKEN)
}

async fn mock(spoken: &Spoken) -> Mock {
    let mock = Mock::start().await.unwrap();
    mock.script(spoken.model("first"), pings());
    mock.script(spoken.model("second"), Reply::text("Here"));
    mock
}

#[tokio::test]
async fn it_falls_over_when_first_token_runs_out() {
    let client = http1();
    for spoken in SPOKEN {
        let mock = mock(&spoken).await;
        let targets = Targets::new(spoken.target("first").retries(0)).then(spoken.target("second"));
        let stack = Setup::new(targets).timeouts(clocks()).over(client.clone());
        let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert!(answer.error.is_none(), "{spoken:?}");
        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 2, "{spoken:?}");
        let outcome = Outcome::Timeout(Clock::FirstToken);
        assert_eq!(attempts[0].outcome, outcome, "{spoken:?}");
        assert!(attempts[0].bytes > 0 && attempts[0].first_token.is_none());
        // The pings came to an end with their reader.
        let closed = |log: &[backstay_mock::Logged]| log[0].peer_closed_at.is_some();
        assert!(mock.wait_until(closed, PROMPTLY).await, "{spoken:?}");
    }
}

#[tokio::test]
async fn with_no_other_target_the_error_names_the_clock() {
    let spoken = Spoken::of("anthropic");
    let mock = mock(&spoken).await;
    let targets = Targets::new(spoken.target("first").retries(0));
    let stack = Setup::new(targets).timeouts(clocks()).http1();
    let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
    let error = match response {
        Ok(response) => read(response).await.error.unwrap(),
        Err(error) => error,
    };
    assert_eq!(kind(&error), ErrorKind::Timeout(Clock::FirstToken));
    let attempts = attempts(&error);
    assert_eq!(attempts.len(), 1);
    assert!(attempts[0].bytes > 0 && attempts[0].first_token.is_none());
}
