//! A vector store over gRPC, under the full stack: one budget for each call, retries that read gRPC's own
//! status, a replica to fall back on.
//!
//! Without arguments it starts two stores inside of this program, which fail on cue:
//!
//! ```text
//! cargo run --example grpc_vector_store
//! ```
//!
//! With `--url` it asks a real Milvus, `milvus-lite server --data-dir data --host 127.0.0.1 --port 18202` for
//! one:
//!
//! ```text
//! cargo run --example grpc_vector_store -- --url http://127.0.0.1:18202
//! ```
//!
//! To learn how the library is used, read `client.rs`: the layers around the channels, and the client on top.
//! `store.rs` has the layers of the server's side.

mod client;
mod messages;
mod store;

use crate::{
    client::{Nearest, Store},
    store::{LocalStore, Mood},
};
use backstay::BoxError;
use backstay_tonic::trail_of;
use clap::Parser;
use tokio::time::{Duration, Instant, sleep};
use tonic::Status;

/// A vector store over gRPC. Without --url, a tour of what can happen.
#[derive(Parser)]
struct Arguments {
    /// A Milvus, such as http://127.0.0.1:18202; the collection `backstay_notes` is made anew in it
    #[arg(long)]
    url: Option<String>,
    /// The budget of each call, in milliseconds
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    budget_ms: u64,
    /// How many rows are stored
    #[arg(long, default_value_t = 1_000)]
    rows: u32,
}

/// A budget that a silent store uses up.
const SHORT: Duration = Duration::from_millis(300);
/// One that no real store keeps.
const HOPELESS: Duration = Duration::from_micros(100);
const DIMENSIONS: u32 = 32;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let budget = Duration::from_millis(arguments.budget_ms);
    let rows: Vec<_> = (0..arguments.rows).map(row).collect();
    match arguments.url {
        Some(url) => real(url, budget, &rows).await,
        None => tour(budget, &rows).await,
    }
}

async fn real(url: String, budget: Duration, rows: &[Vec<f32>]) -> Result<(), BoxError> {
    let origins = [url];
    let store = Store::new(&origins, budget)?;
    println!("{} rows of {DIMENSIONS} numbers", rows.len());
    store.fill(rows).await?;
    show("a search", &store, rows).await;
    let hurried = Store::new(&origins, HOPELESS)?;
    show("with 0.1 ms for all of it", &hurried, rows).await;
    show("and the connection serves on", &store, rows).await;
    Ok(())
}

async fn tour(budget: Duration, rows: &[Vec<f32>]) -> Result<(), BoxError> {
    let (first, second) = (LocalStore::default(), LocalStore::default());
    let origins = [
        first.start("the store").await?,
        second.start("the replica").await?,
    ];
    let alone = Store::new(&origins[..1], budget)?;
    let both = Store::new(&origins, budget)?;
    println!("{} rows of {DIMENSIONS} numbers, twice", rows.len());
    alone.fill(rows).await?;
    Store::new(&origins[1..], budget)?.fill(rows).await?;
    show("a search", &alone, rows).await;

    first.script([Mood::Unavailable, Mood::Unavailable]);
    show("the store is loading, and is asked again", &alone, rows).await;

    first.script([Mood::Unavailable, Mood::Unavailable, Mood::Unavailable]);
    show("for long, so that the replica is asked", &both, rows).await;

    first.script([Mood::Silent]);
    let hurried = Store::new(&origins[..1], SHORT)?;
    show(
        "it says nothing, for longer than the budget of 300 ms",
        &hurried,
        rows,
    )
    .await;
    // Hooks print in tasks of their own.
    sleep(Duration::from_millis(100)).await;
    show("and the connection serves on", &alone, rows).await;
    Ok(())
}

async fn show(title: &str, store: &Store, rows: &[Vec<f32>]) {
    println!("\n{title}");
    let near = rows.get(rows.len() / 2).cloned().unwrap_or_default();
    let start = Instant::now();
    let result = store.search(&near, 3).await;
    let took = Instant::now().saturating_duration_since(start);
    match result {
        Ok(nearest) => found(&nearest, took),
        Err(status) => failed(&status, took),
    }
}

fn found(nearest: &Nearest, took: Duration) {
    let ids: Vec<_> = nearest.found.iter().map(|(id, _)| id).collect();
    println!("    nearest {ids:?} after {took:.1?}");
    if let Some(trail) = &nearest.trail {
        lines(&trail.to_string());
    }
}

fn failed(status: &Status, took: Duration) {
    println!(
        "    {:?} after {took:.1?}: {}",
        status.code(),
        status.message()
    );
    if let Some(trail) = trail_of(status) {
        lines(&trail.to_string());
    }
}

fn lines(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}

/// Rows that are all different, and the same in each run.
fn row(number: u32) -> Vec<f32> {
    (0..DIMENSIONS)
        .map(|at| {
            let mixed = (number + 1).wrapping_mul(2_654_435_761).rotate_left(at);
            f32::from(u16::try_from(mixed >> 16).unwrap_or(0)) / f32::from(u16::MAX)
        })
        .collect()
}
