//! async-openai over a backstay stack: a chat whose first model does not find its first word.
//!
//! Without arguments it starts a scripted provider, whose first model stays silent after the response head:
//!
//! ```text
//! cargo run --example async_openai_chat
//! ```
//!
//! With `--base-url` it asks any OpenAI-compatible server, with the key in `OPENAI_API_KEY`:
//!
//! ```text
//! cargo run --example async_openai_chat -- --base-url https://api.openai.com/v1 \
//!     --model gpt-4o --fallback-model gpt-4o-mini --prompt "Why does a mast need a backstay?"
//! ```

use async_openai::{
    Client,
    config::OpenAIConfig,
    types::chat::{ChatCompletionRequestUserMessage, CreateChatCompletionRequestArgs},
};
use backstay::{BoxError, ServiceBuilderExt, Timeouts, fallback::Targets};
use backstay_async_openai::{Report, Transport};
use backstay_mock::{Mock, Reply};
use clap::Parser;
use futures_util::StreamExt;
use std::io::{Write, stdout};
use tokio::time::Duration;
use tower::ServiceBuilder;

/// A chat with a model to fall back on. Without --base-url, over a scripted provider.
#[derive(Parser)]
struct Arguments {
    /// An OpenAI-compatible server, such as https://api.openai.com/v1
    #[arg(long)]
    base_url: Option<String>,
    /// The server's key
    #[arg(
        long,
        env = "OPENAI_API_KEY",
        hide_env_values = true,
        default_value = "none"
    )]
    api_key: String,
    /// The model that is asked first
    #[arg(long, default_value = "gpt-4o")]
    model: String,
    /// The model to fall back on
    #[arg(long, default_value = "gpt-4o-mini")]
    fallback_model: String,
    /// What is asked
    #[arg(long, default_value = "Why does a mast need a backstay?")]
    prompt: String,
    /// How many seconds the whole answer may take
    #[arg(long, default_value_t = 20)]
    budget: u64,
    /// How many seconds a model may take to its first word
    #[arg(long)]
    first_token: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let mock = match arguments.base_url {
        None => Some(scripted(&arguments).await?),
        Some(_) => None,
    };
    let base_url = match (&arguments.base_url, &mock) {
        (Some(base_url), _) => base_url.clone(),
        (None, Some(mock)) => format!("{}/v1", mock.url()),
        (None, None) => return Err("there is no server".into()),
    };
    // The scripted one is not worth a long wait.
    let patience = if mock.is_some() { 1 } else { 10 };
    let first_token = Duration::from_secs(arguments.first_token.unwrap_or(patience));

    let targets = Targets::new(arguments.model.as_str()).then(arguments.fallback_model.as_str());
    let stack = ServiceBuilder::new()
        .deadline(Duration::from_secs(arguments.budget))?
        .fallback(targets)?
        .timeouts(Timeouts::recommended().for_streams(|clocks| clocks.first_token(first_token)))?
        .service(
            backstay_client::Client::builder()
                .allow_http_loopback(true)
                .build()?,
        );
    let config = OpenAIConfig::new()
        .with_api_base(base_url)
        .with_api_key(arguments.api_key);
    let openai = Client::with_config(config).with_http_service(Transport::new(stack));

    let message = ChatCompletionRequestUserMessage::from(arguments.prompt.as_str());
    let request = CreateChatCompletionRequestArgs::default()
        .model(arguments.model)
        .messages([message.into()])
        .build()?;
    let report = Report::new();
    let answered = report.of(openai.chat().create_stream(request)).await;
    match answered {
        Ok(mut stream) => {
            while let Some(chunk) = stream.next().await {
                match chunk {
                    Ok(chunk) => {
                        for choice in chunk.choices {
                            print!("{}", choice.delta.content.unwrap_or_default());
                        }
                        stdout().flush()?;
                    }
                    Err(error) => eprintln!("\nasync-openai: {error}"),
                }
            }
            println!();
        }
        Err(error) => eprintln!("async-openai: {error}"),
    }

    // What async-openai has no place for.
    if let Some(trail) = report.trail() {
        println!("\n{trail}");
    }
    match report.failure() {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}

/// A provider whose first model answers with a head and then stays silent.
async fn scripted(arguments: &Arguments) -> Result<Mock, BoxError> {
    let mock = Mock::start().await?;
    let words = "It holds the mast from behind when every sail pulls it forward.";
    let silent = Reply::text(words).stall_after_tokens(0);
    mock.script(arguments.model.as_str(), silent);
    let answers = Reply::text(words).delay_between_tokens(Duration::from_millis(40));
    mock.script(arguments.fallback_model.as_str(), answers);
    Ok(mock)
}
