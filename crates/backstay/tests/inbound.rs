//! What a caller of a server says about its time, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, BuildError, Call, Deadline, Error, ErrorKind, Phase, ServiceBuilderExt,
    Timeouts,
    deadline::{DeadlineHeader, ReadLimitHeader, TimeForm},
    inbound::{Inbound, InboundLayer, InboundService},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use support::{Answer, Step, Upstream, kind, read, seconds, send, wait};
use tokio::time::{Duration, Instant};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);

fn around<S>(settings: Inbound, inner: S) -> InboundService<S> {
    InboundLayer::new(settings).unwrap().layer(inner)
}

fn believing(budget: Duration) -> Inbound {
    let settings = Inbound::new(budget);
    let all = DeadlineHeader::KNOWN.into_iter();
    all.fold(settings, Inbound::believe)
}

fn request(headers: &[(&str, &str)]) -> Request<Body> {
    let request = Request::post("/answer");
    let headers = headers.iter();
    headers
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(Body::default())
        .unwrap()
}

/// What a handler is told, by way of the mock.
async fn told(settings: Inbound, headers: &[(&str, &str)]) -> (Option<Duration>, Option<Timeouts>) {
    let layer = InboundLayer::new(settings).unwrap();
    let (mut mock, mut handle) =
        tower_test::mock::spawn_layer::<Request<Body>, Response<Full<Bytes>>, _>(layer);
    assert!(mock.poll_ready().is_ready());
    let call = mock.call(request(headers));
    let (seen, reply) = handle.next_request().await.unwrap();
    reply.send_response(Response::new(Full::default()));
    assert_eq!(call.await.unwrap().status(), StatusCode::OK);
    let deadline = seen.extensions().get::<Deadline>().unwrap();
    let timeouts = seen.extensions().get::<Timeouts>().copied();
    let left = deadline.time_left(Instant::now());
    ((left != Duration::MAX).then_some(left), timeouts)
}

