//! The time left, told to the server that is called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BuildError, Deadline, ServiceBuilderExt,
    deadline::{DeadlineHeader, TimeForm},
    fallback::{Target, Targets},
    outbound::{Outbound, OutboundLayer},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use support::{Answer, Upstream, chat, seconds, send};
use tokio::time::Duration;
use tower::ServiceBuilder;

const MS: Duration = Duration::from_millis(1);

fn all(settings: Outbound) -> Outbound {
    let all = DeadlineHeader::KNOWN.into_iter();
    all.fold(settings, Outbound::header)
}

/// What the leaf sees of a request to this URI, with so much time left, by way of the mock.
async fn told(
    settings: Outbound,
    uri: &str,
    left: Option<Duration>,
    said: &[(&str, &str)],
) -> HeaderMap {
    let layer = OutboundLayer::new(settings).unwrap();
    let (mut mock, mut handle) =
        tower_test::mock::spawn_layer::<Request<Body>, Response<Full<Bytes>>, _>(layer);
    let request = said
        .iter()
        .fold(Request::post(uri), |request, (name, value)| {
            request.header(*name, *value)
        });
    let mut request = request.body(Body::default()).unwrap();
    if let Some(left) = left {
        request.extensions_mut().insert(Deadline::after(left));
    }
    assert!(mock.poll_ready().is_ready());
    let call = mock.call(request);
    let (seen, reply) = handle.next_request().await.unwrap();
    reply.send_response(Response::new(Full::default()));
    call.await.unwrap();
    seen.headers().clone()
}

const INNER: &str = "http://inner.example:8080/ask";

#[tokio::test(start_paused = true)]
async fn each_header_is_written_in_its_own_form_less_the_margin_and_rounded_down() {
    let settings = all(Outbound::new())
        .to("inner.example:8080")
        .margin(30 * MS);
    let left = Duration::new(2, 1_999_999);
    let headers = told(settings, INNER, Some(left), &[]).await;
    assert_eq!(headers["grpc-timeout"], "1971999u");
    assert_eq!(headers["connect-timeout-ms"], "1971");
    assert_eq!(headers["x-envoy-expected-rq-timeout-ms"], "1971");
    assert_eq!(headers["request-timeout"], "1.971");

    let whole = DeadlineHeader::new("request-timeout".parse().unwrap(), TimeForm::WholeSeconds);
    let settings = Outbound::new().header(whole).to_every_authority();
    let headers = told(settings, INNER, Some(left), &[]).await;
    assert_eq!(headers["request-timeout"], "1");
}

#[tokio::test(start_paused = true)]
async fn only_authorities_that_were_named_are_told() {
    let named = || {
        all(Outbound::new())
            .to("inner.example:8080")
            .to("Other.Example")
    };
    for (uri, is_told) in [
        (INNER, true),
        ("https://INNER.example:8080/", true),
        ("http://other.example/", true),
        ("http://other.example:80/", true),
        ("https://other.example:443/", true),
        ("http://someone@other.example/", true),
        ("http://other.example:443/", false),
        ("http://inner.example/", false),
        ("http://inner.example:8081/", false),
        ("http://not-inner.example:8080/", false),
        ("http://inner.example.evil.test:8080/", false),
        ("https://api.openai.com/v1/chat/completions", false),
        ("/relative", false),
    ] {
        let headers = told(named(), uri, Some(seconds(2)), &[]).await;
        for header in DeadlineHeader::KNOWN {
            assert_eq!(
                headers.contains_key(header.name()),
                is_told,
                "{uri} {header:?}"
            );
        }
        let everyone = all(Outbound::new()).to_every_authority();
        let headers = told(everyone, uri, Some(seconds(2)), &[]).await;
        assert!(headers.contains_key("request-timeout"), "{uri}");
    }
    // Nobody is, by default.
    let headers = told(all(Outbound::new()), INNER, Some(seconds(2)), &[]).await;
    assert!(headers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_header_of_the_callers_own_is_not_passed_on() {
    let said = [
        ("grpc-timeout", "9S"),
        ("connect-timeout-ms", "9"),
        ("x-envoy-expected-rq-timeout-ms", "9"),
        ("request-timeout", "9"),
        ("request-timeout", "99"),
        ("x-ours", "9"),
        ("x-stainless-timeout", "9"),
        ("accept", "*/*"),
    ];
    let ours = DeadlineHeader::new("x-ours".parse().unwrap(), TimeForm::Millis);
    let settings = || {
        let settings = Outbound::new().header(DeadlineHeader::REQUEST_TIMEOUT);
        settings.header(ours.clone()).to("inner.example:8080")
    };
    let elsewhere = "https://api.openai.com/";
    let headers = told(settings(), elsewhere, Some(seconds(2)), &said).await;
    let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "x-stainless-timeout"]);

    // Where it may be told, it is the layer's own and no other's.
    let headers = told(settings(), INNER, Some(seconds(2)), &said).await;
    let values: Vec<_> = headers.get_all("request-timeout").iter().collect();
    assert_eq!(values, ["1.99"]);
    assert_eq!(headers["x-ours"], "1990");
    assert!(!headers.contains_key("grpc-timeout"));

    // Nor without a deadline.
    let headers = told(settings(), INNER, None, &said).await;
    assert!(!headers.contains_key("request-timeout"));
}

