//! An answer is over at its end marker: whoever leaves then cancels nothing, and the connection lives on.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{cancel::Why, fallback::Targets, trail::Outcome};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    HANGS, MS, PROMPTLY,
    answer::{read, read_until},
    ask::{APIS, Api},
    holds,
    stack::{Setup, http1, http2},
    wire::{CHUNKED_EVENTS, LAST_CHUNK, Said, Wire, chunk},
    within,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TOKEN: &str =
    "data: {\"id\":\"c-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const FINISH: &str = "data: {\"id\":\"c-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const MARKER: &str = "data: [DONE]\n\n";

/// Longer than what is read on after the marker.
const AFTER: Duration = Duration::from_millis(200);

/// On a busy machine one moment may be missed, but not one in each round.
const ROUNDS: usize = 4;

fn open() -> Vec<u8> {
    [CHUNKED_EVENTS, &chunk(TOKEN), &chunk(FINISH)].concat()
}

/// An SDK drops the body as soon as it has read the marker.
async fn leaves_at_the_marker(server: Vec<Said>) {
    let mut reused = false;
    for _ in 0..ROUNDS {
        let wire = Wire::start(server.clone()).await;
        let stack = Setup::new(Targets::new("m").then("n")).http1();
        let response = within(stack.call(Api::OpenAi.stream(&wire.url(), "m"))).await;
        let mut body = response.unwrap().into_body();
        read_until(&mut body, MARKER).await;
        drop(body);
        sleep(AFTER).await;
        let ends = stack.ends().settled().await;
        assert!(ends.hooked().is_empty());
        assert_eq!(ends.observed(), [Why::Complete]);

        let next = within(stack.call(Api::OpenAi.stream(&wire.url(), "m"))).await;
        let next = read(next.unwrap()).await;
        assert!(next.error.is_none());
        assert_eq!(next.attempts()[0].outcome, Outcome::Complete);
        assert_eq!(wire.requests().len(), 2);
        reused |= wire.connections() == 1;
        if reused {
            break;
        }
    }
    assert!(reused);
}

#[tokio::test]
async fn all_in_one_write() {
    let all = [open(), chunk(MARKER), LAST_CHUNK.to_vec()].concat();
    leaves_at_the_marker(vec![(Duration::ZERO, all)]).await;
}

#[tokio::test]
async fn the_end_in_the_same_write_as_the_marker() {
    let end = [chunk(MARKER), LAST_CHUNK.to_vec()].concat();
    leaves_at_the_marker(vec![(Duration::ZERO, open()), (10 * MS, end)]).await;
}

#[tokio::test]
async fn the_end_a_moment_after_the_marker() {
    for moment in [1, 10, 20] {
        let to_marker = [open(), chunk(MARKER)].concat();
        let end = (moment * MS, LAST_CHUNK.to_vec());
        leaves_at_the_marker(vec![(Duration::ZERO, to_marker), end]).await;
    }
}

#[tokio::test]
async fn a_comment_between_the_marker_and_the_end() {
    leaves_at_the_marker(vec![
        (Duration::ZERO, [open(), chunk(MARKER)].concat()),
        (5 * MS, chunk(": so long\n\n")),
        (5 * MS, LAST_CHUNK.to_vec()),
    ])
    .await;
}

#[tokio::test]
async fn a_marker_in_two_pieces() {
    let (first, second) = MARKER.split_at(9);
    leaves_at_the_marker(vec![
        (Duration::ZERO, [open(), chunk(first)].concat()),
        (5 * MS, chunk(second)),
        (5 * MS, LAST_CHUNK.to_vec()),
    ])
    .await;
}

#[tokio::test]
async fn a_length_instead_of_chunks() {
    let body = [TOKEN, FINISH, MARKER].concat();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    leaves_at_the_marker(vec![(Duration::ZERO, (head + &body).into_bytes())]).await;
}

#[tokio::test]
async fn in_both_dialects() {
    for api in APIS {
        let mock = Mock::start().await.unwrap();
        let stack = Setup::new(Targets::new("m").then("n")).http1();
        let response = within(stack.call(api.stream(&mock.url(), "m"))).await;
        let mut body = response.unwrap().into_body();
        read_until(&mut body, api.end_marker()).await;
        drop(body);
        sleep(AFTER).await;
        let ends = stack.ends().settled().await;
        assert!(ends.hooked().is_empty());
        assert_eq!(ends.observed(), [Why::Complete]);
        let next = within(stack.call(api.stream(&mock.url(), "m"))).await;
        assert!(read(next.unwrap()).await.error.is_none());
        assert_eq!(mock.connections_accepted(), 1);
    }
}

#[tokio::test]
async fn a_body_ends_by_itself_although_the_socket_stays_open() {
    for api in APIS {
        for client in [http1(), http2()] {
            let mock = Mock::start().await.unwrap();
            mock.script("m", Reply::text("Here").hold_open_after_end());
            let stack = Setup::new(Targets::new("m").then("n")).over(client);
            let response = within(stack.call(api.stream(&mock.url(), "m"))).await;
            let mut body = response.unwrap().into_body();
            read_until(&mut body, api.end_marker()).await;
            let marked = Instant::now();
            let rest = within(http_body_util::BodyExt::frame(&mut body)).await;
            assert!(rest.is_none());
            assert!(Instant::now().saturating_duration_since(marked) < PROMPTLY);
            let ends = stack.ends().settled().await;
            assert_eq!(
                (ends.observed(), ends.hooked().len()),
                (vec![Why::Complete], 0)
            );
            // What the upstream holds open is given up.
            assert!(holds(HANGS, || mock.in_flight() == 0).await);
        }
    }
}

#[tokio::test]
async fn a_connection_that_stays_open_after_the_marker_is_given_up() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::text("Here").hold_open_after_end());
    let stack = Setup::new(Targets::new("m").then("n")).http1();
    let response = within(stack.call(Api::OpenAi.stream(&mock.url(), "m"))).await;
    let mut body = response.unwrap().into_body();
    read_until(&mut body, MARKER).await;
    drop(body);
    assert!(holds(PROMPTLY, || mock.connections_open() == 0).await);
    assert!(stack.ends().settled().await.hooked().is_empty());
}
