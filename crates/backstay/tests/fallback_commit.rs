//! What fails before commit is seen by nobody; what fails after it is a typed error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, ErrorKind, Timeouts, Trail,
    fallback::{Commit, Target, Targets},
    timeout::Clock,
    trail::{Next, Note, Outcome, Reason, WaitReason},
};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use support::{
    Answer, Step, Upstream, chat, chat_with, comment, data, done, finish, kind, models, read, role,
    seconds, send, stack, stack_with, token, trail, trail_of, wait,
};
use tokio::time::{Duration, Instant};

// Before commit.

#[tokio::test(start_paused = true)]
async fn a_retryable_status_is_retried_then_the_next_target_is_asked() {
    let upstream = Upstream::new([
        Answer::status(503, "{}"),
        Answer::status(500, "{}"),
        Answer::stream(&["ok"]),
    ]);
    let targets = Targets::new("a").then("b").retries(1);
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(models(&upstream), ["a", "a", "b"]);
    let attempts = trail(&response);
    assert_eq!(attempts[0].next, Some(Next::Retry));
    assert_eq!(attempts[0].wait.unwrap().reason, WaitReason::Backoff);
    assert_eq!(attempts[1].next, Some(Next::Skip(Reason::RetriesUsed)));
    assert_eq!(attempts[2].outcome, Outcome::Running);
    let (body, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert!(body.ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_content_is_seen_by_nobody() {
    let in_band = data(r#"{"error":{"type":"server_error","code":"server_error","message":"x"}}"#);
    let failures = [
        (vec![role(), in_band], Outcome::InBand),
        (vec![role(), comment()], Outcome::Empty),
        (vec![], Outcome::Empty),
        (vec![done()], Outcome::Empty),
        (vec![role(), Step::Fail], Outcome::Transport),
        (vec![role(), wait(60)], Outcome::Timeout(Clock::FirstToken)),
    ];
    for (steps, outcome) in failures {
        let upstream = Upstream::new([Answer::events(steps), Answer::stream(&["b"])]);
        let targets = Targets::new("a").then("b").retries(0);
        let timeouts = Timeouts::new().first_token(seconds(5));
        let response = send(&stack_with(targets, timeouts, &upstream), chat())
            .await
            .unwrap();
        assert_eq!(models(&upstream), ["a", "b"]);
        assert_eq!(trail(&response)[0].outcome, outcome);
        let (body, error) = read(response.into_body()).await;
        assert!(error.is_none());
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(text.matches("role").count(), 1);
        assert_eq!(upstream.live(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_that_is_said_to_be_finished_is_an_answer() {
    let upstream = Upstream::new([Answer::events(vec![role(), finish(), done()])]);
    let targets = Targets::new("a").then("b");
    let response = send(&stack(targets, &upstream), chat()).await.unwrap();
    let (_, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(upstream.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_finish_reason_and_the_end_is_an_end() {
    let upstream = Upstream::new([Answer::events(vec![token("x"), finish()])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    let (_, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(shared.attempts()[0].outcome, Outcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn unary_json_is_held_to_its_end() {
    let whole = r#"{"id":"chatcmpl-9","choices":[{"message":{"content":"hi"}}]}"#;
    let error = r#"{"error":{"code":"server_error","message":"x"}}"#;
    let failures = [
        (
            vec![Step::Data(Bytes::from_static(&whole.as_bytes()[..20]))],
            Outcome::Truncated,
        ),
        (
            vec![
                Step::Data(Bytes::from_static(&whole.as_bytes()[..20])),
                Step::Fail,
            ],
            Outcome::Transport,
        ),
        (vec![], Outcome::Empty),
        (
            vec![Step::Data(Bytes::from_static(error.as_bytes()))],
            Outcome::InBand,
        ),
    ];
    for (steps, outcome) in failures {
        let mut broken = Answer::json("");
        broken.steps = steps;
        let mut good = Answer::json("");
        good.steps = vec![
            Step::Data(Bytes::from_static(&whole.as_bytes()[..20])),
            wait(1),
            Step::Data(Bytes::from_static(&whole.as_bytes()[20..])),
        ];
        let upstream = Upstream::new([broken, good]);
        let targets = Targets::new("a").then("b").then("c").retries(0);
        let request = chat_with(r#"{"model":"a","messages":[]}"#);
        let response = send(&stack(targets, &upstream), request).await.unwrap();
        let shared = response.extensions().get::<Trail>().unwrap().clone();
        assert_eq!(shared.attempts()[0].outcome, outcome);
        assert_eq!(shared.attempts()[1].outcome, Outcome::Complete);
        assert_eq!(read(response.into_body()).await.0, whole);
    }
}

// After commit.

#[tokio::test(start_paused = true)]
async fn what_fails_after_content_is_a_typed_error_and_never_retried() {
    let in_band = data(r#"{"error":{"code":"server_error","message":"x"}}"#);
    type Expected = fn(ErrorKind) -> bool;
    let failures: [(Vec<Step>, Expected, Outcome); 4] = [
        (
            vec![token("a"), in_band],
            |kind| matches!(kind, ErrorKind::InBand(_)),
            Outcome::InBand,
        ),
        (
            vec![token("a")],
            |kind| kind == ErrorKind::Truncated,
            Outcome::Truncated,
        ),
        (
            vec![token("a"), Step::Fail],
            |kind| kind == ErrorKind::Transport,
            Outcome::Transport,
        ),
        (
            vec![token("a"), wait(60)],
            |kind| kind == ErrorKind::Timeout(Clock::Idle),
            Outcome::Timeout(Clock::Idle),
        ),
    ];
    for (steps, expected, outcome) in failures {
        let upstream = Upstream::new([Answer::events(steps), Answer::stream(&["b"])]);
        let targets = Targets::new("a").then("b");
        let timeouts = Timeouts::new().idle(seconds(5));
        let response = send(&stack_with(targets, timeouts, &upstream), chat())
            .await
            .unwrap();
        let mut body = response.into_body();
        let (read, error) = read(&mut body).await;
        let error = error.expect("no answer without its end");
        assert!(!read.is_empty());
        assert!(expected(kind(&error)), "{:?}", kind(&error));
        assert_eq!(trail_of(&error).attempts()[0].outcome, outcome);
        assert_eq!(upstream.attempts(), 1);
        assert_eq!(upstream.live(), 0);
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_over_at_its_marker_though_the_socket_stays_open() {
    let upstream = Upstream::new([Answer::events(vec![
        token("a"),
        finish(),
        done(),
        Step::Hang,
    ])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let start = Instant::now();
    let (_, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(Instant::now() - start, Duration::from_millis(50));
    assert_eq!(upstream.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_at_its_marker_is_read_to_its_end() {
    let upstream = Upstream::new([Answer::events(vec![
        token("a"),
        finish(),
        done(),
        Step::Wait(Duration::from_millis(20)),
    ])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    let mut body = response.into_body();
    while !body
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap()
        .ends_with(b"[DONE]\n\n")
    {}
    drop(body);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(upstream.ended(), 1);
    assert_eq!(upstream.live(), 0);
    assert_eq!(shared.attempts()[0].outcome, Outcome::Complete);
    assert_eq!(shared.attempts()[0].notes, [Note::Lingered]);
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_before_its_marker_is_a_cancellation() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), wait(60)])]);
    let response = send(&stack(Targets::new("a").then("b"), &upstream), chat())
        .await
        .unwrap();
    let shared = response.extensions().get::<Trail>().unwrap().clone();
    drop(response);
    assert_eq!(upstream.live(), 0);
    assert_eq!(shared.attempts()[0].outcome, Outcome::Cancelled);
}

// The commit point.

#[tokio::test(start_paused = true)]
async fn the_commit_point_is_the_users() {
    let cut = || Answer::events(vec![role(), token("a"), wait(1)]);
    for (point, attempts, after) in [
        (Commit::Head, 1, 0),
        (Commit::FirstContent, 1, 0),
        (Commit::End, 2, 1),
    ] {
        let upstream = Upstream::new([cut(), Answer::stream(&["b"])]);
        let service = stack(Targets::new("a").then("b").retries(0), &upstream);
        let mut request = chat();
        request.extensions_mut().insert(point);
        let start = Instant::now();
        let response = send(&service, request).await.unwrap();
        assert_eq!(upstream.attempts(), attempts, "{point:?}");
        assert_eq!(Instant::now() - start, seconds(after));
        let (_, error) = read(response.into_body()).await;
        assert_eq!(error.is_none(), attempts == 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_trail_says_when_the_answer_was_let_through() {
    for (point, after) in [
        (Commit::Head, 0),
        (Commit::FirstContent, 1),
        (Commit::End, 4),
    ] {
        let upstream = Upstream::new([Answer::events(vec![
            role(),
            wait(1),
            token("a"),
            wait(3),
            finish(),
            done(),
        ])]);
        let service = stack(Targets::new("a").then("b").retries(0), &upstream);
        let mut request = chat();
        request.extensions_mut().insert(point);
        let response = send(&service, request).await.unwrap();
        let trail = response.extensions().get::<Trail>().cloned().unwrap();
        assert!(read(response.into_body()).await.1.is_none());
        let attempt = &trail.attempts()[0];
        assert_eq!(attempt.first_token, Some(seconds(1)), "{point:?}");
        assert_eq!(attempt.committed, Some(seconds(after)), "{point:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_and_a_stack_can_choose_too() {
    let cut = || Answer::events(vec![token("a"), wait(1)]);
    let of_target = Targets::new(Target::model("a").commit(Commit::End))
        .then("b")
        .retries(0);
    let of_stack = Targets::new("a").then("b").retries(0).commit(Commit::End);
    for targets in [of_target, of_stack] {
        let upstream = Upstream::new([cut(), Answer::stream(&["b"])]);
        let response = send(&stack(targets, &upstream), chat()).await.unwrap();
        assert_eq!(trail(&response).len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_which_nothing_could_be_tried_is_not_held() {
    let upstream = Upstream::new([Answer::events(vec![
        role(),
        wait(9),
        token("a"),
        finish(),
        done(),
    ])]);
    let start = Instant::now();
    let response = send(&stack(Targets::new("a").retries(0), &upstream), chat())
        .await
        .unwrap();
    assert_eq!(Instant::now(), start);
    assert!(read(response.into_body()).await.1.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_bounded() {
    let comments = || Answer::events((0..50).flat_map(|_| [comment(), wait(1)]).collect());
    for targets in [
        Targets::new("a").then("b").hold_frames(10),
        Targets::new("a").then("b").hold_bytes(100),
        Targets::new("a").then("b").hold_time(seconds(10)),
    ] {
        let upstream = Upstream::new([comments()]);
        let response = send(&stack(targets, &upstream), chat()).await.unwrap();
        assert_eq!(trail(&response)[0].notes, [Note::HoldBound]);
        assert_eq!(upstream.attempts(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_repeated_is_not_held() {
    let mut a = Answer::json("{\"a\":");
    a.steps
        .extend([wait(30), Step::Data(Bytes::from_static(b"1}"))]);
    let up = Upstream::new([a]);
    let s = stack(Targets::plain(Target::named("db")).retries(2), &up);
    let q = Request::post("https://db/x")
        .body(Body::from("{}"))
        .unwrap();
    let start = Instant::now();
    let _ = send(&s, q).await.unwrap();
    assert_eq!(Instant::now() - start, Duration::ZERO);
}
