//! Callers of the agent, each with a time of its own, and the signal that ends it.

use backstay::{Body, BoxError, drain::Drain};
use backstay_client::{Client, ResponseBody};
use backstay_mock::{Logged, Mock, Reply};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use tokio::time::{Duration, Instant};
use tower::ServiceExt;

pub(crate) const MODEL: &str = "large";
pub(crate) const SMALL_MODEL: &str = "small";

/// How long the provider may take to see that somebody has gone.
const SEEN: Duration = Duration::from_secs(5);

/// What the models of the scripted provider do: a search takes 0.1 s, an answer 3 s.
pub(crate) fn script(mock: &Mock) {
    let search = Reply::text("mast stay rigging");
    mock.script(
        SMALL_MODEL,
        search.delay_headers(Duration::from_millis(100)),
    );
    let answer = Reply::tokens(std::iter::repeat_n("The backstay does. ", 60));
    mock.script(
        MODEL,
        answer.delay_between_tokens(Duration::from_millis(50)),
    );
}

/// Four callers and a signal. True if all went as it should.
pub(crate) async fn run(
    client: Client<Body>,
    agent: SocketAddr,
    mock: Mock,
    drain: Drain,
) -> Result<bool, BoxError> {
    let tour = Tour {
        client,
        agent,
        mock,
    };
    let as_it_must = tour.all().await;
    println!("SIGTERM");
    terminate(&drain)?;
    as_it_must
}

struct Tour {
    client: Client<Body>,
    agent: SocketAddr,
    mock: Mock,
}

// === impl Tour ===

impl Tour {
    async fn all(&self) -> Result<bool, BoxError> {
        Ok(self.healthy().await?
            && self.too_small().await?
            && self.ends_in_the_answer().await?
            && self.leaves().await?)
    }

    async fn healthy(&self) -> Result<bool, BoxError> {
        let started = Instant::now();
        let answer = self.ask("20").await?;
        let bytes = answer.into_body().collect().await?.to_bytes().len();
        println!("20 s are enough: {bytes} bytes after {}", seconds(started));
        for entry in self.mock.log() {
            let told = entry.headers.get("request-timeout");
            let told = told.and_then(|told| told.to_str().ok());
            let model = entry.model.as_deref().unwrap_or_default();
            println!("  model {model} was told {} s", told.unwrap_or("no"));
        }
        Ok(bytes > 0)
    }

    async fn too_small(&self) -> Result<bool, BoxError> {
        let started = Instant::now();
        let answer = self.ask("0.05").await?;
        println!(
            "50 ms are not: {} after {}",
            answer.status(),
            seconds(started)
        );
        Ok(answer.status() == StatusCode::GATEWAY_TIMEOUT)
    }

    async fn ends_in_the_answer(&self) -> Result<bool, BoxError> {
        let started = Instant::now();
        let answer = self.ask("2").await?;
        let status = answer.status();
        // Never a silent end: half an answer that looks whole is worse than none.
        let cut_off = answer.into_body().collect().await.is_err();
        let how = if cut_off { "cut off" } else { "complete" };
        println!(
            "2 s are enough for its begin: {status}, {how} after {}",
            seconds(started)
        );
        Ok(cut_off)
    }

    async fn leaves(&self) -> Result<bool, BoxError> {
        self.mock.clear_log();
        let mut body = self.ask("20").await?.into_body();
        let first = body.frame().await.transpose()?;
        drop(body);
        let left = Instant::now();
        let closed = |log: &[Logged]| log.iter().any(|entry| entry.peer_closed_at.is_some());
        let closed = self.mock.wait_until(closed, SEEN).await;
        if closed {
            println!("a caller left: the provider knew after {}", seconds(left));
        }
        Ok(closed && first.is_some())
    }

    async fn ask(&self, budget: &str) -> Result<Response<ResponseBody>, BoxError> {
        let request = Request::post(format!("http://{}/ask", self.agent))
            .header("request-timeout", budget)
            .body(Body::from("What holds a mast?"))?;
        Ok(self.client.clone().oneshot(request).await?)
    }
}

fn seconds(since: Instant) -> String {
    let took = Instant::now().saturating_duration_since(since);
    format!("{:.2} s", took.as_secs_f64())
}

/// As an orchestrator would.
fn terminate(drain: &Drain) -> Result<(), BoxError> {
    #[cfg(unix)]
    {
        let _ = drain;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?;
    }
    #[cfg(not(unix))]
    drain.start();
    Ok(())
}
