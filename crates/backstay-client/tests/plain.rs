//! Requests, connections and bodies over plain sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod peer;

use backstay::transport::FreshConnection;
use backstay_client::{
    BuildError, Builder, Client, ConnectionReuse, Error, ErrorKind, Proxy, ResponseBody,
    ResponseFuture,
};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use peer::{LONG, Server, get, head, within};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpListener, time};
use tower::ServiceExt;

type TestClient = Client<Full<Bytes>>;

fn builder() -> Builder {
    Client::builder()
        .allow_http_loopback(true)
        .proxy(Proxy::none())
}

async fn send(
    client: &TestClient,
    request: http::Request<Full<Bytes>>,
) -> Result<Response<ResponseBody>, Error> {
    within(client.clone().oneshot(request)).await
}

/// Sends, reads the whole answer, and lets hyper put the connection back.
async fn round_trip(client: &TestClient, request: http::Request<Full<Bytes>>) -> Response<Bytes> {
    let (parts, body) = send(client, request).await.unwrap().into_parts();
    let bytes = within(body.collect()).await.unwrap().to_bytes();
    time::sleep(Duration::from_millis(50)).await;
    Response::from_parts(parts, bytes)
}

fn reused(response: &Response<Bytes>) -> bool {
    response
        .extensions()
        .get::<ConnectionReuse>()
        .unwrap()
        .reused
}

#[test]
fn types_fit_anywhere() {
    fn everywhere<T: Clone + Send + Sync + Unpin + std::fmt::Debug>() {}
    fn body<T: Send + Sync + Unpin + Default + std::fmt::Debug>() {}
    fn future<T: Send + Sync + Unpin>() {}
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    everywhere::<TestClient>();
    body::<ResponseBody>();
    future::<ResponseFuture>();
    error::<Error>();
    error::<BuildError>();
}

#[tokio::test]
async fn plain_http_is_refused_unless_asked_for() {
    let server = Server::plain().await;
    let local = || get(server.url("/"));
    let remote = || get("http://192.0.2.1/");

    let strict: TestClient = Client::builder().proxy(Proxy::none()).build().unwrap();
    let error = send(&strict, local()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PlainHttp);
    assert!(error.was_not_sent());
    assert_eq!(server.connections(), 0);

    let loopback: TestClient = builder().build().unwrap();
    assert!(send(&loopback, local()).await.is_ok());
    let error = send(&loopback, remote()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PlainHttp);

    let open: TestClient = builder().allow_http(true).build().unwrap();
    assert!(send(&open, local()).await.is_ok());
}

