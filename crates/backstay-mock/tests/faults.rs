//! Every fault is on the wire what its name says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use std::io::Read;
use std::time::Duration;

use backstay_mock::{Ending, Mock, Reply, Script};
use client::{End, SILENCE, ask, chat, h2, h2_chat, read, request, send};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

async fn with(reply: Reply) -> Mock {
    let mock = Mock::start().await.unwrap();
    mock.script("m", reply);
    mock
}

fn abc() -> Reply {
    Reply::tokens(["a", "b", "c"])
}

async fn ended(mock: &Mock) -> Ending {
    let all_over = |log: &[backstay_mock::Logged]| log.iter().all(|entry| entry.ending.is_some());
    assert!(mock.wait_until(all_over, client::PROMPTLY).await);
    mock.log()[0].ending.unwrap()
}

#[tokio::test]
async fn a_plain_stream_ends_with_its_marker_and_the_last_chunk() {
    let mock = with(abc()).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!((answer.status(), &answer.end), (200, &End::Closed));
    assert_eq!(answer.tokens(), ["a", "b", "c"]);
    assert!(answer.is_done() && answer.is_terminated());
    let entry = &mock.log()[0];
    assert!(entry.finished && entry.peer_closed_at.is_none());
    assert_eq!(
        (entry.tokens_sent, entry.ending),
        (3, Some(Ending::Complete))
    );
    assert!(entry.first_token_at >= entry.headers_sent_at);
    assert_eq!(mock.in_flight(), 0);
}

#[tokio::test]
async fn a_status_has_headers_and_an_error_document() {
    let mock = with(
        Reply::status(429)
            .header("retry-after", "30")
            .code("insufficient_quota"),
    )
    .await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(
        (answer.status(), answer.header("retry-after")),
        (429, Some("30"))
    );
    assert_eq!(answer.json()["error"]["code"], "insufficient_quota");
}

#[tokio::test]
async fn a_body_replaces_the_mocks_own() {
    let html = Reply::status(502)
        .header("content-type", "text/html")
        .body("<html>");
    let mock = with(html).await;
    let answer = ask(&mock, &chat("m", false)).await;
    assert_eq!(
        (answer.header("content-type"), answer.raw.as_slice()),
        (Some("text/html"), &b"<html>"[..])
    );
}

#[tokio::test]
async fn a_cut_closes_without_the_last_chunk() {
    let mock = with(abc().cut_after_tokens(2)).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(answer.tokens(), ["a", "b"]);
    assert_eq!(answer.end, End::Closed);
    assert!(!answer.is_terminated());
    assert_eq!(ended(&mock).await, Ending::Cut);
    assert!(!mock.log()[0].finished);
}

#[tokio::test]
async fn a_stall_is_silent_and_open() {
    let mock = with(abc().stall_after_tokens(1)).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(
        (answer.tokens(), &answer.end),
        (vec!["a".to_owned()], &End::Open)
    );
    assert!(!mock.log()[0].finished);
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let mock = with(abc().reset_after_tokens(2)).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!((answer.tokens().len(), &answer.end), (2, &End::Reset));
    assert_eq!(ended(&mock).await, Ending::Reset);
}

#[tokio::test]
async fn a_reset_before_headers_leaves_not_a_byte() {
    let mock = with(abc().reset_before_headers()).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!((answer.head.as_str(), &answer.end), ("", &End::Reset));
    assert_eq!(ended(&mock).await, Ending::Reset);
    let open = |_: &[_]| mock.connections_open() == 0;
    assert!(mock.wait_until(open, client::PROMPTLY).await);
}

#[tokio::test]
async fn no_answer_is_no_byte_and_an_open_socket() {
    let mock = with(Reply::never_answer()).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!((answer.head.as_str(), &answer.end), ("", &End::Open));
}

#[tokio::test]
async fn an_empty_stream_is_a_clean_end_with_nothing_before_it() {
    let mock = with(abc().empty_stream()).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(
        (answer.status(), answer.body().len(), &answer.end),
        (200, 0, &End::Closed)
    );
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/event-stream")
    );
}

