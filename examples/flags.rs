//! Which server an example asks, by the names that `agent` has for it.

use crate::servers::Server;
use backstay::{Body, BoxError};
use backstay_client::Client;
use clap::Args;
use tokio::time::Duration;

/// An OpenAI-compatible server, and how it is asked. Without one, the scripted provider in this program.
#[derive(Args)]
pub(crate) struct Flags {
    /// An OpenAI-compatible server, such as https://api.example.com/v1
    #[arg(long, requires = "model")]
    base_url: Option<String>,
    /// The model that is asked first
    #[arg(long, requires = "base_url")]
    model: Option<String>,
    /// The environment variable that holds the server's key
    #[arg(long, value_name = "VARIABLE", requires = "base_url")]
    api_key_env: Option<String>,
    /// The model to fall back on
    #[arg(long, requires = "base_url")]
    fallback_model: Option<String>,
    /// Let plain http leave this machine
    #[arg(long)]
    allow_http: bool,
}

/// What the flags name.
pub(crate) struct Upstream {
    pub(crate) server: Server,
    pub(crate) model: String,
    pub(crate) fallback_model: Option<String>,
}

// === impl Flags ===

impl Flags {
    /// The server, if one was named.
    pub(crate) fn upstream(&self) -> Result<Option<Upstream>, BoxError> {
        let (Some(base_url), Some(model)) = (&self.base_url, &self.model) else {
            return Ok(None);
        };
        let key = match &self.api_key_env {
            Some(variable) => Some(
                std::env::var(variable)
                    .map_err(|_| format!("{variable} is not set, or is not text"))?,
            ),
            None => None,
        };
        Ok(Some(Upstream {
            server: Server::new(base_url, key)?,
            model: model.clone(),
            fallback_model: self.fallback_model.clone(),
        }))
    }

    /// The client at the bottom of the stacks. Plain http goes to this machine only, unless allowed.
    pub(crate) fn client(&self) -> Result<Client<Body>, BoxError> {
        let builder = Client::builder();
        let builder = if self.allow_http {
            builder.allow_http(true)
        } else {
            builder.allow_http_loopback(true)
        };
        Ok(builder.build()?)
    }
}

/// Reads a flag.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("give seconds, from 0.001 to 86400".to_owned()),
    }
}
