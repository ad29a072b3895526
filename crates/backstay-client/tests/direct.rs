//! Plain HTTP/1.1 straight to a server: what becomes of its connections.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod peer;

use backstay_client::{Client, ConnectionReuse, Proxy, ResponseBody};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peer::{LONG, get, head, until_eof, within};
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt;

const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn client<B>() -> Client<B>
where
    B: Body + Send,
    B::Data: Send,
{
    Client::builder()
        .allow_http_loopback(true)
        .proxy(Proxy::none())
        .build()
        .unwrap()
}

async fn send(client: &Client<Full<Bytes>>, url: &str) -> Response<ResponseBody> {
    within(client.clone().oneshot(get(url))).await.unwrap()
}

fn reused(response: &Response<ResponseBody>) -> bool {
    let reuse = response.extensions().get::<ConnectionReuse>();
    reuse.unwrap().reused
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

/// More than the sockets on the way from a server to a reader who does not read can hold.
const PIECES: usize = 512;
const PIECE: usize = 64 * 1024;
/// How long nothing moves when nothing can.
const STUCK: Duration = Duration::from_millis(200);

/// Takes a connection, and answers its first request.
async fn answered(listener: &TcpListener, answer: &[u8]) -> TcpStream {
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    head(&mut stream).await;
    stream.write_all(answer).await.unwrap();
    stream
}

/// What was written has arrived at the other end of a loopback socket by then.
async fn a_moment() {
    time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_call() {
    let (listener, url) = listen().await;
    let client = client();
    let (first, stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    drop((first, stream));
    a_moment().await;
    let (second, _stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    assert!(!reused(&second));
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_given_to_nobody() {
    let (listener, url) = listen().await;
    let client = client();
    let (_, mut stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    let unasked = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(unasked).await.unwrap();
    a_moment().await;
    let (second, _stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    assert_eq!(second.status(), StatusCode::OK);
    assert!(!reused(&second));
}

#[tokio::test]
async fn a_server_that_says_close_gets_no_second_request() {
    let (listener, url) = listen().await;
    let client = client();
    let last = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (_, stream) = tokio::join!(send(&client, &url), answered(&listener, last));
    until_eof(stream).await;
    let (second, _stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    assert!(!reused(&second));
}

#[tokio::test]
async fn a_stream_left_after_its_last_data_gives_its_connection_back() {
    let (listener, url) = listen().await;
    let client = client();
    let (response, mut stream) = tokio::join!(send(&client, &url), answered(&listener, CHUNKED));
    stream.write_all(b"3\r\nend\r\n0\r\n\r\n").await.unwrap();
    let mut body = response.into_body();
    let frame = within(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "end");
    drop(body);

    let again = tokio::spawn(async move { send(&client, &url).await });
    head(&mut stream).await;
    stream.write_all(EMPTY).await.unwrap();
    assert!(reused(&within(again).await.unwrap()));
}

#[tokio::test]
async fn a_stream_left_in_its_middle_closes_its_connection() {
    let (listener, url) = listen().await;
    let client = client();
    let (response, mut stream) = tokio::join!(send(&client, &url), answered(&listener, CHUNKED));
    stream.write_all(b"3\r\none\r\n").await.unwrap();
    let mut body = response.into_body();
    within(body.frame()).await.unwrap().unwrap();
    drop(body);
    until_eof(stream).await;
    let (second, _stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    assert!(!reused(&second));
}

#[tokio::test]
async fn a_stream_read_to_its_end_gives_its_connection_back_at_once() {
    let (listener, url) = listen().await;
    let client = client();
    let (response, mut stream) = tokio::join!(send(&client, &url), answered(&listener, CHUNKED));
    let mut body = response.into_body();
    for (piece, data) in [(&b"1\r\na\r\n"[..], "a"), (b"1\r\nb\r\n", "b")] {
        stream.write_all(piece).await.unwrap();
        let frame = within(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), data);
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(within(body.frame()).await.is_none());
    // Not only when the body is dropped: who has read the end may call again.
    let again = tokio::spawn(async move { send(&client, &url).await });
    head(&mut stream).await;
    stream.write_all(EMPTY).await.unwrap();
    assert!(reused(&within(again).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_long_stream_gives_its_connection_back_too() {
    let (listener, url) = listen().await;
    let client = client();
    let (response, mut stream) = tokio::join!(send(&client, &url), answered(&listener, CHUNKED));
    time::sleep(Duration::from_secs(600)).await;
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    within(response.into_body().collect()).await.unwrap();
    let again = tokio::spawn(async move { send(&client, &url).await });
    head(&mut stream).await;
    stream.write_all(EMPTY).await.unwrap();
    assert!(reused(&within(again).await.unwrap()));
}

/// Writes a chunked answer piece by piece, tells how much of it is on its way, and ends it.
async fn flood(mut stream: TcpStream, pieces: usize, written: watch::Sender<usize>) {
    let piece = vec![b'x'; PIECE];
    let size = format!("{PIECE:x}\r\n");
    for count in 1..=pieces {
        for part in [size.as_bytes(), &piece, b"\r\n"] {
            stream.write_all(part).await.unwrap();
        }
        written.send_replace(count);
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
}

/// Waits until a writer gets no further: all the buffers on the way are full.
async fn until_stuck(written: &mut watch::Receiver<usize>) {
    let stuck = async { while time::timeout(STUCK, written.changed()).await.is_ok() {} };
    within(stuck).await;
    assert!(*written.borrow() < PIECES, "more fits into the buffers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_whose_reader_pauses_never_waits_for_what_has_come() {
    const STREAMS: usize = 4;
    const SOME: usize = PIECES / 4;
    let (listener, url) = listen().await;
    let client = client();
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(tokio::join!(
            send(&client, &url),
            answered(&listener, CHUNKED)
        ));
    }
    let mut streams = JoinSet::new();
    // All are open by now: one that has ended gives its connection to nobody.
    for (pause, (response, stream)) in open.into_iter().enumerate() {
        streams.spawn(flood(stream, SOME, watch::channel(0).0));
        streams.spawn(async move {
            let mut body = response.into_body();
            let (mut bytes, mut frames) = (0, 0);
            // The time limit is outside of this task: nothing but the body wakes it while it waits.
            while let Some(frame) = body.frame().await {
                bytes += frame.unwrap().into_data().unwrap().len();
                frames += 1;
                // As a server does whose own client is slow, it leaves the body alone after a frame.
                if pause > 0 && frames % (pause * 16) == 0 {
                    time::sleep(Duration::from_millis(1)).await;
                }
            }
            assert_eq!(bytes, SOME * PIECE);
        });
    }
    within(async {
        while let Some(ended) = streams.join_next().await {
            ended.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_behind_a_server_goes_on_when_its_own_reader_does() {
    let (upstream, url) = listen().await;
    let (front, _) = listen().await;
    let client = client();
    let address = front.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = front.accept().await.unwrap();
        let pass = service_fn(move |_| client.clone().oneshot(get(&url)));
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), pass)
            .await
    });
    let mut reader = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: front\r\nconnection: close\r\n\r\n";
    reader.write_all(request).await.unwrap();

    let stream = answered(&upstream, CHUNKED).await;
    let (written, mut progress) = watch::channel(0);
    let flooded = tokio::spawn(flood(stream, PIECES, written));
    head(&mut reader).await;
    until_stuck(&mut progress).await;
    // Some of it, so that it gets stuck again at another place; then the rest.
    let mut some = vec![0; PIECES * PIECE / 8];
    within(reader.read_exact(&mut some)).await.unwrap();
    until_stuck(&mut progress).await;
    let mut rest = Vec::new();
    within(reader.read_to_end(&mut rest)).await.unwrap();

    assert!(rest.ends_with(b"\r\n0\r\n\r\n"));
    let bytes = some.iter().chain(&rest).filter(|byte| **byte == b'x');
    assert_eq!(bytes.count(), PIECES * PIECE);
    within(served).await.unwrap().unwrap();
    within(flooded).await.unwrap();
}

#[tokio::test]
async fn a_body_may_be_dropped_by_a_thread_without_a_runtime() {
    let (listener, url) = listen().await;
    let client = client();
    let (response, stream) = tokio::join!(send(&client, &url), answered(&listener, CHUNKED));
    std::thread::spawn(move || drop(response)).join().unwrap();
    until_eof(stream).await;
}

#[tokio::test]
async fn a_burst_leaves_no_more_idle_connections_than_the_bound() {
    const BURST: usize = 5;
    const BOUND: usize = 2;
    let (listener, url) = listen().await;
    let client: Client<Full<Bytes>> = Client::builder()
        .allow_http_loopback(true)
        .proxy(Proxy::none())
        .pool_max_idle_per_host(BOUND)
        .build()
        .unwrap();
    let mut responses = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..BURST {
        let (response, stream) = tokio::join!(send(&client, &url), answered(&listener, CHUNKED));
        responses.push(response);
        streams.push(stream);
    }
    let mut open = JoinSet::new();
    for (response, mut stream) in responses.into_iter().zip(streams) {
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        within(response.into_body().collect()).await.unwrap();
        open.spawn(until_eof(stream));
    }
    for _ in BOUND..BURST {
        within(open.join_next()).await.unwrap().unwrap();
    }
    a_moment().await;
    assert!(open.try_join_next().is_none());
    assert_eq!(open.len(), BOUND);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_lain_too_long_is_not_taken() {
    let (listener, url) = listen().await;
    let client: Client<Full<Bytes>> = Client::builder()
        .allow_http_loopback(true)
        .proxy(Proxy::none())
        .pool_idle_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    let (_, mut stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    // Used again, it is young when the pool is looked through after 3 s, and too old before 6 s.
    time::sleep(Duration::from_secs(2)).await;
    let again = async {
        head(&mut stream).await;
        stream.write_all(EMPTY).await.unwrap();
    };
    let (second, ()) = tokio::join!(send(&client, &url), again);
    assert!(reused(&second));
    time::sleep(Duration::from_millis(3500)).await;
    let (third, _stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    assert!(!reused(&third));
}

#[tokio::test]
async fn a_client_that_is_dropped_closes_its_idle_connections() {
    let (listener, url) = listen().await;
    let client = client();
    let (_, stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    drop(client);
    until_eof(stream).await;
}

#[tokio::test]
async fn a_body_outlives_its_client() {
    let (listener, url) = listen().await;
    let client = client();
    let (response, mut stream) = tokio::join!(send(&client, &url), answered(&listener, CHUNKED));
    drop(client);
    stream.write_all(b"3\r\nend\r\n0\r\n\r\n").await.unwrap();
    let whole = within(response.into_body().collect()).await.unwrap();
    assert_eq!(whole.to_bytes(), "end");
    until_eof(stream).await;
}

#[tokio::test]
async fn a_future_that_is_never_polled_sends_nothing() {
    let (listener, url) = listen().await;
    let client = client();
    let (_, mut stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    drop(client.clone().oneshot(get(&url)));
    let again = tokio::spawn(async move { send(&client, &url).await });
    head(&mut stream).await;
    stream.write_all(EMPTY).await.unwrap();
    assert!(reused(&within(again).await.unwrap()));
}

#[test]
fn a_runtime_that_has_ended_takes_its_connections_along_and_no_call() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut open = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                seen.push(byte[0]);
            }
            stream.write_all(EMPTY).unwrap();
            open.push(stream);
        }
    });
    let client = client();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let response = runtime.block_on(send(&client, &url));
        assert!(!reused(&response));
    }
    server.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_closed_while_idle_is_noticed_without_a_call() {
    let (listener, url) = listen().await;
    let client = client();
    let (_, mut stream) = tokio::join!(send(&client, &url), answered(&listener, EMPTY));
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let closed = time::timeout(LONG, stream.read_to_end(&mut rest)).await;
    assert!(
        closed.is_ok(),
        "the client kept a connection that is closed"
    );
    drop(client);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_arrives() {
    let (listener, url) = listen().await;
    let client = client::<BoxBody<Bytes, Infallible>>();
    let (upload, body) = mpsc::channel(1);
    let body = StreamBody::new(ReceiverStream::new(body)).boxed();
    let request = Request::post(&url).body(body).unwrap();
    let early = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
    let (response, stream) =
        tokio::join!(within(client.oneshot(request)), answered(&listener, early));
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let whole = within(response.into_body().collect()).await.unwrap();
    assert_eq!(whole.to_bytes(), "no");
    // Half a request was written: nothing else can go over this connection.
    until_eof(stream).await;
    drop(upload);
}

#[tokio::test]
async fn an_upload_goes_on_while_the_answer_is_read() {
    let (listener, url) = listen().await;
    let client = client::<BoxBody<Bytes, Infallible>>();
    let (upload, body) = mpsc::channel(1);
    let body = StreamBody::new(ReceiverStream::new(body)).boxed();
    let request = Request::post(&url).body(body).unwrap();
    let (response, mut stream) = tokio::join!(
        within(client.oneshot(request)),
        answered(&listener, CHUNKED)
    );
    let reading = tokio::spawn(response.unwrap().into_body().collect());
    let piece = Bytes::from_static(b"piece");
    upload.send(Ok(Frame::data(piece))).await.unwrap();
    drop(upload);
    let mut seen = Vec::new();
    let mut buffer = [0; 256];
    while !seen.ends_with(b"5\r\npiece\r\n0\r\n\r\n") {
        let count = within(stream.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "the upload broke off");
        seen.extend_from_slice(&buffer[..count]);
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    within(reading).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_upgrade_is_left_to_hyper_util() {
    let (listener, url) = listen().await;
    let client = client();
    let mut request = get(&url);
    for (name, value) in [("connection", "upgrade"), ("upgrade", "echo")] {
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    let switching =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let (response, mut stream) = tokio::join!(
        within(client.oneshot(request)),
        answered(&listener, switching)
    );
    let upgraded = within(hyper::upgrade::on(response.unwrap())).await.unwrap();
    let mut upgraded = TokioIo::new(upgraded);
    stream.write_all(b"hello").await.unwrap();
    let mut hello = [0; 5];
    within(upgraded.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"hello");
}

#[tokio::test]
async fn the_callers_host_stays_and_the_target_is_in_origin_form() {
    let (listener, url) = listen().await;
    let client = client();
    let mut request = get(format!("{url}v1/chat?a=b"));
    let virtual_host = http::HeaderValue::from_static("model.internal");
    request.headers_mut().insert("host", virtual_host);
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = head(&mut stream).await;
        stream.write_all(EMPTY).await.unwrap();
        (seen, stream)
    };
    let (response, (seen, _stream)) =
        tokio::join!(within(client.oneshot(request)), within(serving));
    response.unwrap();
    assert!(seen.starts_with("GET /v1/chat?a=b HTTP/1.1\r\n"), "{seen}");
    assert_eq!(seen.matches("host: model.internal\r\n").count(), 1);
    assert_eq!(seen.to_ascii_lowercase().matches("host:").count(), 1);
}
