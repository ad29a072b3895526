//! What a user of a generated client sees: unary and server-streaming, by where the status stands, by what the
//! stack can do about it. Each row has the exact code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stack;
mod wire;

use backstay::{
    Error, ErrorKind, Trail,
    cancel::Why,
    fallback::{Idempotent, Targets},
    trail::Outcome,
};
use backstay_tonic::{Methods, trail_of};
use h2::Reason;
use stack::{CHECK, Stack, WATCH, ask};
use tokio::time::Duration;
use tonic::{Code, Request, Status};
use wire::{Script, Server, Step, within};

const UNAVAILABLE: i32 = 14;
const INTERNAL: i32 = 13;
const INVALID: i32 = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Headers,
    Trailers,
    AfterAMessage,
    Html(u16),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Unary,
    Stream,
    /// A stream whose head may wait for the first message.
    Waiting,
}

/// A reply that fails with this code, there.
fn failing(place: Place, code: i32) -> Script {
    match place {
        Place::Headers => vec![Step::TrailersOnly(
            code,
            vec![("grpc-message", "said%20so")],
        )],
        Place::Trailers => vec![
            Step::Head,
            Step::Trailers(code, vec![("grpc-message", "said%20so")]),
        ],
        Place::AfterAMessage => vec![
            Step::Head,
            Step::Message(1),
            Step::Trailers(code, vec![("grpc-message", "said%20so")]),
        ],
        Place::Html(status) => vec![Step::Html(status)],
    }
}

fn good() -> Script {
    vec![Step::Head, Step::Halves(2), Step::Trailers(0, vec![])]
}

fn stack(kind: Kind) -> Stack {
    let methods = Methods::new().unary(CHECK);
    Stack {
        methods: match kind {
            Kind::Waiting => methods.until_first_message(WATCH),
            _ => methods,
        },
        ..Stack::default()
    }
}

/// The messages of a call, and how it ended.
async fn call(stack: &Stack, kind: Kind, origins: &[String]) -> (Vec<i32>, Result<(), Status>) {
    let mut client = stack.client(origins);
    if kind == Kind::Unary {
        return match within(client.check(ask())).await {
            Ok(reply) => (vec![reply.get_ref().status], Ok(())),
            Err(status) => (Vec::new(), Err(status)),
        };
    }
    let mut stream = match within(client.watch(ask())).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => return (Vec::new(), Err(status)),
    };
    let mut messages = Vec::new();
    loop {
        match within(stream.message()).await {
            Ok(Some(message)) => messages.push(message.status),
            Ok(None) => return (messages, Ok(())),
            Err(status) => return (messages, Err(status)),
        }
    }
}

fn code(end: &Result<(), Status>) -> Code {
    end.as_ref().map_or_else(Status::code, |()| Code::Ok)
}

/// `(kind, place, is it retried, code without a retry)`.
const ROWS: [(Kind, Place, bool, Code); 15] = [
    (Kind::Unary, Place::Headers, true, Code::Unavailable),
    (Kind::Unary, Place::Trailers, true, Code::Unavailable),
    (Kind::Unary, Place::AfterAMessage, true, Code::Unavailable),
    (Kind::Unary, Place::Html(502), false, Code::Unavailable),
    (Kind::Unary, Place::Html(503), true, Code::Unavailable),
    (Kind::Stream, Place::Headers, true, Code::Unavailable),
    // Passed on as it comes: the caller has its head.
    (Kind::Stream, Place::Trailers, false, Code::Unavailable),
    (Kind::Stream, Place::AfterAMessage, false, Code::Unavailable),
    (Kind::Stream, Place::Html(502), false, Code::Unavailable),
    (Kind::Stream, Place::Html(503), true, Code::Unavailable),
    (Kind::Waiting, Place::Headers, true, Code::Unavailable),
    (Kind::Waiting, Place::Trailers, true, Code::Unavailable),
    // Never after the first message.
    (
        Kind::Waiting,
        Place::AfterAMessage,
        false,
        Code::Unavailable,
    ),
    (Kind::Waiting, Place::Html(502), false, Code::Unavailable),
    (Kind::Waiting, Place::Html(429), true, Code::Unavailable),
];

