//! `rehearse`: calls of the kinds that a gateway gets in use, for a compiler that counts what is used.
//!
//! Most are healthy, as in use, and some fall over to a second target, are refused, or are left: a compiler
//! puts what never happened out of the way, and what a fault takes shall not be slow either. Nothing is timed.
//! `.ci/gateway-release` builds with what was counted.

use super::{
    SCRIPT, a_turn,
    caller::{Caller, Place},
    programs::Program,
};
use std::{collections::BTreeSet, path::PathBuf};
use tokio::time::timeout;
use tower::BoxError;

/// Which gateway, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder of `backstay-gateway`
    #[arg(long)]
    gateway: PathBuf,
    /// The folder of `backstay-mock`
    #[arg(long)]
    mock: PathBuf,
    /// How often all is gone through
    #[arg(long, default_value_t = 40)]
    rounds: usize,
}

/// What is asked how often in a round.
struct Scene {
    path: &'static str,
    model: &'static str,
    stream: bool,
    /// Bytes of the prompt.
    prompt: usize,
    status: u16,
    calls: usize,
}

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

#[rustfmt::skip]
const SCENES: &[Scene] = &[
    Scene { path: CHAT, model: "steady", stream: false, prompt: 60, status: 200, calls: 40 },
    Scene { path: CHAT, model: "steady", stream: false, prompt: 8 << 10, status: 200, calls: 20 },
    Scene { path: CHAT, model: "eight", stream: true, prompt: 600, status: 200, calls: 20 },
    Scene { path: CHAT, model: "eight", stream: true, prompt: 64 << 10, status: 200, calls: 2 },
    Scene { path: MESSAGES, model: "claude", stream: false, prompt: 600, status: 200, calls: 20 },
    Scene { path: MESSAGES, model: "claude", stream: true, prompt: 2 << 10, status: 200, calls: 20 },
    Scene { path: CHAT, model: "overloaded", stream: false, prompt: 600, status: 200, calls: 2 },
    Scene { path: CHAT, model: "rate-limited", stream: true, prompt: 600, status: 200, calls: 2 },
    Scene { path: CHAT, model: "early-in-band-error", stream: true, prompt: 600, status: 200, calls: 2 },
    Scene { path: CHAT, model: "reset-early", stream: false, prompt: 600, status: 200, calls: 1 },
    Scene { path: CHAT, model: "slow-first-token@100", stream: true, prompt: 60, status: 200, calls: 1 },
    Scene { path: CHAT, model: "too-long", stream: false, prompt: 60, status: 200, calls: 1 },
    Scene { path: CHAT, model: "nobody-knows", stream: false, prompt: 60, status: 404, calls: 1 },
];

/// Left after the first token.
const LEFT: &str = r#"{"model":"slow-tokens@20","stream":true,"messages":[]}"#;
const CONNECTIONS: [usize; 2] = [1, 4];

pub(crate) fn run(options: &Options) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(rehearse(options))
}

async fn rehearse(options: &Options) -> Result<(), BoxError> {
    let mock = Program::mock(&options.mock, "127.0.0.1:0", SCRIPT)?;
    // Of one thread, whose counters no other one writes.
    let gateway = Program::gateway(&options.gateway, &configuration(&mock.place), 1)?;
    let mut calls = 0;
    for round in 0..options.rounds {
        let connections = CONNECTIONS[round % CONNECTIONS.len()];
        for scene in SCENES {
            let place = gateway.place.clone().at(scene.path);
            let each = scene.calls.max(connections);
            let times = a_turn(&scene.body(), connections, scene.status, &place, each).await;
            calls += times
                .map_err(|error| format!("{}: {error}", scene.model))?
                .len();
        }
        let mut left = Caller::connect(&gateway.place).await?;
        left.send(LEFT).await?;
        timeout(super::HANGS, left.until_token()).await??;
        calls += 1;
    }
    gateway.ended()?;
    super::print("calls", "backstay", "calls", calls as f64)?;
    Ok(())
}

fn configuration(mock: &Place) -> String {
    let routed = SCENES
        .iter()
        .filter(|scene| scene.path == CHAT && scene.status != 404);
    let models: BTreeSet<String> = routed.map(|scene| format!("{:?}", scene.model)).collect();
    let models = Vec::from_iter(models).join(", ");
    format!(
        r#"
[[listeners]]
address = "127.0.0.1:0"
[[targets]]
name = "first"
dialect = "openai"
base_url = "http://{mock}/v1"
key_inline_insecure = "none"
retries = 0
[[targets]]
name = "second"
dialect = "openai"
base_url = "http://{mock}/v1"
model = "eight"
[[targets]]
name = "anthropic"
dialect = "anthropic"
base_url = "http://{mock}"
key_inline_insecure = "none"
[[routes]]
models = [{models}, "slow-tokens@20"]
targets = ["first", "second"]
budget = "30s"
clocks.stream.first_token = "40ms"
[[routes]]
model = "claude"
targets = ["anthropic"]
[upstream]
proxy = "none"
"#
    )
}

// === impl Scene ===

impl Scene {
    fn body(&self) -> String {
        let Self { model, stream, .. } = self;
        // Lines and quotes, as prompts have.
        let prompt = "It was \\\"the best\\\" of times,\\n".repeat(self.prompt.div_ceil(31));
        format!(
            r#"{{"model":"{model}","stream":{stream},"max_tokens":64,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
        )
    }
}
