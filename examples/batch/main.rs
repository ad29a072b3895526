//! Two hundred prompts, sixteen at a time, with a progress bar. Some fail, some hang; none harms another, and
//! the failures are grouped at the end.
//!
//! Without arguments it runs against a scripted provider:
//!
//! ```text
//! cargo run --example batch
//! ```
//!
//! With `--base-url` and `--model` it sends prompts to any OpenAI-compatible server: made-up ones, or those of
//! `--input`, one a line. Ctrl-C cancels what is in flight.

mod bar;
#[path = "../flags.rs"]
mod flags;
mod prompt;
#[path = "../agent/servers.rs"]
#[allow(dead_code, reason = "the agent asks more servers")]
mod servers;
mod stack;
mod tally;

use crate::{
    bar::{Bar, REDRAW},
    flags::{Flags, Upstream, seconds},
    prompt::Prompt,
    servers::Server,
    tally::Tally,
};
use backstay::{BoxError, batch::Batch};
use backstay_mock::Mock;
use clap::Parser;
use std::{path::PathBuf, process::ExitCode};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Many prompts, a window of them in flight, results as they come. Without --base-url, on a scripted provider.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Prompts, one a line
    #[arg(long, requires = "base_url")]
    input: Option<PathBuf>,
    /// How many prompts are made up
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// How many are in flight at most
    #[arg(long, default_value_t = 16)]
    window: usize,
    /// Seconds for one prompt; the scripted provider is given a tenth of it
    #[arg(long, default_value = "10", value_parser = seconds)]
    item_budget: Duration,
    /// Seconds for all of them
    #[arg(long, default_value = "600", value_parser = seconds)]
    budget: Duration,
    /// The first failure ends the batch
    #[arg(long)]
    fail_fast: bool,
}

/// What the shell says of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
    match run(&arguments, &token).await {
        Ok(()) if token.is_cancelled() => ExitCode::from(INTERRUPTED),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, token: &CancellationToken) -> Result<(), BoxError> {
    if let Some(upstream) = arguments.flags.upstream()? {
        let prompts = match &arguments.input {
            Some(path) => std::fs::read_to_string(path)?
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| Prompt {
                    text: line.to_owned(),
                    model: upstream.model.clone(),
                })
                .collect(),
            None => prompt::made_up(arguments.count, &upstream.model),
        };
        return batch(arguments, &upstream, &prompts, arguments.item_budget, token).await;
    }
    let mock = Mock::start().await?;
    let prompts = prompt::with_faults(&mock, arguments.count);
    let upstream = Upstream {
        server: Server::new(&mock.url(), None)?,
        model: "answers".to_owned(),
        fallback_model: None,
    };
    batch(
        arguments,
        &upstream,
        &prompts,
        arguments.item_budget / 10,
        token,
    )
    .await?;
    println!(
        "the provider saw at most {} at a time",
        mock.peak_in_flight()
    );
    mock.shutdown().await;
    Ok(())
}

/// Sends all prompts, and shows what becomes of them.
async fn batch(
    arguments: &Arguments,
    upstream: &Upstream,
    prompts: &[Prompt],
    item_budget: Duration,
    token: &CancellationToken,
) -> Result<(), BoxError> {
    let stack = stack::stack(arguments.flags.client()?, upstream, item_budget)?;
    let mut batch = Batch::new(stack)
        .window(arguments.window)
        .item_budget(item_budget)
        .budget(arguments.budget);
    if arguments.fail_fast {
        batch = batch.fail_fast();
    }
    let began = Instant::now();
    let head = upstream.server.post("/chat/completions").body(())?;
    // A request is made when there is place for it in the window.
    let requests = prompts.iter().map(|prompt| prompt.request(&head));
    let mut results = batch.run(requests, prompt::answer)?;
    let progress = results.progress();
    let mut bar = Bar::new(progress.clone());
    let mut tick = interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut failures = Tally::default();
    loop {
        tokio::select! {
            result = results.next() => match result {
                Some((_, Ok(_answer))) => {}
                Some((index, Err(error))) => failures.add(index, error),
                None => break,
            },
            _ = tick.tick() => bar.draw()?,
            () = token.cancelled() => break,
        }
    }
    // Cancels what is in flight, if it was left early.
    drop(results);
    bar.finish()?;

    let took = Instant::now().saturating_duration_since(began);
    println!(
        "{} prompts: {} answered, {} failed, {} cancelled, {} not sent; took {:.1} s",
        prompts.len(),
        progress.succeeded(),
        progress.failed(),
        progress.cancelled(),
        prompts.len().saturating_sub(progress.started()),
        took.as_secs_f64()
    );
    failures.print();
    Ok(())
}
