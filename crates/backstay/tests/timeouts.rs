//! The clocks of one attempt.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Error, ErrorKind, ServiceBuilderExt, Timeouts, Trail,
    timeout::{Clock, ConnectLimit, Streaming},
    trail::Outcome,
};
use http_body_util::BodyExt;
use support::{
    Answer, Step, Upstream, chat, comment, done, finish, kind, read, role, seconds, send, token,
    wait,
};
use tokio::time::{Duration, Instant};
use tower::ServiceBuilder;

fn timed(timeouts: Timeouts, upstream: &Upstream) -> backstay::timeout::TimeoutsService<Upstream> {
    ServiceBuilder::new()
        .timeouts(timeouts)
        .unwrap()
        .service(upstream.clone())
}

/// Which clock ended a stream of these steps, and when.
async fn ended_by(timeouts: Timeouts, steps: Vec<Step>) -> (Option<Clock>, Duration) {
    let upstream = Upstream::new([Answer::events(steps)]);
    let start = Instant::now();
    let service = timed(timeouts, &upstream);
    let response = send(&service, chat()).await.unwrap();
    let (_, error) = read(response.into_body()).await;
    assert_eq!(upstream.live(), 0);
    let clock = error.map(|error| match kind(&error) {
        ErrorKind::Timeout(clock) => clock,
        other => panic!("{other:?}"),
    });
    (clock, Instant::now() - start)
}

#[tokio::test(start_paused = true)]
async fn headers() {
    let upstream = Upstream::new([Answer::hang()]);
    let service = timed(Timeouts::new().headers(seconds(3)), &upstream);
    let start = Instant::now();
    let error = send(&service, chat()).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Timeout(Clock::Headers));
    assert_eq!(Instant::now() - start, seconds(3));
    assert_eq!(upstream.live(), 0);
    let trail = Error::find(&*error).unwrap().trail().unwrap();
    let attempt = &trail.attempts()[0];
    assert_eq!(attempt.outcome, Outcome::Timeout(Clock::Headers));
    assert!(attempt.uncertain);
}

#[tokio::test(start_paused = true)]
async fn first_token_is_stopped_by_semantic_events_only() {
    let timeouts = Timeouts::new().first_token(seconds(5));
    let pings = vec![
        role(),
        wait(2),
        comment(),
        wait(2),
        comment(),
        wait(2),
        comment(),
        token("late"),
    ];
    assert_eq!(
        ended_by(timeouts, pings).await,
        (Some(Clock::FirstToken), seconds(5))
    );
    let in_time = vec![wait(4), token("a"), wait(60), token("b"), finish(), done()];
    assert_eq!(ended_by(timeouts, in_time).await, (None, seconds(64)));
}

#[tokio::test(start_paused = true)]
async fn first_token_counts_from_the_start_of_the_attempt() {
    let upstream = Upstream::new([Answer::events(vec![wait(60)]).after(seconds(3))]);
    let service = timed(Timeouts::new().first_token(seconds(5)), &upstream);
    let start = Instant::now();
    let response = send(&service, chat()).await.unwrap();
    let (_, error) = read(response.into_body()).await;
    assert_eq!(kind(&error.unwrap()), ErrorKind::Timeout(Clock::FirstToken));
    assert_eq!(Instant::now() - start, seconds(5));
}

