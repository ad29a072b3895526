//! The layers on a real tonic server, and the stack above a real tonic channel to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stack;

use backstay::{
    Deadline, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Why},
};
use backstay_tonic::{GrpcServerLayer, Methods, trail_of};
use parking_lot::Mutex;
use stack::{CHECK, Stack, Transport, ask, channel};
use std::{future::pending, net::SocketAddr, pin::Pin, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Duration, Instant, timeout},
};
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status, transport};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::ServiceBuilder;

const PATIENCE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

/// What a handler is told to do is the name of the service it is asked about.
#[derive(Clone, Default)]
struct Handler {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Where `relay` sends a call of its own.
    behind: Option<Transport>,
}

/// What a handler saw.
#[derive(Clone, Debug)]
struct Asked {
    timeout: Option<String>,
    deadline: Option<Deadline>,
    ambient: Option<Deadline>,
    in_stream: Option<Deadline>,
}

fn reply(status: i32) -> HealthCheckResponse {
    HealthCheckResponse { status }
}

#[tonic::async_trait]
impl Health for Handler {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let number = self.note(&request);
        match &*request.get_ref().service {
            "hangs" => pending().await,
            "fails twice" if number <= 2 => Err(Status::unavailable("not yet")),
            "relay" => {
                let mut behind = HealthClient::new(self.behind.clone().unwrap());
                let service = "hangs".to_owned();
                behind.check(HealthCheckRequest { service }).await
            }
            "says no" => Err(Status::failed_precondition("no")),
            _ => Ok(Response::new(reply(1))),
        }
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.note(&request);
        let asked = self.asked.clone();
        let first = tokio_stream::once(()).map(move |()| {
            let mut asked = asked.lock();
            asked.last_mut().unwrap().in_stream = Deadline::ambient();
            Ok(reply(1))
        });
        let rest: Self::WatchStream = match &*request.get_ref().service {
            "fails at once" => {
                return Ok(Response::new(Box::pin(tokio_stream::once(Err(
                    Status::unavailable("not yet"),
                )))));
            }
            "fails later" => Box::pin(tokio_stream::once(Err(Status::data_loss("gone")))),
            "hangs" => Box::pin(tokio_stream::pending()),
            _ => Box::pin(tokio_stream::once(Ok(reply(2)))),
        };
        Ok(Response::new(Box::pin(first.chain(rest))))
    }
}

impl Handler {
    fn note<T>(&self, request: &Request<T>) -> usize {
        let timeout = request.metadata().get("grpc-timeout");
        let mut asked = self.asked.lock();
        asked.push(Asked {
            timeout: timeout.map(|value| value.to_str().unwrap().to_owned()),
            deadline: request.extensions().get::<Deadline>().copied(),
            ambient: Deadline::ambient(),
            in_stream: None,
        });
        asked.len()
    }
}

struct Server {
    origin: String,
    handler: Handler,
    ends: watch::Receiver<Vec<Why>>,
}

