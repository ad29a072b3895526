//! A workflow of three steps in a scope: retrieve notes from three places at once, generate an answer, save it.
//!
//! Without arguments it runs against a scripted provider and vector store, and shows sessions that succeed,
//! fail, are cancelled, and run over their budget, with what is cleaned up each time:
//!
//! ```text
//! cargo run --example workflow
//! ```
//!
//! With `--base-url` and `--model` it runs one session against any OpenAI-compatible server and, with
//! `--vector-url`, a Chroma. Ctrl-C cancels it; its cleanups run.
//!
//! To learn how the library is used read `session.rs`: scopes, cleanups and a group. `stack.rs` has the layers.

#[path = "../agent/document.rs"]
#[allow(dead_code, reason = "the agent reads trails too")]
mod document;
#[path = "../flags.rs"]
mod flags;
mod journal;
#[path = "../agent/servers.rs"]
#[allow(dead_code, reason = "the agent asks more servers")]
mod servers;
mod session;
mod shelves;
mod show;
#[path = "../agent/sse.rs"]
mod sse;
mod stack;
mod store;

use crate::{
    flags::{Flags, Upstream, seconds},
    journal::Journal,
    servers::Server,
    session::{Session, Workflow},
    stack::Stacks,
    store::Shelf,
};
use backstay::{BoxError, Scope};
use backstay_mock::Mock;
use clap::Parser;
use std::process::ExitCode;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

/// Retrieve, generate, save: a workflow in a scope. Without --base-url, a show of how one can end.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// A Chroma server; without one, a vector store inside this program
    #[arg(long, requires = "base_url")]
    vector_url: Option<String>,
    /// What to ask
    #[arg(long, default_value = shelves::QUESTION)]
    question: String,
    /// Seconds for a whole session; the show takes a tenth of it
    #[arg(long, default_value = "20", value_parser = seconds)]
    budget: Duration,
}

/// What the shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let token = cancel_on_ctrl_c();
    match run(&arguments, &token).await {
        _ if token.is_cancelled() => ExitCode::from(INTERRUPTED),
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when all went as it should.
async fn run(arguments: &Arguments, token: &CancellationToken) -> Result<bool, BoxError> {
    // Answers the calls for which no server was named.
    let mock = Mock::start().await?;
    let given = arguments.flags.upstream()?;
    let (is_show, budget) = match given {
        Some(_) => (false, arguments.budget),
        None => (true, arguments.budget / 10),
    };
    let upstream = match given {
        Some(upstream) => upstream,
        None => Upstream {
            server: Server::new(&mock.url(), None)?,
            model: show::PRIMARY.to_owned(),
            fallback_model: Some(show::FALLBACK.to_owned()),
        },
    };
    let vectors = arguments.vector_url.clone().unwrap_or_else(|| mock.url());
    let workflow = workflow(arguments, upstream, &vectors, budget, token).await?;
    if is_show {
        println!(
            "Each session has {} ms for three steps. Question: {}",
            budget.as_millis(),
            shelves::QUESTION
        );
        return show::run(&workflow, &mock, token).await;
    }
    let id = format!("s-{}", std::process::id());
    let session = Session::new(id, &arguments.question, token.clone());
    let (outcome, _) = show::one(&workflow, &session).await;
    Ok(outcome == "saved")
}

/// Opens everything. That has a scope too: its errors then say where they come from.
async fn workflow(
    arguments: &Arguments,
    upstream: Upstream,
    vectors: &str,
    budget: Duration,
    token: &CancellationToken,
) -> Result<Workflow, BoxError> {
    let client = arguments.flags.client()?;
    let journal = Journal::default();
    let stacks = Stacks::new(&client, &upstream, budget, &journal)?;
    let (shelves, answers) = Scope::new("open")
        .label("step", "open")
        .budget(arguments.budget)
        .token(token.clone())
        .run(async |_| {
            let shelves = shelves::fill(&stacks.vectors, vectors).await?;
            let answers = Shelf::open(&stacks.vectors, vectors, "answers").await?;
            Ok((shelves, answers))
        })
        .await?;
    Ok(Workflow {
        stacks,
        upstream,
        shelves,
        answers,
        budget,
        journal,
    })
}

/// The first Ctrl-C cancels what runs and lets its cleanups run; the second ends the program at once.
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