#[tokio::test(start_paused = true)]
async fn each_header_that_is_believed_becomes_the_deadline_of_the_request() {
    for (name, value, expected) in [
        ("grpc-timeout", "1500m", 1500 * MS),
        ("connect-timeout-ms", "1500", 1500 * MS),
        ("x-envoy-expected-rq-timeout-ms", "250", 250 * MS),
        ("request-timeout", "1.25", 1250 * MS),
        ("Request-Timeout", "2", 2000 * MS),
    ] {
        let (left, _) = told(believing(seconds(30)), &[(name, value)]).await;
        assert_eq!(left, Some(expected), "{name}: {value}");
    }
    let own = DeadlineHeader::new("x-our-patience".parse().unwrap(), TimeForm::Millis);
    let settings = Inbound::new(seconds(30)).believe(own);
    let (left, _) = told(settings, &[("x-our-patience", "7")]).await;
    assert_eq!(left, Some(7 * MS));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_that_is_not_listed() {
    let headers = [("request-timeout", "1"), ("grpc-timeout", "1S")];
    let (left, _) = told(Inbound::new(seconds(30)), &headers).await;
    assert_eq!(left, Some(seconds(30)));
    let settings = Inbound::new(seconds(30)).believe(DeadlineHeader::CONNECT_TIMEOUT_MS);
    let (left, _) = told(settings, &headers).await;
    assert_eq!(left, Some(seconds(30)));
}

#[tokio::test(start_paused = true)]
async fn of_untrusted_callers_nothing_is_believed() {
    let settings = || {
        believing(seconds(30))
            .believe_read_limit(ReadLimitHeader::STAINLESS_TIMEOUT)
            .only_from(|request| request.headers.contains_key("x-inner"))
    };
    let said = [("request-timeout", "1"), ("x-stainless-timeout", "9")];
    assert_eq!(told(settings(), &said).await, (Some(seconds(30)), None));
    let said = [said[0], said[1], ("x-inner", "yes")];
    let (left, timeouts) = told(settings(), &said).await;
    assert_eq!(left, Some(seconds(1)));
    assert!(timeouts.is_some());
}

#[tokio::test(start_paused = true)]
async fn of_several_the_earliest_counts_and_of_what_cannot_be_read_none() {
    let said = [
        ("grpc-timeout", "3S"),
        ("request-timeout", "2"),
        ("request-timeout", "9"),
        ("connect-timeout-ms", "-5"),
        ("x-envoy-expected-rq-timeout-ms", "NaN"),
    ];
    let (left, _) = told(believing(seconds(30)), &said).await;
    assert_eq!(left, Some(seconds(2)));
    for odd in ["inf", "-1", "1e3", "", "99999999999999999999", "\u{b2}"] {
        let (left, _) = told(believing(seconds(30)), &[("request-timeout", odd)]).await;
        assert_eq!(left, Some(seconds(30)), "{odd}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_is_clamped() {
    let settings = || {
        believing(seconds(10))
            .at_least(50 * MS)
            .at_most(seconds(20))
    };
    for (value, expected) in [
        ("0", 50 * MS),
        ("0.01", 50 * MS),
        ("15", seconds(15)),
        ("21", seconds(20)),
        ("9999999999", seconds(20)),
    ] {
        let (left, _) = told(settings(), &[("request-timeout", value)]).await;
        assert_eq!(left, Some(expected), "{value}");
    }
    // By default nobody gets more than who says nothing, and zero is no "never".
    let (left, _) = told(believing(seconds(10)), &[("grpc-timeout", "99999999H")]).await;
    assert_eq!(left, Some(seconds(10)));
    let (left, _) = told(believing(seconds(10)), &[("grpc-timeout", "0n")]).await;
    assert_eq!(left, Some(MS));
    let (left, _) = told(believing(Duration::MAX), &[]).await;
    assert_eq!(left, None);
}

#[tokio::test(start_paused = true)]
async fn an_sdks_read_limit_is_a_clock_and_never_a_deadline() {
    let both = ReadLimitHeader::KNOWN.into_iter();
    let settings = both
        .fold(believing(seconds(30)), Inbound::believe_read_limit)
        .read_limit_at_most(seconds(60));
    let clocks = |limit| Some(Timeouts::new().headers(limit).idle(limit));
    for (said, expected) in [
        (&[("x-stainless-timeout", "20")][..], clocks(seconds(20))),
        (&[("x-stainless-read-timeout", "2.5")], clocks(2500 * MS)),
        (
            &[
                ("x-stainless-timeout", "20"),
                ("x-stainless-read-timeout", "5.0"),
            ],
            clocks(seconds(5)),
        ),
        (&[("x-stainless-timeout", "600")], clocks(seconds(60))),
        (&[("x-stainless-timeout", "0")], clocks(seconds(1))),
        (&[("x-stainless-timeout", "NOT_GIVEN")], None),
        (&[("request-timeout", "5")], None),
    ] {
        let (left, timeouts) = told(settings.clone(), said).await;
        assert_eq!(timeouts, expected, "{said:?}");
        let whole = if said[0].0 == "request-timeout" {
            5
        } else {
            30
        };
        assert_eq!(left, Some(seconds(whole)), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn over_before_the_head_it_answers_504_and_the_handler_is_dropped() {
    let upstream = Upstream::new([Answer::hang()]);
    let mut service = around(believing(seconds(30)), upstream.clone());
    let start = Instant::now();
    let mut call = Box::pin(service.call(request(&[("request-timeout", "2")])));
    let response = (&mut call).await.unwrap();
    assert_eq!(Instant::now() - start, seconds(2));
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(
        response.headers()[CONTENT_TYPE]
            .as_bytes()
            .starts_with(b"text/plain")
    );
    // The future is still alive; what it held is not.
    assert_eq!((upstream.attempts(), upstream.live()), (1, 0));
    let length = response.body().size_hint().exact().unwrap();
    let (text, error) = read(response.into_body()).await;
    assert!(error.is_none());
    assert_eq!(text.len(), usize::try_from(length).unwrap());
    assert!((1..100).contains(&length));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_the_late_can_be_the_users_own() {
    let settings = believing(seconds(30)).late_answer(|late| {
        assert_eq!((late.budget(), late.was_told()), (seconds(2), true));
        assert_eq!(late.elapsed(), seconds(2));
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    });
    let service = around(settings, Upstream::new([Answer::hang()]));
    let response = send(&service, request(&[("grpc-timeout", "2S")]))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.body().is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_late_before_it_is_begun_is_not_begun() {
    let upstream = Upstream::new([Answer::json("{}")]);
    let service = around(believing(seconds(30)), upstream.clone());
    let mut ready = service;
    let call = ready.call(request(&[("request-timeout", "1")]));
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(call.await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!((upstream.attempts(), upstream.live()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn over_during_the_body_it_ends_with_the_typed_error() {
    let steps = vec![
        Step::Data("a".into()),
        wait(2),
        Step::Data("b".into()),
        wait(2),
    ];
    let upstream = Upstream::new([Answer::bytes(steps).after(seconds(1))]);
    let service = around(believing(seconds(30)), upstream.clone());
    let start = Instant::now();
    let response = send(&service, request(&[("request-timeout", "4")]))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let (data, error) = read(&mut body).await;
    assert_eq!(data, "ab");
    assert_eq!(Instant::now() - start, seconds(4));
    let error = error.unwrap();
    assert_eq!(kind(&error), ErrorKind::Deadline);
    let error = Error::find(&*error).unwrap();
    assert_eq!(error.limit(), Some(seconds(4)));
    assert_eq!(error.elapsed(), Some(seconds(4)));
    assert_eq!(error.phase(), Some(Phase::Body));
    // Once, and what was inside is gone although the body is not.
    assert_eq!(upstream.live(), 0);
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_frames_does_not_outrun_it() {
    let frames = (0..).map(|_| Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x"))));
    let flood = service_fn(move |_: Request<Body>| {
        let frames = frames.clone();
        async move {
            Ok::<_, Infallible>(Response::new(StreamBody::new(futures_util::stream::iter(
                frames,
            ))))
        }
    });
    let service = around(Inbound::new(seconds(1)), flood);
    let mut body = service.oneshot(request(&[])).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::advance(seconds(2)).await;
    // At the latest the 64th frame after it is none.
    let mut ended = None;
    for _ in 0..64 {
        if let Err(error) = body.frame().await.unwrap() {
            ended = Some(kind(&error));
            break;
        }
    }
    assert_eq!(ended, Some(ErrorKind::Deadline));
}

#[tokio::test(start_paused = true)]
async fn when_the_caller_leaves_everything_below_is_dropped() {
    let upstream = Upstream::new([
        Answer::hang(),
        Answer::bytes(vec![Step::Data("a".into()), Step::Hang]),
    ]);
    let service = around(believing(seconds(30)), upstream.clone());
    let mut call = tokio_test::task::spawn(send(&service, request(&[])));
    assert!(call.poll().is_pending());
    assert_eq!(upstream.live(), 1);
    drop(call);
    assert_eq!(upstream.live(), 0);

    let mut body = send(&service, request(&[])).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(upstream.live(), 1);
    drop(body);
    assert_eq!(upstream.live(), 0);
}

/// How calls ended, and when.
type Ends = Mutex<Vec<(Option<ErrorKind>, Instant)>>;

/// Asks an upstream through a client stack with an ample budget of its own, from a handler.
fn asking(
    upstream: &Upstream,
    ends: &Arc<Ends>,
) -> impl Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ use<> {
    let client = ServiceBuilder::new()
        .deadline(seconds(600))
        .unwrap()
        .service(upstream.clone());
    let ends = ends.clone();
    service_fn(move |_: Request<Body>| {
        let (client, ends) = (client.clone(), ends.clone());
        async move {
            // Nothing of the request is handed on.
            let failed = send(&client, support::chat()).await.err();
            let failed = failed.map(|error| kind(&error));
            ends.lock().push((failed, Instant::now()));
            Ok(Response::new(Full::default()))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_handler_hold_to_it_by_themselves() {
    let upstream = Upstream::new([Answer::hang()]);
    let ends = Arc::default();
    let service = around(believing(seconds(30)), asking(&upstream, &ends));
    let start = Instant::now();
    let call = service.oneshot(request(&[("connect-timeout-ms", "1500")]));
    // Whoever is inside has a last word: what is ready wins over the timer.
    assert_eq!(call.await.unwrap().status(), StatusCode::OK);
    let end = (Some(ErrorKind::Deadline), start + 1500 * MS);
    assert_eq!(*ends.lock(), [end]);
    assert_eq!(upstream.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_around_where_the_body_of_the_answer_is_made() {
    let seen = Arc::new(Mutex::new(None));
    let service = service_fn({
        let seen = seen.clone();
        move |_: Request<Body>| {
            let body = Looks(seen.clone());
            async move { Ok::<_, Infallible>(Response::new(body)) }
        }
    });
    let service = around(believing(seconds(30)), service);
    let said = request(&[("request-timeout", "3")]);
    let due = Instant::now() + seconds(3);
    let body = service.oneshot(said).await.unwrap().into_body();
    tokio::time::sleep(seconds(1)).await;
    body.collect().await.unwrap();
    assert_eq!(*seen.lock(), Some(Deadline::at(due)));
}

/// Looks around when it is polled.
struct Looks(Arc<Mutex<Option<Deadline>>>);

impl http_body::Body for Looks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        *self.0.lock() = Deadline::ambient();
        Poll::Ready(None)
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_deadline_of_whoever_stands_before_stands() {
    let service = || around(believing(seconds(30)), Upstream::new([Answer::hang()]));
    let start = Instant::now();
    let mut said = request(&[("request-timeout", "9")]);
    said.extensions_mut().insert(Deadline::after(seconds(2)));
    let response = send(&service(), said).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(Instant::now() - start, seconds(2));

    let said = request(&[("request-timeout", "9")]);
    let call = send(&service(), said);
    let response = Deadline::after(seconds(1)).scope(call).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(Instant::now() - start, seconds(3));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_an_outer_layer_made_has_the_deadline_too() {
    // Looked at in `call`, where nothing is around.
    let leaf = service_fn(|request: Request<Body>| {
        let call = Call::of(request.extensions()).unwrap();
        let said = *request.extensions().get::<Deadline>().unwrap();
        assert_eq!(call.deadline(), said);
        async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) }
    });
    let service = ServiceBuilder::new()
        .on_cancel(|_| async {})
        .inbound(believing(seconds(30)))
        .unwrap()
        .service(leaf);
    let call = send(&service, request(&[("request-timeout", "2")]));
    assert_eq!(call.await.unwrap().status(), StatusCode::OK);
}

#[test]
fn numbers_that_can_never_work_are_refused_by_name() {
    let refused = |settings| InboundLayer::new(settings).unwrap_err();
    assert_eq!(
        refused(Inbound::new(Duration::ZERO)),
        BuildError::ZeroDuration { setting: "budget" }
    );
    assert_eq!(
        refused(Inbound::new(seconds(1)).at_most(Duration::ZERO)),
        BuildError::ZeroDuration { setting: "at_most" }
    );
    assert_eq!(
        refused(Inbound::new(seconds(1)).at_least(seconds(2))),
        BuildError::Bounds {
            least: "at_least",
            most: "at_most"
        }
    );
    assert!(matches!(
        refused(Inbound::new(seconds(1)).read_limit_at_most(Duration::ZERO)),
        BuildError::Bounds { .. }
    ));
}
