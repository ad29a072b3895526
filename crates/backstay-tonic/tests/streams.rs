//! Streams are never held back, either way, and cancelling one leaves the others alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stack;
mod wire;

use backstay::{
    Error,
    cancel::Why,
    trail::{Next, Note, Outcome, Reason},
};
use backstay_tonic::{Methods, trail_of};
use h2::Reason as Reset;
use stack::{CHECK, Stack, Transport, WATCH, ask};
use std::sync::Arc;
use tokio::{
    sync::{Notify, mpsc},
    time::Duration,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, client::Grpc as Client, codegen::http::uri::PathAndQuery};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use wire::{Script, Server, Step, within};

fn methods(waiting: bool) -> Methods {
    let methods = Methods::new().unary(CHECK);
    if waiting {
        methods.until_first_message(WATCH)
    } else {
        methods
    }
}

#[tokio::test]
async fn each_message_arrives_before_the_next_is_sent() {
    for waiting in [false, true] {
        let (second, third) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let script = vec![
            Step::Head,
            Step::Message(1),
            Step::Await(second.clone()),
            Step::Message(2),
            Step::Await(third.clone()),
            Step::Message(3),
            Step::Trailers(0, vec![]),
        ];
        let server = Server::start(vec![script]).await;
        let stack = Stack {
            methods: methods(waiting),
            ..Stack::default()
        };
        let mut client = stack.client(&[server.origin()]);
        let mut stream = within(client.watch(ask())).await.unwrap().into_inner();
        assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 1);
        second.notify_one();
        assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 2);
        third.notify_one();
        assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 3);
        assert!(within(stream.message()).await.unwrap().is_none());
        assert_eq!(stack.ends(), [Why::Complete]);
    }
}

#[tokio::test]
async fn the_head_of_a_stream_of_which_nothing_is_said_does_not_wait() {
    let first = Arc::new(Notify::new());
    let script = vec![
        Step::Head,
        Step::Await(first.clone()),
        Step::Message(1),
        Step::Trailers(0, vec![]),
    ];
    let server = Server::start(vec![script]).await;
    let stack = Stack::default();
    let mut client = stack.client(&[server.origin()]);
    let mut stream = within(client.watch(ask())).await.unwrap().into_inner();
    first.notify_one();
    assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 1);
}

