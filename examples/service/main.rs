//! An axum service in front of a model that ends well: on Ctrl-C or SIGTERM it refuses new work, lets streams
//! come to their end for a while, cancels the rest, and says what became of everything.
//!
//! Without arguments it runs against a scripted provider, has a few clients of its own, and sends itself the
//! signal while their streams run:
//!
//! ```text
//! cargo run --example service
//! ```
//!
//! With `--base-url` and `--model` it serves any OpenAI-compatible server until a signal comes:
//!
//! ```text
//! cargo run --example service -- --base-url http://127.0.0.1:8080 --model qwen --listen 127.0.0.1:3000
//! curl --no-buffer --data 'What holds a mast?' http://127.0.0.1:3000/answer
//! ```
//!
//! To learn how the library is used read `app.rs` (where the drain is) and `serve.rs` (the end).

mod app;
#[path = "../flags.rs"]
mod flags;
mod serve;
#[path = "../agent/servers.rs"]
#[allow(dead_code, reason = "the agent asks more servers")]
mod servers;
mod show;

use crate::{
    flags::{Flags, Upstream, seconds},
    servers::Server,
    show::Seen,
};
use backstay::{BoxError, drain::Drain};
use backstay_mock::Mock;
use clap::Parser;
use std::{net::SocketAddr, process::ExitCode};
use tokio::{net::TcpListener, time::Duration};

/// An axum service that drains. Without --base-url, on a scripted provider, with a Ctrl-C of its own.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seconds for one answer
    #[arg(long, default_value = "60", value_parser = seconds)]
    budget: Duration,
    /// Seconds that streams may go on once a signal came
    #[arg(long, default_value = "3", value_parser = seconds)]
    grace: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when all went as it should.
async fn run(arguments: &Arguments) -> Result<bool, BoxError> {
    let drain = Drain::new()
        .grace(arguments.grace)
        .hook_wait(Duration::from_secs(1))
        .retry_after(arguments.grace);
    drain.on_signals()?;
    let client = arguments.flags.client()?;
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");

    if let Some(upstream) = arguments.flags.upstream()? {
        let app = app::router(client, upstream, arguments.budget, &drain)?;
        let report = serve::serve(listener, app, &drain).await?;
        println!("{report}");
        return Ok(true);
    }

    let mock = Mock::start().await?;
    show::script(&mock);
    let upstream = Upstream {
        server: Server::new(&mock.url(), None)?,
        model: "short".to_owned(),
        fallback_model: None,
    };
    let app = app::router(client.clone(), upstream, arguments.budget, &drain)?;
    let clients = tokio::spawn(show::run(client, address, drain.clone()));
    let report = serve::serve(listener, app, &drain).await?;
    let seen = clients.await??;
    println!("{report}");
    // What the report says is what the clients saw, who do not include the one that does not read. Its stream is
    // cancelled or unpolled: the server, woken, polls a body only if its buffer has room, which is as the last
    // write to the full socket left it.
    let as_it_must = seen
        == Seen {
            complete: report.completed,
            cut_off: (report.cancelled + report.unpolled).saturating_sub(1),
            refused: report.refused,
        };
    if !as_it_must {
        println!("the clients saw something else: {seen:?}");
    }
    Ok(as_it_must && report.unpolled <= 1 && mock_is_idle(&mock).await)
}

/// Whether the provider generates for nobody any more, but for the client that does not read: that call lives
/// as long as its connection.
async fn mock_is_idle(mock: &Mock) -> bool {
    let left = |log: &[backstay_mock::Logged]| {
        log.iter().filter(|entry| entry.ended_at.is_none()).count() <= 1
    };
    mock.wait_until(left, Duration::from_secs(1)).await
}