#[tokio::test]
async fn an_in_band_error_follows_its_tokens_and_no_marker_follows_it() {
    let mock = with(abc().error_in_band(1, "server_is_overloaded")).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(answer.tokens(), ["a"]);
    assert_eq!(
        answer.events().last().unwrap()["error"]["code"],
        "server_is_overloaded"
    );
    assert!(answer.is_terminated() && !answer.is_done());
    let unary = ask(&mock, &chat("m", false)).await;
    assert_eq!(
        (unary.status(), unary.json()["error"].is_object()),
        (200, true)
    );
}

#[tokio::test]
async fn without_end_marker_there_is_no_finish_reason_either() {
    let mock = with(abc().no_end_marker()).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert!(answer.is_terminated() && !answer.is_done());
    assert!(
        answer
            .events()
            .iter()
            .all(|event| event["choices"][0]["finish_reason"].is_null())
    );
}

#[tokio::test]
async fn hold_open_sends_all_and_does_not_end() {
    let mock = with(abc().hold_open_after_end()).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert!(answer.is_done() && !answer.is_terminated());
    assert_eq!(answer.end, End::Open);
    let entry = &mock.log()[0];
    assert!(entry.finished && entry.ending.is_none());
}

#[tokio::test]
async fn garbage_is_no_json() {
    let mock = with(abc().garbage()).await;
    let unary = ask(&mock, &chat("m", false)).await;
    assert_eq!(
        (unary.status(), unary.header("content-type")),
        (200, Some("application/json"))
    );
    assert!(serde_json::from_slice::<serde_json::Value>(&unary.body()).is_err());
    let stream = String::from_utf8(ask(&mock, &chat("m", true)).await.body()).unwrap();
    let data = stream.trim_end().strip_prefix("data: ").unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(data).is_err());
}

#[tokio::test]
async fn gzip_holds_the_plain_answer() {
    let mock = with(abc().gzip()).await;
    for stream in [false, true] {
        let answer = ask(&mock, &chat("m", stream)).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let mut plain = String::new();
        GzDecoder::new(answer.body().as_slice())
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(plain.ends_with("data: [DONE]\n\n"), stream);
        assert!(plain.contains(if stream { "chunk" } else { "\"abc\"" }));
    }
}

#[tokio::test]
async fn truncation_with_a_length_is_short_of_it() {
    let mock = with(abc().truncate_body_to(20)).await;
    let answer = ask(&mock, &chat("m", false)).await;
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert!(length > 20);
    assert_eq!((answer.raw.len(), answer.end), (20, End::Closed));
    assert_eq!(ended(&mock).await, Ending::Cut);
}

#[tokio::test]
async fn truncation_without_a_length_looks_like_the_end() {
    let mock = with(abc().truncate_body_close_delimited(20)).await;
    let answer = ask(&mock, &chat("m", false)).await;
    assert_eq!(
        (
            answer.header("content-length"),
            answer.header("transfer-encoding")
        ),
        (None, None)
    );
    assert_eq!((answer.raw.len(), answer.end), (20, End::Closed));
}

#[tokio::test]
async fn a_cut_unary_answer_is_half_of_its_length() {
    let mock = with(abc().cut_after_tokens(1)).await;
    let answer = ask(&mock, &chat("m", false)).await;
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!((answer.raw.len(), answer.end), (length / 2, End::Closed));
}

#[tokio::test]
async fn split_frames_are_small_and_join_to_the_same_events() {
    let mock = with(Reply::tokens(["ä", "ö"]).split_frames(7)).await;
    let answer = ask(&mock, &chat("m", true)).await;
    let (chunks, _) = answer.chunks();
    assert!(chunks.len() > 20 && chunks.iter().all(|chunk| chunk.len() <= 7));
    assert_eq!(answer.tokens(), ["ä", "ö"]);
}

#[tokio::test]
async fn pings_and_comments_come_before_the_first_token() {
    let mock = with(abc().pings(2, MS).comments(3, MS)).await;
    let answer = ask(&mock, &chat("m", true)).await;
    let body = String::from_utf8(answer.body()).unwrap();
    let before = &body[..body.find("\"content\":\"a\"").unwrap()];
    assert_eq!(before.matches(": still working\n\n").count(), 3);
    // The role chunk and two pings.
    assert_eq!(before.matches("\"content\":\"\"").count(), 3);
}