#[tokio::test]
async fn a_failure_that_nobody_saw_is_retried() {
    for (kind, place, retried, without) in ROWS {
        let server = Server::start(vec![failing(place, UNAVAILABLE), good()]).await;
        let stack = stack(kind);
        let (messages, end) = call(&stack, kind, &[server.origin()]).await;
        let expected = if retried { Code::Ok } else { without };
        assert_eq!(code(&end), expected, "{kind:?} {place:?}: {end:?}");
        assert_eq!(
            server.seen().len(),
            if retried { 2 } else { 1 },
            "{kind:?} {place:?}"
        );
        let message = if retried {
            vec![2]
        } else if place == Place::AfterAMessage {
            vec![1]
        } else {
            vec![]
        };
        assert_eq!(messages, message, "{kind:?} {place:?}");
    }
}

#[tokio::test]
async fn another_target_answers_where_the_first_does_not() {
    for (kind, place, falls_over, without) in ROWS {
        let bad = Server::start(vec![failing(place, UNAVAILABLE)]).await;
        let other = Server::start(vec![good()]).await;
        let stack = Stack {
            retries: 0,
            ..stack(kind)
        };
        let (_, end) = call(&stack, kind, &[bad.origin(), other.origin()]).await;
        let expected = if falls_over { Code::Ok } else { without };
        assert_eq!(code(&end), expected, "{kind:?} {place:?}: {end:?}");
        let asked = usize::from(falls_over);
        assert_eq!(other.seen().len(), asked, "{kind:?} {place:?}");
    }
}