#[tokio::test]
async fn loopback_through_a_proxy_is_not_loopback() {
    let proxied: TestClient = builder()
        .proxy(Proxy::url("http://192.0.2.1:3128"))
        .build()
        .unwrap();
    let error = send(&proxied, get("http://localhost/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PlainHttp);
}

#[tokio::test]
async fn a_uri_that_cannot_be_sent_is_told_apart() {
    let client: TestClient = builder().build().unwrap();
    for (uri, kind) in [
        ("/v1/chat", ErrorKind::RelativeUri),
        ("ftp://localhost/", ErrorKind::UnsupportedScheme),
        ("https://user:secret@localhost/", ErrorKind::UserInfo),
    ] {
        let error = send(&client, get(uri)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn an_http1_connection_is_used_again_and_says_so() {
    let server = Server::plain().await;
    let client: TestClient = builder().build().unwrap();
    let first = round_trip(&client, get(server.url("/"))).await;
    let second = round_trip(&client, get(server.url("/"))).await;
    assert!(!reused(&first));
    assert!(reused(&second));
    assert_eq!(server.connections(), 1);
    assert_eq!(second.headers()["saw-version"], "HTTP/1.1");
    assert_eq!(second.headers()["saw-host"], server.address.to_string());
    assert_eq!(second.headers()["saw-uri"], "/");
}

#[tokio::test]
async fn a_fresh_connection_is_new_and_leaves_the_pool_alone() {
    let server = Server::plain().await;
    let client: TestClient = builder().build().unwrap();
    round_trip(&client, get(server.url("/"))).await;

    let mut request = get(server.url("/"));
    request.extensions_mut().insert(FreshConnection);
    let fresh = round_trip(&client, request).await;
    assert!(!reused(&fresh));
    assert_eq!(server.connections(), 2);

    assert!(reused(&round_trip(&client, get(server.url("/"))).await));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_fresh_connection_is_new_over_http2_too() {
    let server = Server::plain().await;
    let client: TestClient = builder().http2_only().build().unwrap();
    round_trip(&client, get(server.url("/"))).await;
    let mut request = get(server.url("/"));
    request.extensions_mut().insert(FreshConnection);
    assert!(!reused(&round_trip(&client, request).await));
    assert_eq!(server.connections(), 2);
    assert!(reused(&round_trip(&client, get(server.url("/"))).await));
}

#[tokio::test]
async fn without_a_pool_every_request_has_its_own_connection() {
    let server = Server::plain().await;
    let client: TestClient = builder().pool_max_idle_per_host(0).build().unwrap();
    for _ in 0..3 {
        assert!(!reused(&round_trip(&client, get(server.url("/"))).await));
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_the_idle_timeout() {
    let mut server = Server::plain().await;
    let idle = Duration::from_millis(300);
    let client: TestClient = builder().pool_idle_timeout(idle).build().unwrap();
    let started = time::Instant::now();
    round_trip(&client, get(server.url("/"))).await;
    server.until_closed(1).await;
    assert!(time::Instant::now().saturating_duration_since(started) >= idle);
}

#[tokio::test]
async fn http2_by_prior_knowledge_shares_one_connection() {
    let server = Server::plain().await;
    let client: TestClient = builder().http2_only().build().unwrap();
    let first = round_trip(&client, get(server.url("/"))).await;
    assert!(!reused(&first));
    let (a, b) = tokio::join!(
        round_trip(&client, get(server.url("/a"))),
        round_trip(&client, get(server.url("/b"))),
    );
    assert_eq!(a.headers()["saw-version"], "HTTP/2.0");
    assert_eq!(b.headers()["saw-version"], "HTTP/2.0");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_that_came_over_http2_can_go_on_over_http1() {
    let server = Server::plain().await;
    let client: TestClient = builder().build().unwrap();
    let mut request = get(server.url("/"));
    *request.version_mut() = http::Version::HTTP_2;
    let response = round_trip(&client, request).await;
    assert_eq!(response.headers()["saw-version"], "HTTP/1.1");
}

#[tokio::test]
async fn the_user_agent_is_the_callers_then_the_builders() {
    let server = Server::plain().await;
    let plain: TestClient = builder().build().unwrap();
    let named: TestClient = builder().user_agent("mine/1").build().unwrap();

    let response = round_trip(&plain, get(server.url("/"))).await;
    let seen = response.headers()["saw-user-agent"].to_str().unwrap();
    assert!(seen.starts_with("backstay/"));

    let response = round_trip(&named, get(server.url("/"))).await;
    assert_eq!(response.headers()["saw-user-agent"], "mine/1");

    let mut request = get(server.url("/"));
    request
        .headers_mut()
        .insert("user-agent", http::HeaderValue::from_static("theirs/2"));
    let response = round_trip(&named, request).await;
    assert_eq!(response.headers()["saw-user-agent"], "theirs/2");
}

#[tokio::test]
async fn a_body_tells_its_length_end_and_trailers() {
    let empty = ResponseBody::default();
    assert!(empty.is_end_stream());
    assert_eq!(empty.size_hint().exact(), Some(0));
    assert!(empty.collect().await.unwrap().to_bytes().is_empty());

    let server = Server::plain().await;
    let client: TestClient = builder().http2_only().build().unwrap();
    let body = send(&client, get(server.url("/")))
        .await
        .unwrap()
        .into_body();
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(5));

    let body = send(&client, get(server.url("/trailers")))
        .await
        .unwrap()
        .into_body();
    let collected = within(body.collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["end"], "seen");
    assert_eq!(collected.to_bytes(), "hello");
}

#[tokio::test]
async fn a_body_that_is_cut_fails_as_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let client: TestClient = builder().build().unwrap();
    let body = send(&client, get(url)).await.unwrap().into_body();
    let error = within(body.collect()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body);
    assert!(!error.was_not_sent());
}

#[tokio::test]
async fn what_was_sent_and_what_was_not_are_told_apart() {
    let client: TestClient = builder().build().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        // Answers once, then closes the used connection under the second request.
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        head(&mut stream).await;
        drop(stream);
        // Closes a new connection under its first request.
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
    });
    round_trip(&client, get(&url)).await;
    let on_used = send(&client, get(&url)).await.unwrap_err();
    assert_eq!(on_used.kind(), ErrorKind::Exchange);
    assert!(!on_used.was_not_sent());
    assert!(on_used.connection_reuse().unwrap().reused);

    let on_new = send(&client, get(&url)).await.unwrap_err();
    assert_eq!(on_new.kind(), ErrorKind::Exchange);
    assert!(!on_new.connection_reuse().unwrap().reused);

    within(server).await.unwrap();
    // Nobody listens there any more.
    let refused = send(&client, get(&url)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Connect);
    assert!(refused.was_not_sent());
    assert_eq!(refused.connection_reuse(), None);
}

#[tokio::test]
async fn a_dropped_future_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let client: TestClient = builder().build().unwrap();
    let call = tokio::spawn(client.clone().oneshot(get(url)));
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    head(&mut stream).await;
    call.abort();
    peer::until_eof(stream).await;
}

#[test]
fn what_can_never_work_is_an_error_at_build() {
    let build = |builder: Builder| builder.build::<Full<Bytes>>().map(drop);
    let zero = Duration::ZERO;
    for builder in [
        builder().connect_timeout(zero),
        builder().pool_idle_timeout(zero),
        builder().tcp_keepalive(zero),
        builder().tcp_user_timeout(zero),
        builder().http2_keep_alive_interval(zero),
        builder().http2_keep_alive_timeout(zero),
        builder().http2_max_header_list_size(0),
    ] {
        assert!(matches!(build(builder), Err(BuildError::Zero { .. })));
    }
    assert!(matches!(
        build(builder().pool_max_idle_per_host(usize::MAX)),
        Err(BuildError::TooLarge { .. })
    ));
    assert!(matches!(
        build(builder().user_agent("a\nb")),
        Err(BuildError::UserAgent)
    ));
    for url in ["", "ftp://proxy.example", "http://", "not a url"] {
        assert!(matches!(
            build(builder().proxy(Proxy::url(url))),
            Err(BuildError::Proxy)
        ));
    }
    for pem in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(matches!(
            build(builder().add_root_certificate_pem(pem.as_bytes())),
            Err(BuildError::RootCertificate { .. })
        ));
    }
}

#[tokio::test]
async fn never_is_a_legal_duration() {
    let server = Server::plain().await;
    for builder in [builder(), builder().http2_only()] {
        let never = Duration::MAX;
        let client: TestClient = builder
            .connect_timeout(never)
            .pool_idle_timeout(never)
            .tcp_keepalive(never)
            .tcp_user_timeout(never)
            .http2_keep_alive_interval(LONG)
            .http2_keep_alive_timeout(never)
            .build()
            .unwrap();
        round_trip(&client, get(server.url("/"))).await;
        assert!(reused(&round_trip(&client, get(server.url("/"))).await));
    }
}