#[tokio::test(start_paused = true)]
async fn grpc_keeps_the_header_of_its_own_protocol() {
    let said = [
        ("content-type", "application/grpc+proto"),
        ("grpc-timeout", "9S"),
    ];
    let headers = told(Outbound::new(), INNER, Some(seconds(2)), &said).await;
    assert_eq!(headers["grpc-timeout"], "9S");
    let settings = all(Outbound::new()).to_every_authority();
    let headers = told(settings, INNER, Some(seconds(2)), &said).await;
    assert_eq!(headers["grpc-timeout"], "1990000u");
}

#[tokio::test(start_paused = true)]
async fn with_less_than_the_margin_left_the_smallest_time_is_told_and_never_none() {
    for left in [Duration::ZERO, MS, 10 * MS] {
        let settings = all(Outbound::new()).to_every_authority();
        let headers = told(settings, INNER, Some(left), &[]).await;
        assert_eq!(headers["grpc-timeout"], "1n");
        assert_eq!(headers["connect-timeout-ms"], "1");
        assert_eq!(headers["x-envoy-expected-rq-timeout-ms"], "1");
        assert_eq!(headers["request-timeout"], "0.001");
    }
}

#[tokio::test(start_paused = true)]
async fn the_ambient_deadline_counts() {
    let settings = all(Outbound::new()).to_every_authority();
    let call = told(settings, INNER, Some(seconds(9)), &[]);
    let headers = Deadline::after(seconds(1)).scope(call).await;
    assert_eq!(headers["connect-timeout-ms"], "990");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_what_is_left_then() {
    let upstream = Upstream::new([
        Answer::status(503, "{}").after(seconds(1)),
        Answer::status(503, "{}").after(seconds(1)),
        Answer::stream(&["hi"]),
    ]);
    let targets = Targets::new("a")
        .then(Target::model("b").origin("https://other.example.com"))
        .then("c")
        .retries(0);
    let service = ServiceBuilder::new()
        .deadline(seconds(10))
        .unwrap()
        .fallback(targets.seed(7))
        .unwrap()
        .outbound(
            Outbound::new()
                .header(DeadlineHeader::CONNECT_TIMEOUT_MS)
                .to("api.example.com"),
        )
        .unwrap()
        .service(upstream.clone());
    let mut request = chat();
    let headers = request.headers_mut();
    headers.insert("connect-timeout-ms", "60000".parse().unwrap());
    send(&service, request).await.unwrap();
    let told: Vec<_> = upstream
        .seen()
        .iter()
        .map(|seen| seen.headers.get("connect-timeout-ms").cloned())
        .map(|value| value.map(|value| value.to_str().unwrap().parse::<u64>().unwrap()))
        .collect();
    // The second went to somebody else.
    assert_eq!(told, [Some(9_990), None, Some(7_990)]);
}

#[tokio::test(start_paused = true)]
async fn time_that_is_kept_for_untried_targets_is_not_told() {
    let upstream = Upstream::new([Answer::stream(&["hi"])]);
    let targets = Targets::new("a").then("b").reserve(seconds(4));
    let service = ServiceBuilder::new()
        .deadline(seconds(10))
        .unwrap()
        .fallback(targets)
        .unwrap()
        .outbound(all(Outbound::new()).to_every_authority())
        .unwrap()
        .service(upstream.clone());
    send(&service, chat()).await.unwrap();
    assert_eq!(upstream.seen()[0].headers["connect-timeout-ms"], "5990");
}

#[test]
fn what_is_no_authority_is_refused() {
    for odd in [
        "",
        "http://a.example",
        "a.example/x",
        "user@a.example",
        "a b",
    ] {
        let settings = Outbound::new().to(odd);
        let error = OutboundLayer::new(settings).unwrap_err();
        assert_eq!(
            error,
            BuildError::Authority {
                authority: odd.to_owned()
            }
        );
    }
}
