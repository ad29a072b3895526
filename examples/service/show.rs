//! Clients of the service, and a Ctrl-C while their streams run.

use backstay::{Body, BoxError, drain::Drain};
use backstay_client::{Client, ResponseBody};
use backstay_mock::{Mock, Reply};
use bytes::Bytes;
use http::{Request, Response, header::RETRY_AFTER};
use http_body_util::BodyExt;
use std::{future::pending, net::SocketAddr};
use tokio::{
    task::JoinSet,
    time::{Duration, sleep},
};
use tower::ServiceExt;

/// How long the streams run before the signal.
const BEFORE: Duration = Duration::from_millis(300);
/// How long it may take until the signal is heard.
const HEARD: Duration = Duration::from_secs(2);
/// More than what the sockets between a server and a client that does not read can hold.
const UNREAD: (usize, usize) = (192, 64 * 1024);

/// The clients, by what they ask for: streams that end in time, that do not, and one that is not read.
const CLIENTS: [(&str, &str); 6] = [
    ("1", "unread"),
    ("2", "long"),
    ("3", "long"),
    ("4", "short"),
    ("5", "short"),
    ("6", "short"),
];

/// What the models of the scripted provider do.
pub(crate) fn script(mock: &Mock) {
    let tokens = |count| Reply::tokens(std::iter::repeat_n("on and ", count));
    let every = Duration::from_millis(50);
    mock.script("short", tokens(30).delay_between_tokens(every));
    mock.script("long", tokens(1000).delay_between_tokens(every));
    let (count, bytes) = UNREAD;
    let large = "x".repeat(bytes);
    mock.script("unread", Reply::tokens(std::iter::repeat_n(large, count)));
}

/// What the clients saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) complete: usize,
    pub(crate) cut_off: usize,
    pub(crate) refused: usize,
}

/// Streams, a signal, and latecomers.
pub(crate) async fn run(
    client: Client<Body>,
    service: SocketAddr,
    drain: Drain,
) -> Result<Seen, BoxError> {
    let mut streams = JoinSet::new();
    for (name, model) in CLIENTS {
        let answer = ask(&client, service, model).await?;
        streams.spawn(async move { (name, model, read(model, answer).await) });
    }
    sleep(BEFORE).await;
    println!("Ctrl-C, with {} requests in flight", drain.in_flight());
    interrupt(&drain)?;
    tokio::time::timeout(HEARD, drain.started()).await?;

    let mut seen = Seen::default();
    let late = ask(&client, service, "short").await?;
    let retry_after = late.headers().get(RETRY_AFTER);
    println!(
        "  latecomer: {}, Retry-After: {}",
        late.status(),
        retry_after
            .and_then(|value| value.to_str().ok())
            .unwrap_or("none"),
    );
    if late.status() == 503 && retry_after.is_some() {
        seen.refused += 1;
    }
    let ready = Request::get(format!("http://{service}/ready")).body(Body::empty())?;
    println!(
        "  readiness: {}",
        client.clone().oneshot(ready).await?.status()
    );

    // The one that is not read does not end before the service does.
    while seen.complete + seen.cut_off < CLIENTS.len() - 1 {
        let Some(ended) = streams.join_next().await else {
            break;
        };
        let (name, model, (bytes, ended)) = ended?;
        match ended {
            Ok(()) => {
                seen.complete += 1;
                println!("  client {name} ({model}): complete, {bytes} bytes");
            }
            Err(error) => {
                seen.cut_off += 1;
                // Never a silent end: half an answer that looks whole is worse than none.
                println!("  client {name} ({model}): cut off after {bytes} bytes: {error}");
            }
        }
    }
    // The one that is not read keeps its connection until the end of the process.
    streams.detach_all();
    Ok(seen)
}

/// Reads an answer to its end: how many bytes there were, and how it ended.
async fn read(model: &str, answer: Response<ResponseBody>) -> (usize, Result<(), BoxError>) {
    let mut body = answer.into_body();
    let mut bytes = 0;
    if model == "unread" {
        pending::<()>().await;
    }
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => return (bytes, Err(error.into())),
        }
    }
    (bytes, Ok(()))
}

/// As a person at the terminal would.
fn interrupt(drain: &Drain) -> Result<(), BoxError> {
    #[cfg(unix)]
    {
        let _ = drain;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT)?;
    }
    #[cfg(not(unix))]
    drain.start();
    Ok(())
}

async fn ask(
    client: &Client<Body>,
    service: SocketAddr,
    model: &str,
) -> Result<Response<ResponseBody>, BoxError> {
    let request = Request::post(format!("http://{service}/models/{model}/answer"))
        .body(Body::from("How long is it?"))?;
    Ok(client.clone().oneshot(request).await?)
}
