//! What the server sees of each attempt, and what it may ask for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stack;
mod wire;

use backstay::{
    Deadline, Error, ErrorKind,
    trail::{Next, Reason, WaitReason},
};
use backstay_tonic::{parse_grpc_timeout, trail_of};
use stack::{CHECK, Stack, ask};
use tokio::time::{Duration, Instant};
use tonic::{Code, Request};
use wire::{Script, Seen, Server, Step, within};

const SECOND: Duration = Duration::from_secs(1);

fn unavailable(more: Vec<(&'static str, &'static str)>) -> Script {
    vec![Step::TrailersOnly(14, more)]
}

fn good() -> Script {
    vec![Step::Head, Step::Message(2), Step::Trailers(0, vec![])]
}

fn timeout_of(seen: &Seen) -> Option<Duration> {
    let value = seen.headers.get("grpc-timeout")?;
    Some(parse_grpc_timeout(value.as_bytes()).expect("eight digits and a unit"))
}

fn previous(seen: &Seen) -> Option<&str> {
    seen.headers
        .get("grpc-previous-rpc-attempts")?
        .to_str()
        .ok()
}

#[tokio::test]
async fn each_attempt_tells_the_time_left_and_its_number() {
    let server = Server::start(vec![
        unavailable(vec![("grpc-retry-pushback-ms", "200")]),
        unavailable(vec![("grpc-retry-pushback-ms", "200")]),
        good(),
    ])
    .await;
    let stack = Stack {
        budget: 20 * SECOND,
        ..Stack::default()
    };
    let start = Instant::now();
    within(stack.client(&[server.origin()]).check(ask()))
        .await
        .unwrap();
    let seen = server.seen();
    let numbers: Vec<_> = seen.iter().map(previous).collect();
    assert_eq!(numbers, [None, Some("1"), Some("2")]);
    for seen in &seen {
        assert_eq!(seen.headers.get("te").unwrap(), "trailers");
        let told = timeout_of(seen).unwrap();
        let gone = seen.at.saturating_duration_since(start);
        // What is told is what is left, and the way there is not longer than the bound.
        assert!(told <= 20 * SECOND);
        assert!(told + gone >= 20 * SECOND - Duration::from_millis(1));
        assert!(told + gone < 21 * SECOND, "{told:?} after {gone:?}");
    }
    let told: Vec<_> = seen.iter().map(|seen| timeout_of(seen).unwrap()).collect();
    assert!(told[0] - told[1] >= Duration::from_millis(200), "{told:?}");
    assert!(told[1] - told[2] >= Duration::from_millis(200), "{told:?}");
}