#[tokio::test]
async fn a_unary_reply_over_the_bound_is_passed_on() {
    // Sixteen bytes are held; the failure comes behind them, and is the caller's.
    let script = |code| {
        let mut script: Script = vec![Step::Head];
        script.extend((0..4).map(|_| Step::Message(1)));
        script.push(Step::Trailers(code, vec![]));
        script
    };
    let server = Server::start(vec![script(14), script(0)]).await;
    let stack = Stack {
        hold_bytes: 16,
        ..Stack::default()
    };
    let status = within(stack.client(&[server.origin()]).check(ask()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(server.seen().len(), 1);
    let attempts = trail_of(&status).unwrap().attempts();
    assert_eq!(attempts[0].outcome, Outcome::InBand);
    assert_eq!(attempts[0].notes, [Note::HoldBound]);
    // Within the bound the same is retried.
    let server = Server::start(vec![script(14), script(0)]).await;
    let end = within(Stack::default().client(&[server.origin()]).check(ask())).await;
    assert_eq!(server.seen().len(), 2, "{end:?}");
}

/// A call whose request is a stream, as generated clients make it.
async fn streaming(
    transport: Transport,
    requests: mpsc::Receiver<HealthCheckRequest>,
) -> Result<tonic::Streaming<HealthCheckResponse>, Status> {
    let mut client = Client::new(transport);
    client.ready().await?;
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Chat");
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let request = tonic::Request::new(ReceiverStream::new(requests));
    Ok(client.streaming(request, path, codec).await?.into_inner())
}

#[tokio::test]
async fn a_request_that_depends_on_the_answer_is_sent_as_it_is_made() {
    let more = Arc::new(Notify::new());
    let script = vec![
        Step::Head,
        Step::Message(1),
        Step::Await(more.clone()),
        Step::Message(2),
        Step::Trailers(0, vec![]),
    ];
    let server = Server::start(vec![script]).await;
    let stack = Stack::default();
    let (requests, receiver) = mpsc::channel(1);
    requests.send(ask()).await.unwrap();
    let transport = stack.transport(&[server.origin()]);
    let mut stream = within(streaming(transport, receiver)).await.unwrap();
    assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 1);
    let one = server.until(|seen| seen[0].body > 0).await[0].body;
    // The second request is made of the first answer.
    requests.send(ask()).await.unwrap();
    server.until(|seen| seen[0].body == 2 * one).await;
    more.notify_one();
    assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 2);
    drop(requests);
    assert!(within(stream.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_request_that_is_still_being_made_is_not_repeated_and_the_trail_says_why() {
    let good = vec![Step::Head, Step::Message(1), Step::Trailers(0, vec![])];
    let script = vec![Step::TrailersOnly(14, vec![])];
    let server = Server::start(vec![script.clone(), good.clone()]).await;
    let (requests, receiver) = mpsc::channel(1);
    requests.send(ask()).await.unwrap();
    let transport = Stack::default().transport(&[server.origin()]);
    let status = within(streaming(transport, receiver)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let attempts = trail_of(&status).unwrap().attempts();
    assert_eq!(attempts[0].next, Some(Next::Stop(Reason::NotReplayable)));
    drop(requests);
    // One whose messages are all there is.
    let server = Server::start(vec![script, good]).await;
    let (requests, receiver) = mpsc::channel(2);
    requests.send(ask()).await.unwrap();
    requests.send(ask()).await.unwrap();
    drop(requests);
    let transport = Stack::default().transport(&[server.origin()]);
    let mut stream = within(streaming(transport, receiver)).await.unwrap();
    assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 1);
    let seen = server
        .until(|seen| seen.len() == 2 && seen[1].body > 0)
        .await;
    assert_eq!(seen[0].body, seen[1].body);
}

#[tokio::test]
async fn a_request_over_the_replay_limit_is_sent_and_not_repeated() {
    let good = vec![Step::Head, Step::Message(1), Step::Trailers(0, vec![])];
    for (bytes, code) in [(100, Code::Ok), (64 * 1024, Code::Unavailable)] {
        let script = vec![Step::TrailersOnly(14, vec![])];
        let server = Server::start(vec![script, good.clone()]).await;
        let stack = Stack {
            change: |targets| targets.replay_limit(1024),
            ..Stack::default()
        };
        let service = "x".repeat(bytes);
        let request = HealthCheckRequest { service };
        let end = within(stack.client(&[server.origin()]).check(request)).await;
        let seen = end.as_ref().map_or_else(Status::code, |_| Code::Ok);
        assert_eq!(seen, code, "{bytes}");
        if let Err(status) = end {
            let attempts = trail_of(&status).unwrap().attempts();
            assert_eq!(attempts[0].next, Some(Next::Stop(Reason::NotReplayable)));
        }
        server.until(|seen| seen[0].body > bytes).await;
    }
}

#[tokio::test]
async fn cancelling_resets_one_stream_and_its_siblings_go_on() {
    let go_on = Arc::new(Notify::new());
    let sibling = vec![
        Step::Head,
        Step::Message(1),
        Step::Await(go_on.clone()),
        Step::Message(2),
        Step::Trailers(0, vec![]),
    ];
    let server = Server::start(vec![
        sibling,
        vec![Step::Head, Step::Message(1), Step::Hang],
        vec![Step::Hang],
    ])
    .await;
    let stack = Stack::default();
    // Clones share the connection.
    let mut client = stack.client(&[server.origin()]);
    let mut stays = within(client.watch(ask())).await.unwrap().into_inner();
    within(stays.message()).await.unwrap();

    let mut leaves = within(client.watch(ask())).await.unwrap().into_inner();
    within(leaves.message()).await.unwrap();
    drop(leaves);
    let seen = server.until(|seen| seen[1].reset.is_some()).await;
    assert_eq!(seen[1].reset, Some(Reset::CANCEL));

    let mut pending = Box::pin(client.check(ask()));
    let waited = tokio::time::timeout(Duration::from_millis(200), pending.as_mut()).await;
    assert!(waited.is_err());
    server.until(|seen| seen.len() == 3).await;
    drop(pending);
    let seen = server.until(|seen| seen[2].reset.is_some()).await;
    assert_eq!(seen[2].reset, Some(Reset::CANCEL));

    go_on.notify_one();
    assert_eq!(within(stays.message()).await.unwrap().unwrap().status, 2);
    assert!(within(stays.message()).await.unwrap().is_none());
    assert_eq!(stack.ends(), [Why::Dropped, Why::Dropped, Why::Complete]);
}

#[tokio::test]
async fn a_failure_after_commit_reaches_the_caller_with_its_trail() {
    let script = vec![
        Step::Head,
        Step::Message(1),
        Step::Trailers(8, vec![("grpc-message", "slow%20down"), ("x-quota", "0")]),
    ];
    let server = Server::start(vec![script]).await;
    let stack = Stack::default();
    let mut client = stack.client(&[server.origin()]);
    let mut stream = within(client.watch(ask())).await.unwrap().into_inner();
    assert_eq!(within(stream.message()).await.unwrap().unwrap().status, 1);
    let status = within(stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "slow down");
    assert_eq!(status.metadata().get("x-quota").unwrap(), "0");
    let attempts = trail_of(&status).unwrap().attempts();
    assert_eq!(attempts[0].outcome, Outcome::InBand);
    assert_eq!(attempts[0].code.as_deref(), Some("RESOURCE_EXHAUSTED"));
    let kind = Error::find(&status).unwrap().kind();
    assert_eq!(stack.ends(), [Why::Failed(Some(kind))]);
    // tonic's decoder yields the error of a body twice.
    let again = within(stream.message()).await;
    assert!(!again.is_err_and(|again| again.code() != status.code()));
    assert!(within(stream.message()).await.unwrap().is_none());
}
