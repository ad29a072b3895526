//! The other ends: servers on loopback that count what they see.
#![allow(dead_code)]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    time,
};
use tokio_rustls::TlsAcceptor;

/// Far more than anything here needs, and the end of a test that hangs.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// An HTTP server whose answers tell what it saw, in headers `saw-*`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    opened: watch::Receiver<usize>,
    closed: watch::Receiver<usize>,
}

impl Server {
    pub(crate) async fn plain() -> Self {
        Self::start(None).await
    }

    pub(crate) async fn tls(identity: &Identity, alpn: &[&str]) -> Self {
        Self::start(Some(identity.acceptor(alpn))).await
    }

    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened_tx, opened) = watch::channel(0);
        let (closed_tx, closed) = watch::channel(0);
        let closed_tx = Arc::new(closed_tx);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened_tx.send_modify(|count| *count += 1);
                let tls = tls.clone();
                let closed_tx = Arc::clone(&closed_tx);
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream).await;
                            }
                        }
                        None => serve(stream).await,
                    }
                    closed_tx.send_modify(|count| *count += 1);
                });
            }
        });
        Self {
            address,
            opened,
            closed,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) fn connections(&self) -> usize {
        *self.opened.borrow()
    }

    pub(crate) async fn until_closed(&mut self, count: usize) {
        within(self.closed.wait_for(|closed| *closed >= count))
            .await
            .unwrap();
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let mut response = Response::builder()
        .header("saw-version", format!("{:?}", request.version()))
        .header("saw-uri", request.uri().to_string());
    for name in ["host", "user-agent", "proxy-authorization"] {
        if let Some(value) = request.headers().get(name) {
            response = response.header(format!("saw-{name}"), value);
        }
    }
    let with_trailers = request.uri().path() == "/trailers";
    let _ = request.into_body().collect().await;
    let body = Full::new(Bytes::from_static(b"hello"));
    let body = if with_trailers {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("end", http::HeaderValue::from_static("seen"));
        body.with_trailers(async move { Some(Ok(trailers)) })
            .boxed()
    } else {
        body.boxed()
    };
    Ok(response.body(body).unwrap())
}

/// A certificate for `localhost`, signed by itself.
pub(crate) struct Identity {
    pub(crate) pem: String,
    key: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            pem: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    pub(crate) fn acceptor(&self, alpn: &[&str]) -> TlsAcceptor {
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(self.pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Reads until the other end closes the connection.
pub(crate) async fn until_eof(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    within(async { while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {} }).await;
}

/// Reads a head, to its empty line, byte by byte so that nothing after it is lost.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    time::timeout(LONG, future).await.expect("the test hangs")
}

/// A GET without a body.
pub(crate) fn get(url: impl AsRef<str>) -> Request<Full<Bytes>> {
    Request::get(url.as_ref()).body(Full::default()).unwrap()
}
