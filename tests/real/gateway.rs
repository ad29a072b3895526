//! The gateway as a program, between a caller and an LLM server that the network cuts off in mid-stream.

use crate::{
    calls::post,
    llama::{ENDLESS, SOME},
    llama_server::Llama,
    packets::{Fault, Network},
    programs::Programs,
    server::Server,
    table::{Drill, Table, seen},
};
use backstay::{Body, BoxError};
use backstay_tests::{MS, PROMPTLY, stack::http1};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{fs, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

/// A gateway in front of one server. It takes one call at a time.
struct Gateway {
    server: Server,
}

/// What its caller saw.
struct Told {
    /// The code of the error with which the stream ended.
    code: String,
    took: Duration,
}

/// Of each call, and what a silence in the answer is allowed where it is not the budget that ends it.
const BUDGET: Duration = Duration::from_secs(6);
const IDLE: Duration = Duration::from_secs(2);
/// Longer than anything takes that does not hang.
const HANGS: Duration = Duration::from_secs(15);

/// The drills.
pub(crate) async fn drills(
    table: &mut Table,
    programs: &Programs,
    network: &Network,
    llama: &Llama,
) -> Result<(), BoxError> {
    let gateway = Gateway::start(programs, llama).await?;
    for (fault, drill, model, code, limit) in [
        (
            Fault::AllLost,
            "gateway: dropped, no idle clock",
            "patient",
            "deadline_exceeded",
            Some(BUDGET),
        ),
        (
            Fault::AllLost,
            "gateway: dropped in mid-stream",
            "hurried",
            "upstream_timeout",
            None,
        ),
        (
            Fault::AllReset,
            "gateway: reset in mid-stream",
            "hurried",
            "upstream_failed",
            None,
        ),
    ] {
        let doing = gateway.in_mid_stream(network, llama, fault, model, code, limit);
        let expected = format!("{code}, nothing left");
        table.row(drill, &expected, doing).await;
    }
    Ok(())
}

// === impl Gateway ===

impl Gateway {
    async fn start(programs: &Programs, llama: &Llama) -> Result<Self, BoxError> {
        let file = format!("{}/gateway.toml", programs.folder("gateway")?);
        let mut written = Ok(());
        let server = Server::start(programs.gateway.as_ref(), |port| {
            written = fs::write(&file, configuration(port, &llama.server.url()));
            vec!["--config".to_owned(), file.clone()]
        })
        .await;
        written?;
        Ok(Self { server: server? })
    }

    async fn in_mid_stream(
        &self,
        network: &Network,
        llama: &Llama,
        fault: Fault,
        model: &str,
        code: &str,
        limit: Option<Duration>,
    ) -> Drill {
        let told = self
            .struck(model, network.break_down(fault, llama.server.port()))
            .await;
        let running = self.running().await;
        network.heal().await?;
        let (told, running) = (told?, running?);
        let at = match limit {
            Some(limit) => told.took >= limit && told.took < limit + PROMPTLY,
            None => told.took < BUDGET,
        };
        let left = llama.nothing_left().await?;
        // It takes one call at a time: what the one before had left would be in the way.
        let next = self.status_of_the_next().await?;
        seen(
            told.code == code && at && running == 0 && left.is_empty() && next == 200,
            format!("{}; in flight {running}, then {next}{left}", told.code),
        )
    }

    /// Makes a streamed call, and breaks something when its text has begun.
    async fn struck(
        &self,
        model: &str,
        breaking: impl Future<Output = Result<(), BoxError>>,
    ) -> Result<Told, BoxError> {
        let began = Instant::now();
        let response = timeout(HANGS, http1().oneshot(self.ask(model, ENDLESS)?)).await??;
        if response.status() != 200 {
            return Err(response.status().to_string().into());
        }
        let mut body = response.into_body();
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("\"content\":\"") {
            let frame = timeout(HANGS, body.frame()).await?;
            let frame = frame.ok_or("it ended before its text")??;
            text.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        breaking.await?;
        // It breaks off with an error event, and not in the middle of the transfer.
        let rest = timeout(HANGS, body.collect()).await??.to_bytes();
        text.extend_from_slice(&rest);
        Ok(Told {
            code: last_code(&text),
            took: Instant::now().saturating_duration_since(began),
        })
    }

    async fn status_of_the_next(&self) -> Result<u16, BoxError> {
        let response = timeout(HANGS, http1().oneshot(self.ask("hurried", SOME / 8)?)).await??;
        let status = response.status().as_u16();
        timeout(HANGS, response.into_body().collect()).await??;
        Ok(status)
    }

    /// How many calls it is at, by its own word.
    async fn running(&self) -> Result<usize, BoxError> {
        // The caller has its end a moment before the gateway has written it down.
        sleep(50 * MS).await;
        let request =
            Request::get(format!("{}/trails.json", self.server.url())).body(Body::empty())?;
        let response = timeout(HANGS, http1().oneshot(request)).await??;
        let body = timeout(HANGS, response.into_body().collect()).await??;
        let trails: Value = serde_json::from_slice(&body.to_bytes())?;
        let calls = trails["calls"].as_array().ok_or("no calls are listed")?;
        let running = calls.iter().filter(|call| call["ending"] == "running");
        Ok(running.count())
    }

    fn ask(&self, model: &str, tokens: u64) -> Result<Request<Body>, BoxError> {
        let document = json!({
            "model": model,
            "stream": true,
            "max_tokens": tokens,
            "ignore_eos": true,
            "messages": [{"role": "user", "content": "Tell a long story of a boat."}],
        });
        post(
            format!("{}/v1/chat/completions", self.server.url()),
            &document,
        )
    }
}

fn configuration(port: u16, upstream: &str) -> String {
    let (budget, idle) = (BUDGET.as_secs(), IDLE.as_secs());
    format!(
        r#"
[[listeners]]
address = "127.0.0.1:{port}"

[[targets]]
name = "llama"
dialect = "openai"
base_url = "{upstream}/v1"
retries = 0

[[routes]]
model = "patient"
targets = ["llama"]
budget = "{budget}s"
clocks.stream.idle = "never"

[[routes]]
model = "hurried"
targets = ["llama"]
budget = "{budget}s"
clocks.stream.idle = "{idle}s"

[limits]
calls = 1
"#
    )
}

/// The code of the last event, which is to be an error; what else it is where it is none.
fn last_code(stream: &[u8]) -> String {
    let text = String::from_utf8_lossy(stream);
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let data = last.strip_prefix("data: ").unwrap_or_default();
    let event = serde_json::from_str::<Value>(data).unwrap_or_default();
    match event["error"]["code"].as_str() {
        Some(code) => code.to_owned(),
        None => "no error at its end".to_owned(),
    }
}