#[tokio::test]
async fn delays_are_where_they_were_asked_for() {
    let slow = abc()
        .delay_headers(30 * MS)
        .delay_first_token(40 * MS)
        .delay_between_tokens(20 * MS);
    let mock = with(slow).await;
    let began = Instant::now();
    let answer = ask(&mock, &chat("m", true)).await;
    assert!(answer.is_done());
    let entry = &mock.log()[0];
    let (headers, first) = (
        entry.headers_sent_at.unwrap(),
        entry.first_token_at.unwrap(),
    );
    assert!(headers.saturating_duration_since(began) >= 30 * MS);
    assert!(first.saturating_duration_since(headers) >= 40 * MS);
    assert!(entry.ended_at.unwrap().saturating_duration_since(first) >= 40 * MS);
}

#[tokio::test]
async fn the_head_and_role_chunk_do_not_wait_for_the_first_token() {
    let mock = with(abc().delay_first_token(20 * SILENCE)).await;
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(
        (answer.status(), answer.events().len(), answer.end),
        (200, 1, End::Open)
    );
}

#[tokio::test]
async fn steps_advance_per_attempt_and_the_last_repeats() {
    let mock = Mock::start().await.unwrap();
    let script = Script::new()
        .attempt(Reply::status(503))
        .attempt(Reply::status(429))
        .then(abc());
    mock.script("m", script);
    mock.script_path("/embeddings", Reply::status(500));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ask(&mock, &chat("m", false)).await.status());
    }
    assert_eq!(statuses, [503, 429, 200, 200]);
    assert_eq!(mock.attempts("m"), 4);
    let attempts: Vec<_> = mock
        .requests("m")
        .iter()
        .map(|entry| entry.attempt)
        .collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
    let embed = request("POST", "/v1/embeddings", r#"{"model": "e", "input": "x"}"#);
    assert_eq!(ask(&mock, &embed).await.status(), 500);
    assert_eq!(ask(&mock, &chat("other", false)).await.status(), 200);
}

#[tokio::test]
async fn names_stand_for_faults() {
    let mock = Mock::start().await.unwrap();
    assert_eq!(
        ask(&mock, &chat("rate-limited", true))
            .await
            .header("retry-after"),
        Some("2")
    );
    assert_eq!(ask(&mock, &chat("overloaded", true)).await.status(), 503);
    assert_eq!(ask(&mock, &chat("stall", true)).await.end, End::Open);
    let messages = request("POST", "/v1/messages", r#"{"model": "overloaded"}"#);
    assert_eq!(ask(&mock, &messages).await.status(), 529);
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port_and_a_cut_spares_the_siblings() {
    let mock = Mock::start().await.unwrap();
    mock.script("cut", abc().cut_after_tokens(1));
    mock.script("slow", abc().delay_between_tokens(50 * MS));
    let client = h2();
    let slow = client.request(h2_chat(&mock, "slow")).await.unwrap();
    let cut = client.request(h2_chat(&mock, "cut")).await.unwrap();
    assert_eq!(cut.version(), http::Version::HTTP_2);
    assert!(cut.into_body().collect().await.is_err());
    let whole = slow.into_body().collect().await.unwrap().to_bytes();
    assert!(whole.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(mock.connections_accepted(), 1);
}

#[tokio::test]
async fn a_reset_on_http2_ends_every_stream() {
    let mock = Mock::start().await.unwrap();
    mock.script("reset", abc().reset_after_tokens(1));
    mock.script("stall", abc().stall_after_tokens(1));
    let client = h2();
    let stalled = client.request(h2_chat(&mock, "stall")).await.unwrap();
    let reset = client.request(h2_chat(&mock, "reset")).await.unwrap();
    assert!(reset.into_body().collect().await.is_err());
    assert!(stalled.into_body().collect().await.is_err());
    assert_eq!(ended(&mock).await, Ending::Reset);
}

#[tokio::test]
async fn shutdown_closes_port_and_connections() {
    let mock = with(abc().stall_after_tokens(1)).await;
    let addr = mock.addr();
    let mut socket = send(&mock, &chat("m", true)).await;
    assert!(
        mock.wait_until(
            |log| log.iter().any(|it| it.tokens_sent == 1),
            client::PROMPTLY
        )
        .await
    );
    mock.shutdown().await;
    assert_ne!(read(&mut socket).await.end, End::Open);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_public_address_is_refused() {
    let anywhere: std::net::SocketAddr = "0.0.0.0:0".parse().unwrap();
    let refused = Mock::builder().addr(anywhere).start().await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}
