//! The mock as a program: `backstay-mock --addr 127.0.0.1:8080 --script faults.json`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use backstay_mock::{Dialect, Logged, Mock, ScriptFile};
use clap::Parser;

/// A scripted LLM provider and vector store on loopback.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; loopback only, port 0 takes a free one
    #[arg(long, env = "BACKSTAY_MOCK_ADDR", default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// A JSON file of scripts
    #[arg(long, env = "BACKSTAY_MOCK_SCRIPT")]
    script: Option<PathBuf>,
    /// Chooses other words for answers without a scripted text
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Whose chat completions are spoken where the path leaves it open: openai, mistral, groq, vllm, ..
    #[arg(long, env = "BACKSTAY_MOCK_CHAT_AS", default_value = "openai")]
    chat_as: Dialect,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let file = match &arguments.script {
        Some(path) => ScriptFile::from_json(&std::fs::read_to_string(path)?)?,
        None => ScriptFile::default(),
    };
    let mock = Mock::builder()
        .addr(arguments.addr)
        .seed(arguments.seed)
        .chat_as(arguments.chat_as)
        .on_ended(|entry| say(&line(entry)))
        .start()
        .await?;
    file.apply(&mock);
    say(&mock.url());
    tokio::signal::ctrl_c().await?;
    mock.shutdown().await;
    Ok(())
}

/// One request in one line; never any content.
fn line(entry: &Logged) -> String {
    let name = entry.model.as_deref().unwrap_or("-");
    let status = entry
        .status
        .map_or_else(|| "-".to_owned(), |status| status.to_string());
    let ending = entry
        .ending
        .map_or_else(String::new, |ending| ending.to_string());
    let took = entry
        .ended_at
        .unwrap_or(entry.at)
        .saturating_duration_since(entry.at);
    format!(
        "#{} {} {} {} model={name} attempt={} status={status} tokens={} after={}ms: {ending}",
        entry.number,
        entry.method,
        entry.path,
        entry.dialect.map_or("-", Dialect::as_str),
        entry.attempt,
        entry.tokens_sent,
        took.as_millis(),
    )
}

/// Prints a line; a reader who has gone is no reason to stop.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
