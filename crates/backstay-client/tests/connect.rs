//! TLS, ALPN, and the clock over everything that it takes to get a connection.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod peer;

use backstay_client::{Builder, Client, Error, ErrorKind, Proxy};
use bytes::Bytes;
use http_body_util::Full;
use peer::{Identity, Server, get, serve, until_eof, within};
use std::{error::Error as StdError, time::Duration};
use tokio::{net::TcpListener, time::Instant};
use tower::ServiceExt;

type TestClient = Client<Full<Bytes>>;

fn builder() -> Builder {
    Client::builder().proxy(Proxy::none())
}

fn chain_has<E: StdError + 'static>(error: &Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        // An io::Error passes over what it wraps when asked for its source.
        if let Some(inner) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            && inner.is::<E>()
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[tokio::test]
async fn alpn_chooses_the_version() {
    let identity = Identity::new();
    let both = ["h2", "http/1.1"];
    for (offered, builder, version) in [
        (&both[..], builder(), "HTTP/2.0"),
        (&both[1..], builder(), "HTTP/1.1"),
        (&[][..], builder(), "HTTP/1.1"),
        (&both[..], builder().http1_only(), "HTTP/1.1"),
        (&both[..], builder().http2_only(), "HTTP/2.0"),
        (&both[..], builder().http1_only().http2_only(), "HTTP/2.0"),
    ] {
        let server = Server::tls(&identity, offered).await;
        let client: TestClient = builder
            .add_root_certificate_pem(identity.pem.as_bytes())
            .build()
            .unwrap();
        let response = within(client.oneshot(get(server.https("/"))))
            .await
            .unwrap();
        assert_eq!(response.headers()["saw-version"], version);
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_we_trust_is_refused() {
    let identity = Identity::new();
    let server = Server::tls(&identity, &["http/1.1"]).await;
    let client: TestClient = builder()
        .add_root_certificate_pem(Identity::new().pem.as_bytes())
        .build()
        .unwrap();
    let error = within(client.oneshot(get(server.https("/"))))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(chain_has::<rustls::Error>(&error));
}

#[tokio::test]
async fn a_stalled_handshake_ends_at_the_connect_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let limit = Duration::from_millis(300);
    let client: TestClient = builder().connect_timeout(limit).build().unwrap();

    let started = Instant::now();
    let call = tokio::spawn(client.oneshot(get(url)));
    let (stream, _) = within(listener.accept()).await.unwrap();
    let error = within(call).await.unwrap().unwrap_err();
    let elapsed = Instant::now().saturating_duration_since(started);

    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.was_not_sent());
    assert!(chain_has::<backstay::Error>(&error));
    assert!(elapsed >= limit, "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    until_eof(stream).await;
}

#[tokio::test]
async fn a_dropped_future_ends_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let client: TestClient = builder()
        .connect_timeout(Duration::from_secs(600))
        .build()
        .unwrap();
    let call = tokio::spawn(client.clone().oneshot(get(url)));
    let (stream, _) = within(listener.accept()).await.unwrap();
    call.abort();
    until_eof(stream).await;
    drop(client);
}

#[tokio::test]
async fn a_connection_that_stalls_or_is_cancelled_holds_up_no_other_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let identity = Identity::new();
    let client: TestClient = builder()
        .http2_only()
        .add_root_certificate_pem(identity.pem.as_bytes())
        .build()
        .unwrap();

    let first = tokio::spawn(client.clone().oneshot(get(&url)));
    let (stalled, _) = within(listener.accept()).await.unwrap();
    let second = tokio::spawn(client.oneshot(get(&url)));
    let (stream, _) = within(listener.accept()).await.unwrap();
    let acceptor = identity.acceptor(&["h2"]);
    tokio::spawn(async move { serve(acceptor.accept(stream).await.unwrap()).await });
    first.abort();
    let response = within(second).await.unwrap().unwrap();
    assert_eq!(response.headers()["saw-version"], "HTTP/2.0");
    until_eof(stalled).await;
}
