//! rig over a backstay stack: an agent with one tool, all of its turns under one deadline.
//!
//! Without arguments it starts a scripted provider, which asks for the tool, is then overloaded once, and
//! answers:
//!
//! ```text
//! cargo run --example rig_agent
//! ```
//!
//! With `--base-url` it asks any OpenAI-compatible server, with the key in `OPENAI_API_KEY`:
//!
//! ```text
//! cargo run --example rig_agent -- --base-url https://api.openai.com/v1 \
//!     --model gpt-4o --fallback-model gpt-4o-mini --prompt "Do I need a reef in Kiel?"
//! ```

use backstay::{
    BoxError, Deadline, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Ended},
    fallback::Targets,
};
use backstay_mock::{Mock, Reply, Script};
use backstay_rig::Transport;
use clap::Parser;
use rig_core::{
    ProviderError,
    completion::{CompletionRequest, Message, ToolDefinition},
    message::{EmptyToolName, ToolCall, ToolName},
    providers::openai::{OpenAI, OpenAIConfig},
};
use tokio::time::Duration;
use tower::ServiceBuilder;

/// An agent with one tool. Without --base-url, over a scripted provider.
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
    #[arg(long, default_value = "Do I need a reef in Kiel today?")]
    prompt: String,
    /// How many seconds all turns together may take
    #[arg(long, default_value_t = 30)]
    budget: u64,
}

/// So often the model is asked for one answer.
const MAX_TURNS: usize = 4;
const TOOL: &str = "wind";

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

    // rig has no place for a trail; an observer sees that of every turn.
    let told = CancelLayer::new().observe(|ended: &Ended| println!("\n{}", ended.trail));
    let targets = Targets::new(arguments.model.as_str()).then(arguments.fallback_model.as_str());
    let budget = Duration::from_secs(arguments.budget);
    let stack = ServiceBuilder::new()
        .layer(told)
        .deadline(budget)?
        .fallback(targets.retries(1))?
        .timeouts(Timeouts::recommended())?
        .service(
            backstay_client::Client::builder()
                .allow_http_loopback(true)
                .build()?,
        );
    let rig = OpenAIConfig::new(arguments.api_key)
        .with_base_url(base_url)
        .connect(Transport::new(stack));

    let turns = converse(&rig, &arguments.model, &arguments.prompt);
    match Deadline::after(budget).scope(turns).await {
        Ok(answer) => println!("\n{answer}"),
        Err(error) => {
            if let ProviderError::Http(within) = &error
                && let Some(told) = backstay::Error::find(&**within)
            {
                eprintln!("{told:#}");
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// Asks, runs the tool where the model wants it, and asks again.
async fn converse(rig: &OpenAI, model: &str, prompt: &str) -> Result<String, ProviderError> {
    let model = rig.chat(model);
    let mut history = vec![Message::user(prompt)];
    for _ in 0..MAX_TURNS {
        let mut request = CompletionRequest::from(history.clone());
        request.tools = vec![tool().map_err(ProviderError::request)?];
        let answer = model.call(request).await?;
        let Some(Message::Assistant(turn)) = answer.message() else {
            break;
        };
        let calls: Vec<ToolCall> = turn.tool_calls().cloned().collect();
        if calls.is_empty() {
            return Ok(answer.text());
        }
        history.push(Message::Assistant(turn));
        for ToolCall { id, function, .. } in calls {
            let asked = function.arguments_value();
            let told = wind(asked["place"].as_str().unwrap_or("an unknown place"));
            println!("{}: {told}", function.name);
            history.push(Message::tool_result(id, function.name, told));
        }
    }
    Err(ProviderError::request(
        "the model did not come to an answer",
    ))
}

fn tool() -> Result<ToolDefinition, EmptyToolName> {
    let parameters = serde_json::json!({
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"]
    });
    let name = ToolName::new(TOOL)?;
    let what = "How the wind blows at a place";
    Ok(ToolDefinition::new(name, what, parameters))
}

/// The tool.
fn wind(place: &str) -> String {
    format!("west, 7 Beaufort, at {place}")
}

/// A provider that asks for the tool, is overloaded once, and answers.
async fn scripted(arguments: &Arguments) -> Result<Mock, BoxError> {
    let mock = Mock::start().await?;
    let script = Script::new()
        .attempt(Reply::ok().tool_call(TOOL, r#"{"place":"Kiel"}"#))
        .attempt(Reply::status(503))
        .then(Reply::text(
            "Yes: with 7 Beaufort from the west, reef before you leave.",
        ));
    mock.script(arguments.model.as_str(), script);
    Ok(mock)
}