#[tokio::test(start_paused = true)]
async fn idle_is_between_semantic_events_and_reasoning_counts() {
    let timeouts = Timeouts::new().idle(seconds(5));
    let pings = vec![
        token("a"),
        wait(3),
        comment(),
        wait(3),
        comment(),
        wait(3),
        token("b"),
    ];
    assert_eq!(
        ended_by(timeouts, pings).await,
        (Some(Clock::Idle), seconds(5))
    );
    let thinks = support::data(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#);
    let thinking = vec![
        token("a"),
        wait(4),
        thinks.clone(),
        wait(4),
        thinks,
        wait(4),
        token("b"),
        finish(),
        done(),
    ];
    assert_eq!(ended_by(timeouts, thinking).await, (None, seconds(12)));
}

#[tokio::test(start_paused = true)]
async fn liveness_is_between_any_bytes() {
    let timeouts = Timeouts::new().liveness(seconds(5));
    let pings = vec![
        token("a"),
        wait(4),
        comment(),
        wait(4),
        comment(),
        wait(9),
        token("b"),
    ];
    assert_eq!(
        ended_by(timeouts, pings).await,
        (Some(Clock::Liveness), seconds(13))
    );
}

#[tokio::test(start_paused = true)]
async fn attempt_is_beaten_by_no_dribble() {
    let timeouts = Timeouts::new().idle(seconds(2)).attempt(seconds(7));
    let dribble = (0..20).flat_map(|_| [token("a"), wait(1)]).collect();
    assert_eq!(
        ended_by(timeouts, dribble).await,
        (Some(Clock::Attempt), seconds(7))
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_end_marker_the_transfer_has_a_moment_to_end_too() {
    let timeouts = Timeouts::new().idle(seconds(2)).attempt(seconds(7));
    let open = vec![token("a"), finish(), done(), wait(60)];
    assert_eq!(
        ended_by(timeouts, open).await,
        (None, Duration::from_millis(50))
    );
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_takes_its_time_is_no_stalled_server() {
    let upstream = Upstream::new([Answer::events(vec![
        token("a"),
        token("b"),
        wait(1),
        token("c"),
        finish(),
        done(),
    ])]);
    let service = timed(
        Timeouts::new().idle(seconds(5)).liveness(seconds(5)),
        &upstream,
    );
    let response = send(&service, chat()).await.unwrap();
    let mut body = response.into_body();
    tokio::time::advance(seconds(60)).await;
    body.frame().await.unwrap().unwrap();
    tokio::time::advance(seconds(60)).await;
    body.frame().await.unwrap().unwrap();
    tokio::time::advance(seconds(60)).await;
    let (_, error) = read(body).await;
    assert!(error.is_none());
}

#[tokio::test(start_paused = true)]
async fn streams_and_unary_calls_have_their_own() {
    let timeouts = Timeouts::new()
        .for_streams(|clocks| clocks.headers(seconds(2)))
        .for_unary(|clocks| clocks.headers(seconds(9)));
    for (stream, expected) in [(true, 2), (false, 9)] {
        let upstream = Upstream::new([Answer::hang()]);
        let mut request = chat();
        request.extensions_mut().insert(Streaming(stream));
        let start = Instant::now();
        let service = timed(timeouts, &upstream);
        let call = send(&service, request);
        assert!(call.await.is_err());
        assert_eq!(Instant::now() - start, seconds(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_overrides_and_turns_off() {
    let upstream = Upstream::new([Answer::json("{}").after(seconds(100))]);
    let service = timed(Timeouts::new().headers(seconds(2)), &upstream);
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Timeouts::new().headers(Duration::MAX));
    let response = send(&service, request).await.unwrap();
    let trail = response.extensions().get::<Trail>().unwrap().clone();
    assert_eq!(trail.attempts()[0].headers, Some(seconds(100)));
}

#[tokio::test(start_paused = true)]
async fn a_zero_in_a_request_is_refused_and_nothing_is_sent() {
    let upstream = Upstream::new([Answer::json("{}")]);
    let service = timed(Timeouts::new(), &upstream);
    let mut request = chat();
    request
        .extensions_mut()
        .insert(Timeouts::new().idle(Duration::ZERO));
    let error = send(&service, request).await.unwrap_err();
    assert!(matches!(kind(&error), ErrorKind::Request(_)));
    assert_eq!(upstream.attempts(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_connect_limit_reaches_the_client() {
    let service = ServiceBuilder::new()
        .timeouts(Timeouts::new().connect(seconds(7)))
        .unwrap()
        .service(tower::service_fn(
            |request: http::Request<backstay::Body>| {
                let limit = ConnectLimit::of(request.extensions());
                async move {
                    assert_eq!(limit, Some(seconds(7)));
                    Ok::<_, backstay::BoxError>(http::Response::new(http_body_util::Full::<
                        bytes::Bytes,
                    >::default(
                    )))
                }
            },
        ));
    send(&service, chat()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_encoded_answer_has_byte_clocks_only() {
    let upstream = Upstream::new([Answer::events(vec![
        Step::Data("\x1f".into()),
        wait(4),
        Step::Data("\x1f".into()),
        wait(9),
    ])
    .header("content-encoding", "gzip")]);
    let service = timed(
        Timeouts::new().first_token(seconds(2)).liveness(seconds(5)),
        &upstream,
    );
    let start = Instant::now();
    let response = send(&service, chat()).await.unwrap();
    let (_, error) = read(response.into_body()).await;
    assert_eq!(kind(&error.unwrap()), ErrorKind::Timeout(Clock::Liveness));
    assert_eq!(Instant::now() - start, seconds(9));
}

/// Ready after a while.
#[derive(Clone)]
struct Busy {
    until: Instant,
    inner: Upstream,
}

impl tower::Service<http::Request<backstay::Body>> for Busy {
    type Response = http::Response<support::ScriptedBody>;
    type Error = backstay::BoxError;
    type Future = <Upstream as tower::Service<http::Request<backstay::Body>>>::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), backstay::BoxError>> {
        let mut sleep = Box::pin(tokio::time::sleep_until(self.until));
        if sleep.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(Ok(()));
        }
        // The sleep is dropped here, and its waker with it: come back by another way.
        let (waker, until) = (cx.waker().clone(), self.until);
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            waker.wake();
        });
        std::task::Poll::Pending
    }

    fn call(&mut self, request: http::Request<backstay::Body>) -> Self::Future {
        tower::Service::call(&mut self.inner, request)
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_is_on_no_clock() {
    let upstream = Upstream::new([Answer::json("{}").after(seconds(1))]);
    let busy = Busy {
        until: Instant::now() + seconds(5),
        inner: upstream,
    };
    let service = ServiceBuilder::new()
        .deadline(seconds(20))
        .unwrap()
        .timeouts(Timeouts::new().headers(seconds(2)))
        .unwrap()
        .service(busy.clone());
    let response = send(&service, chat()).await.unwrap();
    let attempts = response.extensions().get::<Trail>().unwrap().attempts();
    assert_eq!(attempts[0].started, seconds(5));

    let under_fallback = ServiceBuilder::new()
        .fallback(backstay::fallback::Targets::new("a"))
        .unwrap()
        .timeouts(Timeouts::new().headers(seconds(2)))
        .unwrap()
        .service(Busy {
            until: Instant::now() + seconds(5),
            ..busy
        });
    send(&under_fallback, chat()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn first_content_is_stopped_by_no_reasoning_and_is_off_unless_it_is_set() {
    let thinks = || support::data(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#);
    let thinking = || {
        vec![
            thinks(),
            wait(3),
            thinks(),
            wait(3),
            token("a"),
            finish(),
            done(),
        ]
    };
    let set = Timeouts::new().first_content(seconds(5));
    assert_eq!(
        ended_by(set, thinking()).await,
        (Some(Clock::FirstContent), seconds(5))
    );
    let in_time = vec![thinks(), wait(4), token("a"), wait(9), finish(), done()];
    assert_eq!(ended_by(set, in_time).await, (None, seconds(13)));
    let recommended = Timeouts::recommended();
    assert_eq!(ended_by(recommended, thinking()).await, (None, seconds(6)));
    // A tool's call and a refusal are content.
    let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#;
    let tool = vec![support::data(call), wait(9), finish(), done()];
    assert_eq!(ended_by(set, tool).await, (None, seconds(9)));
}

#[tokio::test(start_paused = true)]
async fn time_in_which_the_consumer_did_not_poll_is_not_held_against_first_content() {
    let upstream = Upstream::new([Answer::events(vec![wait(3), token("a"), finish(), done()])]);
    let timeouts = Timeouts::new().first_content(seconds(5));
    let response = send(&timed(timeouts, &upstream), chat()).await.unwrap();
    tokio::time::sleep(seconds(60)).await;
    assert!(read(response.into_body()).await.1.is_none());
}