#[tokio::test]
async fn the_lower_of_the_callers_timeout_and_the_budget_holds() {
    for (budget, asked, expected) in [(20, 5, 5), (5, 20, 5)] {
        let server = Server::start(vec![good()]).await;
        let stack = Stack {
            budget: budget * SECOND,
            ..Stack::default()
        };
        let mut request = Request::new(ask());
        request.set_timeout(asked * SECOND);
        within(stack.client(&[server.origin()]).check(request))
            .await
            .unwrap();
        let told = timeout_of(&server.seen()[0]).unwrap();
        assert!(
            told <= expected * SECOND && told > (expected - 1) * SECOND,
            "{told:?}"
        );
    }
    // And the call ends then, retries or not.
    let server = Server::start(vec![vec![Step::Hang]]).await;
    let stack = Stack::default();
    let mut request = Request::new(ask());
    request.set_timeout(Duration::from_millis(100));
    let status = within(stack.client(&[server.origin()]).check(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let error = Error::find(&status).unwrap();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(error.elapsed().unwrap() >= Duration::from_millis(100));
}

#[tokio::test]
async fn the_ambient_deadline_and_the_requests_own_are_told_too() {
    let server = Server::start(vec![good()]).await;
    let stack = Stack::default();
    let mut client = stack.client(&[server.origin()]);
    within(Deadline::after(3 * SECOND).scope(client.check(ask())))
        .await
        .unwrap();
    let mut request = Request::new(ask());
    request.extensions_mut().insert(Deadline::after(2 * SECOND));
    within(client.check(request)).await.unwrap();
    let seen = server.seen();
    assert!(timeout_of(&seen[0]).unwrap() <= 3 * SECOND);
    assert!(timeout_of(&seen[1]).unwrap() <= 2 * SECOND);
}

#[tokio::test]
async fn an_attempt_is_told_what_the_reserve_leaves_it() {
    let first = Server::start(vec![unavailable(vec![])]).await;
    let second = Server::start(vec![good()]).await;
    let stack = Stack {
        budget: 20 * SECOND,
        retries: 0,
        change: |targets| targets.reserve(8 * SECOND),
        ..Stack::default()
    };
    let origins = [first.origin(), second.origin()];
    within(stack.client(&origins).check(ask())).await.unwrap();
    let told = timeout_of(&first.seen()[0]).unwrap();
    assert!(told <= 12 * SECOND && told > 11 * SECOND, "{told:?}");
    let told = timeout_of(&second.seen()[0]).unwrap();
    assert!(told <= 20 * SECOND && told > 18 * SECOND, "{told:?}");
    assert_eq!(previous(&second.seen()[0]), Some("1"));
}

#[tokio::test]
async fn a_pushback_is_waited_for() {
    let script = unavailable(vec![("grpc-retry-pushback-ms", "150")]);
    let server = Server::start(vec![script, good()]).await;
    within(Stack::default().client(&[server.origin()]).check(ask()))
        .await
        .unwrap();
    let seen = server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_pushback_in_trailers_is_waited_for() {
    let more = vec![("grpc-retry-pushback-ms", "150")];
    let script = vec![Step::Head, Step::Message(1), Step::Trailers(14, more)];
    let server = Server::start(vec![script, good()]).await;
    within(Stack::default().client(&[server.origin()]).check(ask()))
        .await
        .unwrap();
    let seen = server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_negative_or_unreadable_pushback_is_the_end_of_retries() {
    for value in ["-1", "soon"] {
        let script = unavailable(vec![("grpc-retry-pushback-ms", value)]);
        let server = Server::start(vec![script, good()]).await;
        let status = within(Stack::default().client(&[server.origin()]).check(ask()))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(server.seen().len(), 1, "{value}");
        let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        assert_eq!(pushback, value);
        // It is the server's word for itself: another one may be asked.
        let script = unavailable(vec![("grpc-retry-pushback-ms", value)]);
        let server = Server::start(vec![script]).await;
        let other = Server::start(vec![good()]).await;
        let origins = [server.origin(), other.origin()];
        within(Stack::default().client(&origins).check(ask()))
            .await
            .unwrap();
        assert_eq!(server.seen().len(), 1, "{value}");
    }
}

#[tokio::test]
async fn a_pushback_that_does_not_fit_is_not_slept() {
    let script = unavailable(vec![("grpc-retry-pushback-ms", "10000")]);
    let server = Server::start(vec![script]).await;
    let stack = Stack {
        budget: 5 * SECOND,
        ..Stack::default()
    };
    let start = Instant::now();
    let status = within(stack.client(&[server.origin()]).check(ask()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let took = Instant::now().saturating_duration_since(start);
    assert!(took < 4 * SECOND, "{took:?}");
    let attempts = trail_of(&status).unwrap().attempts();
    assert_eq!(attempts[0].next, Some(Next::Stop(Reason::WaitDoesNotFit)));
}

#[tokio::test]
async fn retry_after_as_metadata_is_waited_for() {
    let script = vec![Step::TrailersOnly(8, vec![("retry-after", "0.1")])];
    let server = Server::start(vec![script.clone(), good()]).await;
    within(Stack::default().client(&[server.origin()]).check(ask()))
        .await
        .unwrap();
    let seen = server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(100));
    let server = Server::start(vec![script]).await;
    let status = within(Stack::default().client(&[server.origin()]).check(ask()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let attempts = trail_of(&status).unwrap().attempts();
    let reason = attempts[0].wait.map(|wait| wait.reason);
    assert_eq!(reason, Some(WaitReason::ServerHint));
}

#[tokio::test]
async fn another_target_gets_no_credential_and_the_same_message() {
    let first = Server::start(vec![unavailable(vec![])]).await;
    let second = Server::start(vec![good()]).await;
    let stack = Stack {
        retries: 0,
        ..Stack::default()
    };
    let mut request = Request::new(ask());
    let metadata = request.metadata_mut();
    metadata.insert("authorization", "Bearer secret".parse().unwrap());
    metadata.insert("x-tenant", "blue".parse().unwrap());
    let origins = [first.origin(), second.origin()];
    within(stack.client(&origins).check(request)).await.unwrap();
    let (first, second) = (
        first.until(|seen| seen[0].body > 0).await,
        second.until(|seen| seen[0].body > 0).await,
    );
    assert_eq!(
        first[0].headers.get("authorization").unwrap(),
        "Bearer secret"
    );
    assert_eq!(second[0].headers.get("authorization"), None);
    assert_eq!(second[0].headers.get("x-tenant"), None);
    assert_eq!(second[0].headers.get("te").unwrap(), "trailers");
    assert_eq!(
        second[0].headers.get("content-type").unwrap(),
        "application/grpc"
    );
    assert_eq!(second[0].path, format!("/{CHECK}"));
    assert_eq!(first[0].body, second[0].body);
}

#[tokio::test]
async fn the_endpoints_own_timeout_is_a_failure_of_the_attempt() {
    use backstay::{
        ServiceBuilderExt,
        fallback::{Target, Targets},
    };
    use backstay_tonic::{Grpc, GrpcAttemptLayer, GrpcCallLayer, Methods};
    use tonic_health::pb::health_client::HealthClient;

    let server = Server::start(vec![vec![Step::Hang], good()]).await;
    let channel = tonic::transport::Endpoint::from_shared(server.origin())
        .unwrap()
        .timeout(Duration::from_millis(100))
        .connect_lazy();
    for idempotent in [false, true] {
        let mut methods = Methods::new().unary(CHECK);
        if idempotent {
            methods = methods.idempotent(CHECK);
        }
        let stack = tower::ServiceBuilder::new()
            .layer(GrpcCallLayer::new(methods).unwrap())
            .deadline(20 * SECOND)
            .unwrap()
            .fallback(Targets::new(Target::named("store").dialect(Grpc)))
            .unwrap()
            .layer(GrpcAttemptLayer::new())
            .service(channel.clone());
        let end = within(HealthClient::new(stack).check(ask())).await;
        match end {
            Ok(_) => assert!(idempotent),
            // tonic alone says `Cancelled`.
            Err(status) => {
                assert!(!idempotent);
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
                assert!(trail_of(&status).unwrap().attempts()[0].uncertain);
            }
        }
    }
}

#[tokio::test]
async fn without_a_deadline_layer_the_channels_timer_still_ends_the_call() {
    use backstay_tonic::{GrpcAttemptLayer, GrpcCallLayer, Methods};
    use tonic_health::pb::health_client::HealthClient;

    let server = Server::start(vec![vec![Step::Hang]]).await;
    let stack = tower::ServiceBuilder::new()
        .layer(GrpcCallLayer::new(Methods::new()).unwrap())
        .layer(GrpcAttemptLayer::new())
        .service(stack::channel(&server.origin()));
    let mut request = Request::new(ask());
    request.set_timeout(Duration::from_millis(100));
    let status = within(HealthClient::new(stack).check(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(timeout_of(&server.seen()[0]).unwrap() <= Duration::from_millis(100));
}