#[tokio::test]
async fn when_all_is_exhausted_the_upstreams_own_status_comes_with_the_trail() {
    for (kind, place, ..) in ROWS {
        for (number, expected) in [
            (UNAVAILABLE, Code::Unavailable),
            (INVALID, Code::InvalidArgument),
            (INTERNAL, Code::Internal),
        ] {
            let server = Server::start(vec![failing(place, number)]).await;
            let stack = Stack {
                retries: 1,
                ..stack(kind)
            };
            let (_, end) = call(&stack, kind, &[server.origin()]).await;
            let status = end.unwrap_err();
            let row = format!("{kind:?} {place:?} {number}: {status:?}");
            if let Place::Html(_) = place {
                assert_eq!(status.code(), Code::Unavailable, "{row}");
                // What the proxy said in its headers is metadata.
                assert_eq!(status.metadata().get("content-type").unwrap(), "text/html");
            } else {
                assert_eq!(status.code(), expected, "{row}");
                assert_eq!(status.message(), "said so", "{row}");
            }
            let attempts = trail_of(&status).expect(&row).attempts();
            assert_eq!(attempts.len(), server.seen().len(), "{row}");
            assert_ne!(attempts[0].outcome, Outcome::Complete, "{row}");
            if !matches!(place, Place::Html(_)) {
                assert!(attempts[0].code.is_some(), "{row} {attempts:?}");
            }
            let why = stack.ends();
            assert_eq!(why.len(), 1, "{row}");
        }
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_done_again_only_where_that_is_harmless() {
    for (number, expected) in [
        (13, Code::Internal),
        (2, Code::Unknown),
        (4, Code::DeadlineExceeded),
    ] {
        for idempotent in [false, true] {
            let server = Server::start(vec![failing(Place::Trailers, number), good()]).await;
            let mut stack = stack(Kind::Unary);
            if idempotent {
                stack.methods = stack.methods.idempotent(CHECK);
            }
            let (_, end) = call(&stack, Kind::Unary, &[server.origin()]).await;
            let expected = if idempotent { Code::Ok } else { expected };
            assert_eq!(code(&end), expected, "{number}");
            assert_eq!(server.seen().len(), 1 + usize::from(idempotent), "{number}");
        }
    }
    // A proxy's 502 does not tell whether the server behind it was reached.
    let server = Server::start(vec![failing(Place::Html(502), 0), good()]).await;
    let mut harmless = stack(Kind::Unary);
    harmless.methods = harmless.methods.idempotent(CHECK);
    let (_, end) = call(&harmless, Kind::Unary, &[server.origin()]).await;
    assert_eq!(code(&end), Code::Ok);
    // The request's own word does too.
    let server = Server::start(vec![failing(Place::Headers, 13), good()]).await;
    let stack = stack(Kind::Unary);
    let mut request = Request::new(ask());
    request.extensions_mut().insert(Idempotent);
    within(stack.client(&[server.origin()]).check(request))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_success() {
    let cut: Vec<(&str, Script)> = vec![
        ("no status", vec![Step::Head, Step::Message(1), Step::End]),
        // hyper makes a clean end of it.
        (
            "reset without an error",
            vec![
                Step::Head,
                Step::Message(1),
                Step::Pause,
                Step::Reset(Reason::NO_ERROR),
            ],
        ),
    ];
    for (name, script) in cut {
        for kind in [Kind::Unary, Kind::Stream, Kind::Waiting] {
            let server = Server::start(vec![script.clone(), good()]).await;
            let stack = stack(kind);
            let (_, end) = call(&stack, kind, &[server.origin()]).await;
            // Not idempotent, so that it is not repeated.
            let status = end.unwrap_err();
            assert_eq!(
                status.code(),
                Code::Unavailable,
                "{name} {kind:?} {status:?}"
            );
            let error = Error::find(&status).unwrap();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{name} {kind:?}");
            let attempts = trail_of(&status).unwrap().attempts();
            assert_eq!(attempts[0].outcome, Outcome::Truncated, "{name} {kind:?}");
            assert_eq!(stack.ends(), [Why::Failed(Some(ErrorKind::Truncated))]);

            let server = Server::start(vec![script.clone(), good()]).await;
            let mut stack = crate::stack(kind);
            stack.methods = stack.methods.idempotent("grpc.health.v1.Health");
            let (_, end) = call(&stack, kind, &[server.origin()]).await;
            let expected = if kind == Kind::Unary {
                Code::Ok
            } else {
                Code::Unavailable
            };
            assert_eq!(code(&end), expected, "{name} {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_refused_was_not_processed_and_is_retried() {
    for (reason, retried, expected) in [
        (Reason::REFUSED_STREAM, true, Code::Unavailable),
        (Reason::ENHANCE_YOUR_CALM, false, Code::ResourceExhausted),
        (Reason::INTERNAL_ERROR, false, Code::Internal),
        (Reason::CANCEL, false, Code::Cancelled),
    ] {
        let server = Server::start(vec![vec![Step::Reset(reason)], good()]).await;
        let (_, end) = call(&stack(Kind::Unary), Kind::Unary, &[server.origin()]).await;
        let wanted = if retried { Code::Ok } else { expected };
        assert_eq!(code(&end), wanted, "{reason:?} {end:?}");
        let server = Server::start(vec![vec![Step::Reset(reason)]]).await;
        let stack = Stack {
            retries: 0,
            ..stack(Kind::Unary)
        };
        let (_, end) = call(&stack, Kind::Unary, &[server.origin()]).await;
        let status = end.unwrap_err();
        assert_eq!(status.code(), expected, "{reason:?}");
        assert!(trail_of(&status).is_some());
    }
}

#[tokio::test]
async fn nobody_listens() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    for kind in [Kind::Unary, Kind::Stream] {
        let stack = stack(kind);
        let (_, end) = call(&stack, kind, std::slice::from_ref(&origin)).await;
        let status = end.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let attempts = trail_of(&status).unwrap().attempts();
        assert_eq!(
            attempts.len(),
            3,
            "nothing was sent, so that it is retried: {attempts:?}"
        );
        assert!(attempts.iter().all(|attempt| !attempt.uncertain));

        let other = Server::start(vec![good()]).await;
        let (_, end) = call(&stack, kind, &[origin.clone(), other.origin()]).await;
        assert_eq!(code(&end), Code::Ok);
    }
}

#[tokio::test]
async fn the_deadline_is_deadline_exceeded_wherever_it_passes() {
    let silent: Vec<(&str, Script)> = vec![
        ("before the head", vec![Step::Hang]),
        ("after the head", vec![Step::Head, Step::Hang]),
        (
            "after a message",
            vec![Step::Head, Step::Message(1), Step::Hang],
        ),
    ];
    for (name, script) in silent {
        for kind in [Kind::Unary, Kind::Stream, Kind::Waiting] {
            let server = Server::start(vec![script.clone()]).await;
            let stack = Stack {
                budget: Duration::from_millis(150),
                ..stack(kind)
            };
            let (_, end) = call(&stack, kind, &[server.origin()]).await;
            let status = end.unwrap_err();
            let row = format!("{name} {kind:?} {status:?}");
            assert_eq!(status.code(), Code::DeadlineExceeded, "{row}");
            let error = Error::find(&status).expect(&row);
            assert_eq!(error.kind(), ErrorKind::Deadline, "{row}");
            assert_eq!(error.trail().unwrap().attempts().len(), 1, "{row}");
            assert_eq!(stack.ends(), [Why::Deadline], "{row}");
            let seen = server.until(|seen| seen[0].reset.is_some()).await;
            assert_eq!(seen[0].reset, Some(Reason::CANCEL), "{row}");
        }
    }
}

#[tokio::test]
async fn a_token_is_cancelled_wherever_it_fires() {
    for script in [
        vec![Step::Hang],
        vec![Step::Head, Step::Message(1), Step::Hang],
    ] {
        for kind in [Kind::Unary, Kind::Stream, Kind::Waiting] {
            let server = Server::start(vec![script.clone()]).await;
            let stack = stack(kind);
            let token = stack.token.clone();
            let origins = [server.origin()];
            let running = async {
                server.until(|seen| !seen.is_empty()).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                token.cancel();
            };
            let ((_, end), ()) = tokio::join!(call(&stack, kind, &origins), running);
            let status = end.unwrap_err();
            assert_eq!(status.code(), Code::Cancelled, "{kind:?} {status:?}");
            assert!(Error::find(&status).unwrap().is_cancelled());
            assert_eq!(
                trail_of(&status).unwrap().attempts()[0].outcome,
                Outcome::Cancelled
            );
            assert_eq!(stack.ends(), [Why::Token]);
            let seen = server.until(|seen| seen[0].reset.is_some()).await;
            assert_eq!(seen[0].reset, Some(Reason::CANCEL));
        }
    }
}

#[tokio::test]
async fn a_clock_of_an_attempt_goes_to_another_target_else_it_is_deadline_exceeded() {
    let hangs = Server::start(vec![vec![Step::Head, Step::Hang]]).await;
    let other = Server::start(vec![good()]).await;
    let mut stack = stack(Kind::Unary);
    stack.timeouts = stack.timeouts.first_token(Duration::from_millis(100));
    stack.methods = stack.methods.idempotent(CHECK);
    let (messages, _) = call(&stack, Kind::Unary, &[hangs.origin(), other.origin()]).await;
    assert_eq!(messages, [2]);
    stack.change = |targets: Targets| targets.retries(0);
    let (_, end) = call(&stack, Kind::Unary, &[hangs.origin()]).await;
    assert_eq!(code(&end), Code::DeadlineExceeded);
    hangs
        .until(|seen| seen.iter().all(|seen| seen.reset.is_some()))
        .await;
}

#[tokio::test]
async fn a_page_with_status_200_is_no_reply() {
    let server = Server::start(vec![vec![Step::Html(200)]]).await;
    for kind in [Kind::Unary, Kind::Stream] {
        let (_, end) = call(&stack(kind), kind, &[server.origin()]).await;
        let status = end.unwrap_err();
        assert_eq!(status.code(), Code::Unknown, "{status:?}");
        assert!(trail_of(&status).is_some());
    }
}

#[tokio::test]
async fn details_that_are_no_base64_panic_nobody() {
    let broken = vec![("grpc-status-details-bin", "***")];
    let scripts: Vec<Script> = vec![
        vec![Step::TrailersOnly(5, broken.clone())],
        vec![Step::Head, Step::Trailers(5, broken.clone())],
        vec![
            Step::Head,
            Step::Message(1),
            Step::Trailers(5, broken.clone()),
        ],
    ];
    for script in scripts {
        for kind in [Kind::Unary, Kind::Stream, Kind::Waiting] {
            let server = Server::start(vec![script.clone()]).await;
            let (_, end) = call(&stack(kind), kind, &[server.origin()]).await;
            assert_eq!(code(&end), Code::NotFound);
        }
    }
    let good = vec![Step::Head, Step::Message(1), Step::Trailers(0, broken)];
    let server = Server::start(vec![good]).await;
    for kind in [Kind::Unary, Kind::Stream, Kind::Waiting] {
        let (messages, end) = call(&stack(kind), kind, &[server.origin()]).await;
        assert_eq!((messages, code(&end)), (vec![1], Code::Ok));
    }
}

#[tokio::test]
async fn a_success_has_its_trail_and_is_complete() {
    for kind in [Kind::Unary, Kind::Stream, Kind::Waiting] {
        let server = Server::start(vec![good()]).await;
        let stack = stack(kind);
        let mut client = stack.client(&[server.origin()]);
        let trail = if kind == Kind::Unary {
            let reply = within(client.check(ask())).await.unwrap();
            reply.extensions().get::<Trail>().unwrap().clone()
        } else {
            let reply = within(client.watch(ask())).await.unwrap();
            let trail = reply.extensions().get::<Trail>().unwrap().clone();
            let mut stream = reply.into_inner();
            while within(stream.message()).await.unwrap().is_some() {}
            trail
        };
        let attempts = trail.attempts();
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].outcome, Outcome::Complete, "{kind:?}");
        assert!(attempts[0].bytes >= 7);
        assert_eq!(stack.ends(), [Why::Complete], "{kind:?}");
    }
}

#[tokio::test]
async fn the_status_layer_keeps_the_upstreams_own_status() {
    use backstay::ServiceBuilderExt;
    use backstay_tonic::{Grpc, GrpcAttemptLayer, GrpcCallLayer};
    use tonic_health::pb::health_client::HealthClient;

    for place in [Place::Headers, Place::Trailers, Place::Html(502)] {
        let server = Server::start(vec![failing(place, INVALID)]).await;
        let ends = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
        let told = ends.clone();
        let cancel =
            backstay::cancel::CancelLayer::new().observe(move |ended| told.lock().push(ended.why));
        let targets = Targets::new(backstay::fallback::Target::named("store").dialect(Grpc));
        let stack = tower::ServiceBuilder::new()
            .layer(GrpcCallLayer::new(Methods::new().unary(CHECK)).unwrap())
            .layer(cancel)
            .status_error()
            .fallback(targets)
            .unwrap()
            .layer(GrpcAttemptLayer::new())
            .service(stack::channel(&server.origin()));
        let status = within(HealthClient::new(stack).check(ask()))
            .await
            .unwrap_err();
        let (code, http) = match place {
            Place::Html(_) => (Code::Unavailable, 502),
            _ => (Code::InvalidArgument, 400),
        };
        assert_eq!(status.code(), code, "{place:?} {status:?}");
        if code == Code::InvalidArgument {
            assert_eq!(status.message(), "said so");
        }
        let kind = ErrorKind::Status(http::StatusCode::from_u16(http).unwrap());
        assert_eq!(Error::find(&status).unwrap().kind(), kind);
        assert_eq!(*ends.lock(), [Why::Failed(Some(kind))]);
    }
}
