//! An axum agent that takes its callers' time for its own: whoever says how long it waits has an answer, or a 504, by
//! then, and nothing goes on afterwards. It ends well, too: SIGTERM or Ctrl-C drain it.
//!
//! Without arguments it runs against a scripted provider, and is its own caller for a moment: a healthy call, one with
//! too small a budget, one whose budget ends in the answer, and a caller who leaves.
//!
//! ```text
//! cargo run --example axum_agent
//! ```
//!
//! With `--base-url` and `--model` it serves any OpenAI-compatible server until a signal comes. `--tell` says that the
//! server is one of yours, and may know how long its callers wait:
//!
//! ```text
//! cargo run --example axum_agent -- --base-url http://127.0.0.1:8080 --model qwen --listen 127.0.0.1:3000 --tell
//! curl --no-buffer -H 'request-timeout: 5' --data 'What holds a mast?' http://127.0.0.1:3000/ask
//! ```
//!
//! To learn how the library is used read `app.rs`.

mod app;
#[path = "../flags.rs"]
mod flags;
#[path = "../service/serve.rs"]
mod serve;
#[path = "../agent/servers.rs"]
#[allow(dead_code, reason = "the agent asks more servers")]
mod servers;
mod tour;

use crate::{
    app::Settings,
    flags::{Flags, Upstream, seconds},
    servers::Server,
};
use backstay::{BoxError, drain::Drain};
use backstay_mock::Mock;
use clap::Parser;
use std::{net::SocketAddr, process::ExitCode};
use tokio::{net::TcpListener, time::Duration};

/// An axum agent with inbound deadlines. Without --base-url, on a scripted provider, with callers of its own.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// The model that makes a search of the question; the same one unless given
    #[arg(long, requires = "base_url")]
    small_model: Option<String>,
    /// Tell the server how much time is left
    #[arg(long, requires = "base_url")]
    tell: bool,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Believe callers from other machines too
    #[arg(long)]
    believe_everyone: bool,
    /// Seconds for one answer, if its caller does not say how many
    #[arg(long, default_value = "60", value_parser = seconds)]
    budget: Duration,
    /// Seconds that answers may take once a signal came
    #[arg(long, default_value = "3", value_parser = seconds)]
    grace: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when all went as it should.
async fn run(arguments: Arguments) -> Result<bool, BoxError> {
    let drain = Drain::new()
        .grace(arguments.grace)
        .hook_wait(Duration::from_secs(1));
    drain.on_signals()?;
    let client = arguments.flags.client()?;
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");

    let settings = Settings {
        budget: arguments.budget,
        believe: arguments.believe_everyone || address.ip().is_loopback(),
        tell: arguments.tell,
    };
    if let Some(upstream) = arguments.flags.upstream()? {
        let small = arguments
            .small_model
            .unwrap_or_else(|| upstream.model.clone());
        let app = app::router(client, upstream, small, &settings, &drain)?;
        println!("{}", serve::serve(listener, app, &drain).await?);
        return Ok(true);
    }

    let mock = Mock::start().await?;
    tour::script(&mock);
    let upstream = Upstream {
        server: Server::new(&mock.url(), None)?,
        model: tour::MODEL.to_owned(),
        fallback_model: None,
    };
    let settings = Settings {
        tell: true,
        ..settings
    };
    let small = tour::SMALL_MODEL.to_owned();
    let app = app::router(client.clone(), upstream, small, &settings, &drain)?;
    let tour = tokio::spawn(tour::run(client, address, mock, drain.clone()));
    let report = serve::serve(listener, app, &drain).await?;
    let as_it_must = tour.await??;
    println!("{report}");
    Ok(as_it_must && report.is_clean())
}
