//! A server that says on the wire exactly what a script tells it to, and remembers what it saw.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::{BufMut, Bytes, BytesMut};
use h2::{Reason, SendStream, server};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    net::SocketAddr,
    sync::Arc,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Duration, Instant, sleep, timeout},
};

/// Longer than anything here takes, on a machine that is busy with other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One step of a reply.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `200`, `application/grpc`.
    Head,
    /// A message with this number.
    Message(i32),
    /// The bytes of a message in two frames.
    Halves(i32),
    /// The code, and more metadata.
    Trailers(i32, Vec<(&'static str, &'static str)>),
    /// The same in the head.
    TrailersOnly(i32, Vec<(&'static str, &'static str)>),
    /// A proxy's page.
    Html(u16),
    /// What was sent goes out first.
    Pause,
    /// Until the test says so.
    Await(Arc<Notify>),
    /// Until the client leaves.
    Hang,
    /// The end, without a code.
    End,
    Reset(Reason),
}

pub(crate) type Script = Vec<Step>;

/// What the server saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) at: Instant,
    /// Why the client reset the stream, if it did.
    pub(crate) reset: Option<Reason>,
    pub(crate) body: usize,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: watch::Receiver<Vec<Seen>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Each request takes the next script; the last one is for all that follow.
    pub(crate) async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, scripts.clone(), sender.clone()));
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Waits until what was seen is as wanted.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Vec<Seen>) -> bool) -> Vec<Seen> {
        let mut seen = self.seen.clone();
        timeout(PATIENCE, seen.wait_for(wanted))
            .await
            .expect("the server sees it in time")
            .unwrap()
            .clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Scripts = Arc<Mutex<VecDeque<Script>>>;
type Log = Arc<watch::Sender<Vec<Seen>>>;

async fn connection(socket: TcpStream, scripts: Scripts, log: Log) {
    let Ok(mut connection) = server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let script = {
            let mut scripts = scripts.lock();
            if scripts.len() > 1 {
                scripts.pop_front().unwrap()
            } else {
                scripts.front().cloned().unwrap()
            }
        };
        tokio::spawn(reply(request, respond, script, log.clone()));
    }
}

async fn reply(
    request: Request<h2::RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    script: Script,
    log: Log,
) {
    let mut at = 0;
    log.send_modify(|seen| {
        at = seen.len();
        seen.push(Seen {
            path: request.uri().path().to_owned(),
            headers: request.headers().clone(),
            at: Instant::now(),
            reset: None,
            body: 0,
        });
    });
    let mut body = request.into_body();
    let reading = log.clone();
    tokio::spawn(async move {
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            reading.send_modify(|seen| seen[at].body += data.len());
        }
    });
    let mut stream: Option<SendStream<Bytes>> = None;
    for step in script {
        let head = |status: u16, kind: &'static str| {
            let mut head = Response::new(());
            *head.status_mut() = http::StatusCode::from_u16(status).unwrap();
            head.headers_mut()
                .insert("content-type", HeaderValue::from_static(kind));
            head
        };
        match step {
            Step::Head => {
                stream = respond
                    .send_response(head(200, "application/grpc"), false)
                    .ok();
            }
            Step::Message(number) => send(&mut stream, message(number), false),
            Step::Halves(number) => {
                let mut whole = message(number);
                let half = whole.split_to(3);
                send(&mut stream, half, false);
                sleep(Duration::from_millis(20)).await;
                send(&mut stream, whole, false);
            }
            Step::Trailers(code, more) => {
                if let Some(stream) = &mut stream {
                    let _ = stream.send_trailers(status(code, &more));
                }
            }
            Step::TrailersOnly(code, more) => {
                let mut head = head(200, "application/grpc");
                head.headers_mut().extend(status(code, &more));
                let _ = respond.send_response(head, true);
            }
            Step::Html(code) => {
                let mut page = respond.send_response(head(code, "text/html"), false).ok();
                send(&mut page, Bytes::from("<html>Bad Gateway</html>"), true);
            }
            Step::Pause => sleep(Duration::from_millis(30)).await,
            Step::Await(notify) => notify.notified().await,
            Step::End => send(&mut stream, Bytes::new(), true),
            Step::Reset(reason) => match &mut stream {
                Some(stream) => stream.send_reset(reason),
                None => respond.send_reset(reason),
            },
            Step::Hang => {
                let reason = match &mut stream {
                    Some(stream) => poll_fn(|cx| stream.poll_reset(cx)).await,
                    None => poll_fn(|cx| respond.poll_reset(cx)).await,
                };
                log.send_modify(|seen| seen[at].reset = reason.ok().or(Some(Reason::NO_ERROR)));
            }
        }
    }
}

fn send(stream: &mut Option<SendStream<Bytes>>, data: Bytes, end: bool) {
    if let Some(stream) = stream {
        let _ = stream.send_data(data, end);
    }
}

/// `HealthCheckResponse { status }`, framed.
pub(crate) fn message(number: i32) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(2);
    bytes.put_u8(8);
    bytes.put_u8(u8::try_from(number).unwrap());
    bytes.freeze()
}

fn status(code: i32, more: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", code.into());
    for (name, value) in more {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers
}

/// Within the patience of a test.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("it ends in time")
}
