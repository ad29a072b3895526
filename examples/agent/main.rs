//! A research agent: it embeds a question, looks up notes in a vector store, and streams an answer from a
//! language model, all inside one budget, with a second model to fall back on.
//!
//! Without arguments it starts a scripted provider and shows what can happen:
//!
//! ```text
//! cargo run --example agent
//! ```
//!
//! With `--base-url` it asks any OpenAI-compatible server and, with `--vector-url`, a real Chroma:
//!
//! ```text
//! cargo run --example agent -- --base-url http://127.0.0.1:8080 --model qwen --fallback-model tiny \
//!     --vector-url http://127.0.0.1:8000
//! ```
//!
//! To learn how the library is used, read `stack.rs` (the layers), then `research.rs` (the three calls under
//! one deadline), `cleanup.rs` (the hook) and `report.rs` (what a trail holds).

mod chroma;
mod cleanup;
mod document;
mod embedder;
mod report;
mod research;
mod screen;
mod seed;
mod servers;
mod show;
mod sse;
mod stack;
mod tour;
mod waterfall;

use crate::{
    embedder::Embedder,
    research::{HOOKS_WAIT, Question, Research},
    screen::Screen,
    servers::{Fallback, Server, Servers},
    stack::{Limits, Stacks},
};
use backstay::{BoxError, Deadline, fallback::Commit};
use backstay_mock::Mock;
use clap::Parser;
use std::process::ExitCode;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

/// A research agent: three calls, one budget, a model to fall back on. Without --base-url, a tour.
#[derive(Parser)]
struct Arguments {
    /// An OpenAI-compatible server, such as https://api.example.com/v1
    #[arg(long, requires = "model")]
    base_url: Option<String>,
    /// The model that is asked first
    #[arg(long, requires = "base_url")]
    model: Option<String>,
    /// The environment variable that holds the server's key
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// The model to fall back on
    #[arg(long, requires = "base_url")]
    fallback_model: Option<String>,
    /// Its server, where that is another one
    #[arg(long, requires = "fallback_model")]
    fallback_base_url: Option<String>,
    /// The environment variable that holds that server's key
    #[arg(long, value_name = "VARIABLE", requires = "fallback_base_url")]
    fallback_api_key_env: Option<String>,
    /// A server for embeddings, where that is another one; it gets no key
    #[arg(long)]
    embedding_url: Option<String>,
    /// The embedding model
    #[arg(long, default_value = "text-embedding-3-small")]
    embedding_model: String,
    /// A Chroma server; without one, a vector store inside this program
    #[arg(long)]
    vector_url: Option<String>,
    /// The collection to look in; it is made and filled if it is missing
    #[arg(long, default_value = "rigging")]
    collection: String,
    /// What to ask
    #[arg(long, default_value = seed::QUESTION)]
    question: String,
    /// Seconds for everything
    #[arg(long, default_value_t = 20.0, value_parser = seconds)]
    budget: f64,
    /// Seconds until an attempt's first token is due
    #[arg(long, default_value_t = 6.0, value_parser = seconds)]
    first_token: f64,
    /// Show nothing until the answer is whole, so that one that is cut or stalls falls over too
    #[arg(long, requires = "base_url")]
    whole: bool,
    /// Let plain http leave this machine
    #[arg(long)]
    allow_http: bool,
    /// Print one JSON object for each call, and nothing else
    #[arg(long)]
    json: bool,
    /// Draw with ASCII only
    #[arg(long)]
    ascii: bool,
}

/// What the shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let token = cancel_on_ctrl_c();
    match run(&arguments, &token).await {
        _ if token.is_cancelled() => {
            eprintln!("cancelled; the hooks have run");
            ExitCode::from(INTERRUPTED)
        }
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", report::with_sources(&error));
            ExitCode::FAILURE
        }
    }
}

/// True when all went as it should.
async fn run(arguments: &Arguments, token: &CancellationToken) -> Result<bool, BoxError> {
    let mut screen = Screen::new(arguments.json, arguments.ascii);
    let client = stack::client(arguments.allow_http)?;
    let limits = Limits::new(
        Duration::from_secs_f64(arguments.budget),
        Duration::from_secs_f64(arguments.first_token),
    );
    let (Some(base_url), Some(model)) = (&arguments.base_url, &arguments.model) else {
        return tour::run(&mut screen, &client, limits, token).await;
    };

    // Lives as long as the question, when no vector store was named.
    let mock = match arguments.vector_url {
        Some(_) => None,
        None => Some(Mock::start().await?),
    };
    let servers = arguments.servers(base_url, model, mock.as_ref())?;
    let stacks = Stacks::new(&client, &servers, limits)?;
    let embedder = Embedder::new(servers.embeddings.clone(), servers.embedding_model.clone());
    let prepared = seed::prepare(&stacks, &embedder, &servers.vectors, &arguments.collection);
    // Before the question, so with a budget of its own.
    let prepared = Deadline::after(limits.budget).scope(prepared);
    let Some(collection) = token.run_until_cancelled(prepared).await.transpose()? else {
        stacks.hooks.wait(HOOKS_WAIT).await;
        return Ok(false);
    };

    let research = Research {
        stacks: &stacks,
        servers: &servers,
        embedder: &embedder,
        collection: &collection,
    };
    let question = Question {
        text: &arguments.question,
        name: "question",
        token: token.clone(),
        commit: arguments.whole.then_some(Commit::End),
    };
    let asked = show::ask(&mut screen, &research, &question, None).await?;
    Ok(asked.result.is_ok() && !asked.is_cancelled())
}

/// The first Ctrl-C cancels the calls and lets their hooks run; the second ends the program at once.
fn cancel_on_ctrl_c() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(INTERRUPTED.into());
        }
    });
    token
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("give seconds, from 0.001 to 86400".to_owned()),
    }
}

// === impl Arguments ===

impl Arguments {
    fn servers(
        &self,
        base_url: &str,
        model: &str,
        mock: Option<&Mock>,
    ) -> Result<Servers, BoxError> {
        let llm = Server::new(base_url, key(self.api_key_env.as_deref())?)?;
        let fallback_server = match &self.fallback_base_url {
            Some(url) => Some(Server::new(
                url,
                key(self.fallback_api_key_env.as_deref())?,
            )?),
            None => None,
        };
        let embeddings = match &self.embedding_url {
            Some(url) => Server::new(url, None)?,
            None => llm.clone(),
        };
        Ok(Servers {
            llm,
            model: model.to_owned(),
            fallback: self.fallback_model.clone().map(|model| Fallback {
                model,
                server: fallback_server,
            }),
            embeddings,
            embedding_model: self.embedding_model.clone(),
            vectors: self
                .vector_url
                .clone()
                .or_else(|| mock.map(Mock::url))
                .unwrap_or_default(),
        })
    }
}

fn key(variable: Option<&str>) -> Result<Option<String>, BoxError> {
    let Some(variable) = variable else {
        return Ok(None);
    };
    match std::env::var(variable) {
        Ok(key) => Ok(Some(key)),
        Err(_) => Err(format!("{variable} is not set, or is not text").into()),
    }
}
