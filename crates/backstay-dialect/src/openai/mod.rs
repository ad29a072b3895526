//! The two wire formats of OpenAI, and the servers that copy them.
//!
//! All chat dialects share one family, `openai-chat`: what they send is the same, and only what some
//! statuses and words mean differs. So one reader ([`Document`](document::Document), [`Told`](told::Told))
//! serves them all, and a [`Meaning`](meaning::Meaning) says where a server departs from OpenAI.
//!
//! **Refusals.** An answer that the provider withheld (`finish_reason: "content_filter"`) is `refused`. A
//! refusal that the model wrote (`delta.refusal`, a `refusal` part) is an answer like any other: it is
//! content, and nobody withheld it.

mod azure;
mod chat;
mod compatible;
mod document;
mod groq;
mod meaning;
mod mistral;
mod openrouter;
mod reading;
mod responses;
mod told;

pub use azure::AzureOpenAi;
pub use chat::OpenAiChat;
pub use compatible::OpenAiCompatible;
pub use groq::Groq;
pub use mistral::Mistral;
pub use openrouter::OpenRouter;
pub use responses::OpenAiResponses;

/// The name of the wire format of chat completions.
const CHAT: &str = "openai-chat";
