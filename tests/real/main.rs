//! Drills against real servers: llama.cpp's `llama-server`, Chroma, milvus-lite. Each starts, stops, kills or
//! cuts off one of them, and prints what the stack made of it.
//!
//! `.ci/real` installs the servers and runs this:
//!
//! ```text
//! real-drills llama
//! real-drills chroma
//! real-drills milvus
//! real-drills packets     all three, and the gateway, behind a broken network; in a namespace with nothing but
//!                         loopback
//! ```
#![allow(
    clippy::large_futures,
    reason = "one drill at a time, on a stack with room for it"
)]

mod calls;
mod chroma;
mod gateway;
mod llama;
mod llama_server;
mod milvus;
mod packets;
mod programs;
mod server;
mod table;

// The client of the example `grpc_vector_store`, and the messages that it speaks.
#[allow(dead_code, reason = "the example's own stack takes more")]
#[path = "../../examples/grpc_vector_store/client.rs"]
mod client;
#[allow(dead_code, reason = "the example's own store speaks more of them")]
#[path = "../../examples/grpc_vector_store/messages.rs"]
mod messages;

use crate::{programs::Programs, table::Table};
use backstay::BoxError;
use std::{env, process::ExitCode};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let programs = Programs::from_environment()?;
    let mut table = Table::default();
    match env::args().nth(1).as_deref() {
        Some("llama") => llama::drills(&mut table, &programs).await?,
        Some("chroma") => chroma::drills(&mut table, &programs).await?,
        Some("milvus") => milvus::drills(&mut table, &programs).await?,
        Some("packets") => packets::drills(&mut table, &programs).await?,
        _ => return Err("give one of: llama, chroma, milvus, packets".into()),
    }
    Ok(if table.end() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
