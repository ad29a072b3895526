//! After its end marker a stream is over, even if the socket stays open.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{Timeouts, cancel::Why, fallback::Targets, trail::Outcome};
use backstay_mock::{Logged, Mock, Reply};
use backstay_tests::{
    MS, PROMPTLY,
    answer::read,
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1, http2},
    within,
};
use tokio::time::Instant;

/// Gemini's events have no end marker: more may follow the one that says why it ended.
fn has_end_marker(spoken: &Spoken) -> bool {
    let path = spoken.request("http://127.0.0.1", "m").uri().to_string();
    !path.contains("alt=sse")
}

#[tokio::test]
async fn a_stream_with_an_end_marker_ends_at_once() {
    let client = http1();
    for spoken in SPOKEN.into_iter().filter(has_end_marker) {
        let mock = Mock::start().await.unwrap();
        mock.script_default(Reply::text("Hello there").hold_open_after_end());
        let stack = Setup::new(Targets::new(spoken.target("first"))).over(client.clone());
        let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
        let reading = tokio::time::timeout(PROMPTLY, read(response.unwrap())).await;
        assert!(reading.is_ok(), "{spoken:?}");
        let answer = reading.unwrap();
        assert!(answer.error.is_none(), "{spoken:?}");
        assert_eq!(answer.attempts()[0].outcome, Outcome::Complete);
        assert_eq!(stack.ends().settled().await.observed(), [Why::Complete]);
        // Nobody waits at the other end of the open socket.
        let closed = |log: &[Logged]| log[0].peer_closed_at.is_some();
        assert!(mock.wait_until(closed, PROMPTLY).await, "{spoken:?}");
    }
}

#[tokio::test]
async fn a_stream_without_one_ends_after_a_silence() {
    let spoken = SPOKEN.into_iter().find(|spoken| !has_end_marker(spoken));
    let spoken = spoken.unwrap();
    let mock = Mock::start().await.unwrap();
    mock.script_default(Reply::text("Hello there").hold_open_after_end());
    let clocks = Timeouts::new().idle(300 * MS);
    let stack = Setup::new(Targets::new(spoken.target("first"))).timeouts(clocks);
    let stack = stack.http1();
    let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
    let began = Instant::now();
    let answer = within(read(response.unwrap())).await;
    assert!(Instant::now() - began >= 200 * MS, "more may have followed");
    assert!(answer.error.is_none());
    assert!(answer.contains("there"));
    assert!(answer.attempts()[0].usage.is_some());
    assert_eq!(answer.attempts()[0].outcome, Outcome::Complete);
    assert_eq!(stack.ends().settled().await.observed(), [Why::Complete]);
}

#[tokio::test]
async fn a_responses_stream_ends_with_response_completed() {
    let responses = Spoken::of("openai-responses");
    for client in [http1(), http2()] {
        let mock = Mock::start().await.unwrap();
        mock.script_default(Reply::text("Hello there").hold_open_after_end());
        let stack = Setup::new(Targets::new(responses.target("first"))).over(client);
        let response = within(stack.call(responses.request(&mock.url(), "first"))).await;
        let reading = tokio::time::timeout(PROMPTLY, read(response.unwrap()));
        let answer = reading.await.unwrap();
        assert!(answer.error.is_none());
        let text = std::str::from_utf8(&answer.body).unwrap();
        let last = text.rfind("event: ").unwrap();
        assert!(text[last..].starts_with("event: response.completed\n"));
        assert!(text.ends_with("\n\n"));
        let usage = answer.attempts()[0].usage.unwrap();
        assert!(usage.output.is_some());
        assert_eq!(stack.ends().settled().await.observed(), [Why::Complete]);
    }
}
