//! The ways through proxies.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod peer;

use backstay_client::{Builder, Client, ErrorKind, Proxy};
use bytes::Bytes;
use http_body_util::Full;
use peer::{Identity, Server, get, head, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::ServiceExt;

type TestClient = Client<Full<Bytes>>;

/// `user:p@ss`, as a URL writes it and as the wire does.
const USERINFO: &str = "user:p%40ss";
const BASIC: &str = "Basic dXNlcjpwQHNz";

fn builder(proxy: Proxy) -> Builder {
    Client::builder().allow_http(true).proxy(proxy)
}

/// A listener and its URL with credentials.
async fn listen(scheme: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, format!("{scheme}://{USERINFO}@{address}"))
}

/// Takes one CONNECT, joins it to `target`, and returns the CONNECT's head.
fn tunnel(listener: TcpListener, target: std::net::SocketAddr) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let head = head(&mut client).await;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        join(client, target);
        head
    })
}

fn join(mut client: TcpStream, target: std::net::SocketAddr) {
    tokio::spawn(async move {
        let mut server = TcpStream::connect(target).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut server).await;
    });
}

#[tokio::test]
async fn https_goes_through_a_tunnel_with_credentials() {
    let identity = Identity::new();
    let server = Server::tls(&identity, &["h2"]).await;
    let (listener, url) = listen("http").await;
    let tunnel = tunnel(listener, server.address);
    let client: TestClient = builder(Proxy::url(url))
        .add_root_certificate_pem(identity.pem.as_bytes())
        .build()
        .unwrap();

    let response = within(client.oneshot(get(server.https("/"))))
        .await
        .unwrap();
    assert_eq!(response.headers()["saw-version"], "HTTP/2.0");
    assert!(!response.headers().contains_key("saw-proxy-authorization"));

    let head = within(tunnel).await.unwrap();
    let target = format!("CONNECT localhost:{} HTTP/1.1\r\n", server.address.port());
    assert!(head.starts_with(&target));
    let wanted = format!("proxy-authorization: {BASIC}\r\n").to_lowercase();
    assert!(head.to_lowercase().contains(&wanted));
}

#[tokio::test]
async fn plain_http_is_forwarded_in_absolute_form_with_credentials() {
    let proxy = Server::plain().await;
    let url = format!("http://{USERINFO}@{}", proxy.address);
    let client: TestClient = builder(Proxy::url(url)).build().unwrap();
    let response = within(client.oneshot(get("http://destination.invalid/path?q=1")))
        .await
        .unwrap();
    let headers = response.headers();
    assert_eq!(headers["saw-uri"], "http://destination.invalid/path?q=1");
    assert_eq!(headers["saw-host"], "destination.invalid");
    assert_eq!(headers["saw-proxy-authorization"], BASIC);
}

#[tokio::test]
async fn http2_without_tls_is_tunnelled_to_port_80() {
    let server = Server::plain().await;
    let (listener, url) = listen("http").await;
    let tunnel = tunnel(listener, server.address);
    let client: TestClient = builder(Proxy::url(url)).http2_only().build().unwrap();
    let response = within(client.oneshot(get("http://destination.invalid/")))
        .await
        .unwrap();
    assert_eq!(response.headers()["saw-version"], "HTTP/2.0");
    assert!(!response.headers().contains_key("saw-proxy-authorization"));
    let head = within(tunnel).await.unwrap();
    assert!(head.starts_with("CONNECT destination.invalid:80 "));
}

#[tokio::test]
async fn who_is_in_no_proxy_is_reached_directly() {
    let server = Server::plain().await;
    let proxy = Server::plain().await;
    let url = format!("http://{}", proxy.address);

    let client: TestClient = builder(Proxy::url(&url).no_proxy("example.com, 127.0.0.0/8"))
        .build()
        .unwrap();
    let response = within(client.oneshot(get(server.url("/")))).await.unwrap();
    assert_eq!(response.headers()["saw-uri"], "/");
    assert_eq!(proxy.connections(), 0);

    let client: TestClient = builder(Proxy::url(&url).no_proxy("example.com"))
        .build()
        .unwrap();
    within(client.oneshot(get(server.url("/")))).await.unwrap();
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_proxy_that_wants_other_credentials_is_a_connect_failure() {
    let (listener, url) = listen("http").await;
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        head(&mut client).await;
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
        client.write_all(answer.as_bytes()).await.unwrap();
    });
    let client: TestClient = builder(Proxy::url(url)).build().unwrap();
    let shown = format!("{client:?}");
    let error = within(client.oneshot(get("https://destination.invalid/")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.was_not_sent());
    let shown = format!("{shown} {error} {error:?}");
    for secret in ["p@ss", "p%40ss", "dXNlcjpwQHNz"] {
        assert!(!shown.contains(secret));
    }
}

#[tokio::test]
async fn socks5_takes_names_credentials_and_the_right_port() {
    let server = Server::plain().await;
    let (listener, url) = listen("socks5h").await;
    let target = server.address;
    let socks = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        // RFC 1928 section 3: version 5, the methods; user and password (2) is chosen.
        let methods = take(&mut client, 2).await[1];
        assert!(take(&mut client, methods.into()).await.contains(&2));
        client.write_all(&[5, 2]).await.unwrap();
        // RFC 1929 section 2.
        let user = take(&mut client, 2).await[1];
        let user = take(&mut client, user.into()).await;
        let password = take(&mut client, 1).await[0];
        let password = take(&mut client, password.into()).await;
        client.write_all(&[1, 0]).await.unwrap();
        // RFC 1928 section 4: CONNECT (1) to a name (3).
        assert_eq!(take(&mut client, 4).await, [5, 1, 0, 3]);
        let name = take(&mut client, 1).await[0];
        let name = take(&mut client, name.into()).await;
        let port = client.read_u16().await.unwrap();
        client
            .write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])
            .await
            .unwrap();
        join(client, target);
        (user, password, name, port)
    });
    let client: TestClient = builder(Proxy::url(url)).build().unwrap();
    let response = within(client.oneshot(get("http://destination.invalid/")))
        .await
        .unwrap();
    assert_eq!(response.headers()["saw-uri"], "/");
    let (user, password, name, port) = within(socks).await.unwrap();
    assert_eq!((&user[..], &password[..]), (&b"user"[..], &b"p@ss"[..]));
    assert_eq!(name, b"destination.invalid");
    assert_eq!(port, 80);
}

async fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}