impl Server {
    async fn start(budget: Duration, behind: Option<Transport>) -> Self {
        let handler = Handler {
            asked: Arc::default(),
            behind,
        };
        let (sender, ends) = watch::channel(Vec::new());
        let cancel = CancelLayer::new()
            .observe(move |ended| sender.send_modify(|ends| ends.push(ended.why)));
        let layers = ServiceBuilder::new()
            .layer(GrpcServerLayer::new())
            .layer(cancel)
            .deadline(budget)
            .unwrap()
            .into_inner();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let server = transport::Server::builder()
            .layer(layers)
            .add_service(HealthServer::new(handler.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self {
            origin: format!("http://{address}"),
            handler,
            ends,
        }
    }

    /// How calls ended, once this many have.
    async fn ends(&self, count: usize) -> Vec<Why> {
        let mut ends = self.ends.clone();
        let wanted = ends.wait_for(|ends| ends.len() >= count);
        timeout(PATIENCE, wanted).await.unwrap().unwrap().clone()
    }

    fn asked(&self) -> Vec<Asked> {
        self.handler.asked.lock().clone()
    }
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn the_callers_timeout_is_the_deadline_of_the_handler_and_of_its_stream() {
    let server = Server::start(60 * SECOND, None).await;
    let stack = Stack {
        budget: 5 * SECOND,
        ..Stack::default()
    };
    let before = Instant::now();
    let mut client = stack.client(std::slice::from_ref(&server.origin));
    client.check(about("any")).await.unwrap();
    let mut stream = client.watch(about("any")).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    for asked in server.asked() {
        assert!(asked.timeout.is_some());
        let deadline = asked.deadline.unwrap();
        let left = deadline.time_left(before);
        assert!(left <= 6 * SECOND && left > 4 * SECOND, "{left:?}");
        // In the request, and ambient.
        assert_eq!(asked.ambient, Some(deadline));
    }
    let asked = server.asked();
    assert_eq!(asked[1].in_stream, asked[1].deadline);
    assert_eq!(server.ends(2).await, [Why::Complete, Why::Complete]);
}

#[tokio::test]
async fn the_servers_budget_is_the_cap_and_its_end_has_the_right_code() {
    let server = Server::start(Duration::from_millis(150), None).await;
    // A client without a deadline of its own.
    let mut plain = HealthClient::new(channel(&server.origin));
    let status = plain.check(about("hangs")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    // And one that asks for more.
    let mut request = Request::new(about("hangs"));
    request.set_timeout(10 * SECOND);
    let status = plain.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    // In the trailers of a stream that has begun.
    let mut stream = plain.watch(about("hangs")).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 1);
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    // What layers and limits there are is not told.
    assert_eq!(status.message(), Code::DeadlineExceeded.description());
    assert_eq!(server.ends(3).await, [Why::Deadline; 3]);
}

#[tokio::test]
async fn a_callers_own_timeout_is_deadline_exceeded_at_the_server_and_not_tonics_cancelled() {
    let server = Server::start(60 * SECOND, None).await;
    // By hand: the timer of tonic's channel would be in the way.
    let address = server.origin.strip_prefix("http://").unwrap();
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut requests = requests.ready().await.unwrap();
    let request = http::Request::post(format!("{}/{CHECK}", server.origin))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "200m")
        .body(())
        .unwrap();
    let (response, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(
        bytes::Bytes::from_static(b"\0\0\0\0\x07\x0a\x05hangs"),
        true,
    )
    .unwrap();
    let start = Instant::now();
    let response = timeout(PATIENCE, response).await.unwrap().unwrap();
    let took = Instant::now().saturating_duration_since(start);
    assert_eq!(response.headers().get("grpc-status").unwrap(), "4");
    assert!(took >= Duration::from_millis(190), "{took:?}");
    assert_eq!(server.ends(1).await, [Why::Deadline]);
}

#[tokio::test]
async fn a_caller_who_leaves_cancels_the_handler_and_its_stream() {
    let server = Server::start(60 * SECOND, None).await;
    let mut client = Stack::default().client(std::slice::from_ref(&server.origin));
    let waited = timeout(Duration::from_millis(300), client.check(about("hangs"))).await;
    assert!(waited.is_err());
    assert_eq!(server.ends(1).await, [Why::Dropped]);
    let mut stream = client.watch(about("hangs")).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(server.ends(2).await, [Why::Dropped, Why::Dropped]);
    // The connection serves on.
    client.check(about("any")).await.unwrap();
}

#[tokio::test]
async fn a_deadline_goes_through_a_server_and_each_hop_has_less() {
    let behind = Server::start(60 * SECOND, None).await;
    // The relay's own stack has no limit that matters: the ambient deadline is the caller's.
    let inner = Stack {
        budget: 60 * SECOND,
        ..Stack::default()
    };
    let transport = inner.transport(std::slice::from_ref(&behind.origin));
    let relay = Server::start(60 * SECOND, Some(transport)).await;
    let outer = Stack {
        budget: Duration::from_millis(500),
        ..Stack::default()
    };
    let mut client = outer.client(std::slice::from_ref(&relay.origin));
    let status = client.check(about("relay")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    // Each hop ends, by its own clock or because the hop above is gone.
    for server in [&behind, &relay] {
        let why = server.ends(1).await;
        assert_ne!(why[0], Why::Token, "{why:?}");
        assert_eq!(why.len(), 1);
    }
    assert_eq!(inner.ends().len(), 1);
    let told = |server: &Server| {
        let asked = server.asked()[0].timeout.clone().unwrap();
        backstay_tonic::parse_grpc_timeout(asked.as_bytes()).unwrap()
    };
    assert!(told(&relay) <= Duration::from_millis(500));
    assert!(told(&behind) < told(&relay));
}

#[tokio::test]
async fn a_real_server_is_retried_and_its_status_comes_with_the_trail() {
    let server = Server::start(60 * SECOND, None).await;
    let origins = std::slice::from_ref(&server.origin);
    let mut client = Stack::default().client(origins);
    client.check(about("fails twice")).await.unwrap();
    assert_eq!(server.asked().len(), 3);
    let status = client.check(about("says no")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "no");
    assert_eq!(trail_of(&status).unwrap().attempts().len(), 1);
    // tonic puts a failure before the first message into trailers.
    for waiting in [false, true] {
        let methods = Methods::new().unary(CHECK);
        let stack = Stack {
            methods: if waiting {
                methods.until_first_message(stack::WATCH)
            } else {
                methods
            },
            ..Stack::default()
        };
        let mut client = stack.client(origins);
        let status = match client.watch(about("fails at once")).await {
            Ok(stream) => stream.into_inner().message().await.unwrap_err(),
            Err(status) => status,
        };
        assert_eq!(status.code(), Code::Unavailable);
        let attempts = trail_of(&status).unwrap().attempts().len();
        assert_eq!(attempts, if waiting { 3 } else { 1 });
        let mut stream = client
            .watch(about("fails later"))
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap().unwrap();
        let status = stream.message().await.unwrap_err();
        assert_eq!(status.code(), Code::DataLoss);
        assert_eq!(trail_of(&status).unwrap().attempts().len(), 1);
    }
}

#[tokio::test]
async fn an_interceptor_and_clones_fit_around_the_stack() {
    use backstay::fallback::{Target, Targets};
    use backstay_tonic::{Grpc, GrpcAttemptLayer, GrpcCallLayer};

    let server = Server::start(60 * SECOND, None).await;
    let stack = ServiceBuilder::new()
        .layer(GrpcCallLayer::new(Methods::new()).unwrap())
        .on_cancel(|_| async {})
        .deadline(5 * SECOND)
        .unwrap()
        .fallback(Targets::new(Target::named("health").dialect(Grpc)))
        .unwrap()
        .layer(GrpcAttemptLayer::new())
        .timeouts(Timeouts::recommended())
        .unwrap()
        .service(channel(&server.origin));
    let client = HealthClient::with_interceptor(stack, |request: Request<()>| Ok(request));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.check(ask()).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.ends(8).await.len(), 8);
}
