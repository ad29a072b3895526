//! The tables of `docs/providers.md`: a module per dialect, a test per table, a line per row.

#![allow(clippy::panic, clippy::expect_used, reason = "only tests")]

mod anthropic;
mod azure;
mod bedrock;
mod cohere;
mod compatible;
#[path = "../frames/mod.rs"]
mod frames;
mod gemini;
mod groq;
mod mistral;
mod openai_chat;
mod openai_responses;
mod openrouter;
mod rows;
mod table;
mod vertex_anthropic;
