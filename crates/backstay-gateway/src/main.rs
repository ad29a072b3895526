//! `backstay-gateway --config gateway.toml`; without a configuration it fronts a mock of its own.

use backstay_gateway::{Config, Gateway, Handle, config::EXAMPLE};
use backstay_mock::Mock;
use clap::Parser;
use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

/// Deadlines, first-token clocks and fallback for every SDK that only takes a base URL.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration; without one a mock on this machine is fronted, to try things
    #[arg(long, short, env = "BACKSTAY_GATEWAY_CONFIG")]
    config: Option<PathBuf>,
    /// Reads the configuration, says what is wrong with it, and ends
    #[arg(long, requires = "config")]
    check: bool,
    /// Prints a configuration with every setting, and ends
    #[arg(long)]
    example: bool,
    /// Threads that serve; 0 takes one for each processor
    #[arg(long, env = "BACKSTAY_GATEWAY_THREADS", default_value_t = 0)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.example {
        say(EXAMPLE.trim_end());
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let threads = match arguments.threads {
        0 => std::thread::available_parallelism()?.get(),
        some => some,
    };
    // One is this one. Of more each has a runtime of its own, and this one accepts, reloads and drains.
    let workers = if threads == 1 { 0 } else { threads };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let Some(file) = &arguments.config else {
            let mock = Mock::start().await?;
            let gateway = Gateway::bind_with_threads(Config::demo(&mock.url())?, workers).await?;
            say(&greeting(&gateway, &mock));
            serve(gateway, None).await?;
            mock.shutdown().await;
            return Ok(());
        };
        let config = Config::load(file)?;
        if arguments.check {
            say(&format!("{}: nothing wrong with it", file.display()));
            return Ok(());
        }
        let gateway = Gateway::bind_with_threads(config, workers).await?;
        for address in gateway.addresses() {
            say(&format!("http://{address}"));
        }
        serve(gateway, Some(file.clone())).await
    })
}

/// Serves until a signal has ended it.
async fn serve(gateway: Gateway, file: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let handle = gateway.handle();
    let mut serving = std::pin::pin!(gateway.serve());
    loop {
        tokio::select! {
            report = &mut serving => {
                say(&format!("drained: {report}"));
                return Ok(());
            }
            _ = hangup.recv() => reload(&handle, file.as_ref()),
            _ = terminate.recv() => handle.drain(),
            _ = interrupt.recv() => handle.drain(),
        }
    }
}

/// A bad file changes nothing, and is complained of.
fn reload(handle: &Handle, file: Option<&PathBuf>) {
    let Some(file) = file else {
        return;
    };
    match Config::load(file).and_then(|config| handle.reload(config)) {
        Ok(()) => say(&format!("{}: taken for the calls to come", file.display())),
        Err(error) => {
            complain(&error);
            say("the configuration in use stays");
        }
    }
}

fn greeting(gateway: &Gateway, mock: &Mock) -> String {
    let address = gateway
        .addresses()
        .first()
        .map_or_else(String::new, ToString::to_string);
    format!(
        r#"There is no configuration: a mock at {mock} answers.

  OPENAI_BASE_URL=http://{address}/v1     ANTHROPIC_BASE_URL=http://{address}     any key

A stream; then one whose first target is overloaded, and whose second is silent for too long:

  curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' \
    -d '{{"model":"any","stream":true,"messages":[]}}'
  curl -Ni http://{address}/v1/chat/completions -H 'content-type: application/json' \
    -d '{{"model":"demo-fallback","stream":true,"messages":[]}}'

What happened: http://{address}/trails
Names of models that stand for faults: stall, cut, in-band-error, rate-limited, slow-first-token, ...
Your own targets: backstay-gateway --example > gateway.toml; backstay-gateway --config gateway.toml
"#,
        mock = mock.url(),
    )
}

/// The error, and what led to it.
fn complain(error: &(dyn Error + 'static)) {
    let mut text = format!("backstay-gateway: {error}");
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a line; a reader who has gone is no reason to stop.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
