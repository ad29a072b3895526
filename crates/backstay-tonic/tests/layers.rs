//! The layers over mocks, in paused time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use backstay::{
    BoxError, Deadline, Error, ErrorKind, ServiceBuilderExt, Timeouts, Trail,
    dialect::FailureClass,
    error::{Cancellation, RequestProblem},
    fallback::{Target, Targets},
    timeout::Clock,
};
use backstay_tonic::{
    Channels, Grpc, GrpcAttemptLayer, GrpcCallLayer, GrpcServerLayer, Methods, status_of, trail_of,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use std::io;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tonic::{Code, ConnectError, Status, TimeoutExpired, body::Body, metadata::MetadataMap};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

fn request() -> Request<Body> {
    Request::post("/store.v1.Store/Search")
        .body(Body::new(Full::new(Bytes::from_static(b"query"))))
        .unwrap()
}

fn targets() -> Targets {
    Targets::new(Target::named("store").dialect(Grpc))
}

/// A trail, as a call leaves it behind.
async fn trail() -> Trail {
    let inner = service_fn(|_: Request<Body>| async {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let service = ServiceBuilder::new()
        .deadline(Duration::from_secs(1))
        .unwrap()
        .service(inner);
    let response = service.oneshot(request()).await.unwrap();
    response.extensions().get::<Trail>().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_code_and_the_trail() {
    let trail = trail().await;
    for (kind, code) in [
        (ErrorKind::Deadline, Code::DeadlineExceeded),
        (ErrorKind::Timeout(Clock::Connect), Code::Unavailable),
        (ErrorKind::Timeout(Clock::Headers), Code::DeadlineExceeded),
        (ErrorKind::Timeout(Clock::Idle), Code::DeadlineExceeded),
        (ErrorKind::Timeout(Clock::Attempt), Code::DeadlineExceeded),
        (ErrorKind::Cancelled(Cancellation::Token), Code::Cancelled),
        (ErrorKind::Cancelled(Cancellation::Dropped), Code::Cancelled),
        (ErrorKind::Truncated, Code::Unavailable),
        (ErrorKind::Empty, Code::Unavailable),
        (ErrorKind::Transport, Code::Unavailable),
        (
            ErrorKind::InBand(FailureClass::RateLimit),
            Code::ResourceExhausted,
        ),
        (
            ErrorKind::InBand(FailureClass::Quota),
            Code::ResourceExhausted,
        ),
        (ErrorKind::InBand(FailureClass::Server), Code::Unavailable),
        (
            ErrorKind::InBand(FailureClass::Caller),
            Code::InvalidArgument,
        ),
        (
            ErrorKind::Request(RequestProblem::TooLarge),
            Code::ResourceExhausted,
        ),
        (
            ErrorKind::Request(RequestProblem::Unreadable),
            Code::Internal,
        ),
        (
            ErrorKind::Request(RequestProblem::Uri),
            Code::InvalidArgument,
        ),
        (
            ErrorKind::Status(StatusCode::TOO_MANY_REQUESTS),
            Code::Unavailable,
        ),
        (
            ErrorKind::Status(StatusCode::FORBIDDEN),
            Code::PermissionDenied,
        ),
        (ErrorKind::Status(StatusCode::IM_A_TEAPOT), Code::Unknown),
    ] {
        let error = Error::in_call(&trail, kind, "what the client said");
        let status = status_of(error.into());
        assert_eq!(status.code(), code, "{kind:?}");
        assert_eq!(Error::find(&status).unwrap().kind(), kind);
        assert!(trail_of(&status).is_some());
        // tonic passes it on as it is, and so does a second layer.
        let again = Status::from_error(Box::new(status));
        assert_eq!(again.code(), code);
        assert!(trail_of(&status_of(again.into())).is_some());
    }
}

#[test]
fn what_a_client_says_is_told_by_its_type() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let errors: [(BoxError, Code); 6] = [
        (Box::new(TimeoutExpired(())), Code::DeadlineExceeded),
        (Box::new(refused()), Code::Unavailable),
        (
            Box::new(ConnectError(Box::new(refused()))),
            Code::Unavailable,
        ),
        (
            Box::new(h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM)),
            Code::ResourceExhausted,
        ),
        (
            Box::new(io::Error::other(TimeoutExpired(()))),
            Code::DeadlineExceeded,
        ),
        ("deadline exceeded".into(), Code::Unknown),
    ];
    for (error, code) in errors {
        let text = format!("{error:?}");
        assert_eq!(status_of(error).code(), code, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_in_the_chain_is_kept_whole() {
    let mut metadata = MetadataMap::new();
    metadata.insert("x-quota", "0".parse().unwrap());
    let details = Bytes::from_static(b"details");
    let told = Status::with_details_and_metadata(Code::Aborted, "try again", details, metadata);
    let error = Error::in_call(&trail().await, ErrorKind::Transport, told);
    let status = status_of(error.into());
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(status.message(), "try again");
    assert_eq!(status.details(), b"details");
    assert_eq!(status.metadata().get("x-quota").unwrap(), "0");
    assert!(trail_of(&status).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_gives_up_a_moment_early_does_not_take_the_deadlines_word() {
    for early in [0, 1, 2] {
        let inner = service_fn(move |request: Request<Body>| async move {
            let deadline = backstay::Call::of(request.extensions()).unwrap().deadline();
            sleep_until(deadline.instant().unwrap() - Duration::from_millis(early)).await;
            Err::<Response<Body>, BoxError>(TimeoutExpired(()).into())
        });
        let stack = ServiceBuilder::new()
            .layer(GrpcCallLayer::new(Methods::new()).unwrap())
            .deadline(Duration::from_secs(2))
            .unwrap()
            .fallback(targets())
            .unwrap()
            .layer(GrpcAttemptLayer::new())
            .service(inner);
        let start = Instant::now();
        let status = stack.oneshot(request()).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let error = Error::find(&status).unwrap();
        assert_eq!(error.kind(), ErrorKind::Deadline, "{early}");
        assert_eq!(error.trail().unwrap().attempts().len(), 1);
        let took = Instant::now().saturating_duration_since(start);
        assert!(took < Duration::from_millis(2_010), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_answers_before_tonics_own_timer() {
    for (timeout, latest) in [("400m", 396), ("8m", 7), ("1H", 10_000)] {
        let inner = service_fn(|request: Request<Body>| async move {
            assert!(request.extensions().get::<Deadline>().is_some());
            assert!(Deadline::ambient().is_some());
            std::future::pending::<Result<Response<Body>, BoxError>>().await
        });
        let server = ServiceBuilder::new()
            .layer(GrpcServerLayer::new())
            .deadline(Duration::from_secs(10))
            .unwrap()
            .service(inner);
        let mut request = request();
        let headers = request.headers_mut();
        headers.insert("grpc-timeout", timeout.parse().unwrap());
        let start = Instant::now();
        let response = server.oneshot(request).await.unwrap();
        let took = Instant::now().saturating_duration_since(start);
        assert_eq!(response.headers().get("grpc-status").unwrap(), "4");
        assert!(took <= Duration::from_millis(latest), "{took:?}");
        assert!(took >= Duration::from_millis(latest / 2), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_server_that_is_cut_ends_with_trailers() {
    let inner = service_fn(|_: Request<Body>| async {
        let (mut sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
        tokio::spawn(async move {
            let _ = sender.send_data(Bytes::from_static(b"message")).await;
            sleep(Duration::from_secs(60)).await;
        });
        Ok::<_, BoxError>(Response::new(body))
    });
    let server = ServiceBuilder::new()
        .layer(GrpcServerLayer::new())
        .deadline(Duration::from_secs(3))
        .unwrap()
        .service(inner);
    let mut body = server.oneshot(request()).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "message");
    let trailers = body
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!(trailers.get("grpc-status").unwrap(), "4");
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_a_servers_layers_are_called_is_not_told() {
    let inner = service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, BoxError>(
            Error::connect_timeout(Duration::ZERO, Duration::ZERO).into(),
        )
    });
    let server = ServiceBuilder::new()
        .layer(GrpcServerLayer::new())
        .service(inner);
    let response = server.oneshot(request()).await.unwrap();
    assert_eq!(response.headers().get("grpc-status").unwrap(), "14");
    let message = response.headers().get("grpc-message").unwrap();
    let plain = Code::Unavailable.description().replace(' ', "%20");
    assert_eq!(message.to_str().unwrap(), plain);
}

#[test]
fn settings_that_cannot_work_are_errors_at_build() {
    assert!(GrpcAttemptLayer::new().hold_bytes(0).is_err());
    let calls = GrpcCallLayer::new(Methods::new()).unwrap();
    assert!(calls.replay_limit(0).is_err());
    assert!(GrpcCallLayer::new(Methods::new().unary("no method/")).is_err());
    let channels = Channels::new(());
    assert!(channels.clone().and("http://other:50051", ()).is_ok());
    for bad in ["", "/path", "http://"] {
        assert!(channels.clone().and(bad, ()).is_err(), "{bad}");
    }
}

#[test]
fn the_stack_fits_wherever_tonic_asks_for_a_service() {
    fn service<S>(service: S) -> S
    where
        S: Service<Request<Body>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + Send + Sync,
    {
        service
    }
    fn body<B: Send + Sync + Unpin + Default + std::fmt::Debug>() {}

    body::<backstay_tonic::call::GrpcCallBody<Full<Bytes>>>();
    body::<backstay_tonic::attempt::GrpcAttemptBody<Full<Bytes>>>();
    body::<backstay_tonic::server::GrpcServerBody<Full<Bytes>>>();
    let channel = || tonic::transport::Endpoint::from_static("http://127.0.0.1:1");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let stack = service(
        ServiceBuilder::new()
            .layer(GrpcCallLayer::new(Methods::new()).unwrap())
            .on_cancel(|_| async {})
            .deadline(Duration::from_secs(1))
            .unwrap()
            .fallback(targets())
            .unwrap()
            .layer(GrpcAttemptLayer::new())
            .timeouts(Timeouts::recommended())
            .unwrap()
            .service(Channels::new(channel().connect_lazy())),
    );
    let _ = tonic_health::pb::health_client::HealthClient::new(stack);
}
