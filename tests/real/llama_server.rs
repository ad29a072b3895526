//! A llama-server, and what it is still at.

use crate::{calls::post, programs::Programs, server::Server};
use backstay::{Body, BoxError};
use backstay_tests::{HANGS, MS, stack::http1};
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use std::collections::BTreeSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

/// A llama-server.
pub(crate) struct Llama {
    pub(crate) server: Server,
}

/// Which model it serves.
#[derive(Clone, Copy)]
pub(crate) enum Model {
    /// Random weights, thousands of tokens a second.
    Tiny,
    /// SmolLM2 with 135 million parameters, some dozens a second.
    Small,
}

// === impl Llama ===

impl Llama {
    /// Starts one, with so many slots.
    pub(crate) async fn start(
        programs: &Programs,
        model: Model,
        slots: usize,
    ) -> Result<Self, BoxError> {
        let (file, context) = match model {
            Model::Tiny => (&programs.tiny, 8_192),
            Model::Small => (&programs.small, 2_048),
        };
        let server = Server::start(programs.llama.as_ref(), |port| {
            let (port, slots_) = (port.to_string(), slots.to_string());
            let context = (context * slots).to_string();
            let words = [
                "--model",
                file,
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--threads",
                "1",
                "--parallel",
                &slots_,
                "--ctx-size",
                &context,
                // Each is held by a unary call until it is looked whether its caller is there.
                "--threads-http",
                "64",
                "--ignore-eos",
                "--metrics",
                "--slots",
            ];
            words.map(str::to_owned).into()
        })
        .await?;
        let llama = Self { server };
        // It listens before its model is there.
        let loaded = async {
            while llama.get("/health").await.is_err() {
                sleep(20 * MS).await;
            }
        };
        timeout(HANGS, loaded)
            .await
            .map_err(|_| "no model is loaded")?;
        Ok(llama)
    }

    /// Asks for an answer of so many tokens, which no end of text cuts short.
    pub(crate) fn ask(&self, tokens: u64, stream: bool) -> Result<Request<Body>, BoxError> {
        let mut document = json!({
            "model": "any",
            "stream": stream,
            "max_tokens": tokens,
            "ignore_eos": true,
            "messages": [{"role": "user", "content": "Tell a long story of a boat."}],
        });
        if stream {
            document["stream_options"] = json!({"include_usage": true});
        }
        post(
            format!("{}/v1/chat/completions", self.server.url()),
            &document,
        )
    }

    /// Requests that it has begun with, by its numbers.
    pub(crate) fn began(&self) -> BTreeSet<u64> {
        self.server.numbers("| task ", "| processing task,")
    }

    /// Requests whose callers it has seen leave.
    pub(crate) fn cancelled(&self) -> BTreeSet<u64> {
        self.server.numbers("cancel task, id_task = ", "")
    }

    /// Waits until it has noticed who left. Says what it is still at: nothing, if all is well.
    pub(crate) async fn nothing_left(&self) -> Result<String, BoxError> {
        let mut left = (0, 0);
        for _ in 0..6 {
            left = (
                self.metric("llamacpp:requests_processing").await?,
                self.metric("llamacpp:requests_deferred").await?,
            );
            if left == (0, 0) {
                break;
            }
            // It looks for callers of unary calls after a second in which it had no result for anybody, and to be
            // asked for its metrics is one.
            sleep(1_500 * MS).await;
        }
        if left != (0, 0) {
            return Ok(format!("; {} processing, {} deferred", left.0, left.1));
        }
        let decoded = self.metric("llamacpp:n_decode_total").await?;
        sleep(200 * MS).await;
        let more = self.metric("llamacpp:n_decode_total").await? - decoded;
        Ok(if more > 0 {
            format!("; {more} decoded for nobody")
        } else {
            String::new()
        })
    }

    async fn metric(&self, name: &str) -> Result<u64, BoxError> {
        let metrics = self.get("/metrics").await?;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or("no such metric")?.trim().parse()?)
    }

    async fn get(&self, path: &str) -> Result<String, BoxError> {
        let request = Request::get(format!("{}{path}", self.server.url())).body(Body::empty())?;
        let response = timeout(HANGS / 3, http1().oneshot(request)).await??;
        if response.status() != 200 {
            return Err(response.status().to_string().into());
        }
        let body = timeout(HANGS / 3, response.into_body().collect()).await??;
        Ok(String::from_utf8(body.to_bytes().into())?)
    }
}
