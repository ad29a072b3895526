//! What the backstay layers cost, side by side with their peers.
//!
//! ```sh
//! cargo run --release -p backstay-bench -- overhead
//! cargo run --release -p backstay-bench -- allocations
//! cargo run --release -p backstay-bench -- check
//! cargo run --release -p backstay-bench -- splice
//! cargo run --release -p backstay-bench -- observe
//! cargo run --release -p backstay-bench -- gateway --proxy nginx=http://127.0.0.1:18105
//! ```
//!
//! In the first three all subjects wrap the same upstream in memory, get the same request, and are called the same way. They
//! take turns in one run, so that a busy machine is equally unkind to each.

mod allocations;
mod case;
mod check;
mod counting;
mod gateway;
mod observe;
mod overhead;
mod prompt;
mod row;
mod splice;
mod stacks;
mod subject;
mod timing;
mod upstream;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tower::BoxError;

/// What the backstay layers cost, side by side with their peers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Time and allocations per call and per body frame
    Overhead(overhead::Options),
    /// Allocations of the backstay stack, layer by layer
    Allocations(allocations::Options),
    /// A hop through the gateway, beside proxies given by their URLs
    Gateway(gateway::Options),
    /// Calls of the kinds that a gateway gets, for a profile of them; nothing is timed
    Rehearse(gateway::Rehearsal),
    /// Fails if the backstay stack allocates more than it may
    Check,
    /// Another model put into a request, beside serde_json; fails if a bar is missed
    Splice(splice::Options),
    /// The events of a stream read as they pass, beside serde_json; fails if a bar is missed
    Observe(observe::Options),
}

fn main() -> Result<ExitCode, BoxError> {
    match Arguments::parse().bench {
        Bench::Overhead(options) => overhead::run(&options).map(|()| ExitCode::SUCCESS),
        Bench::Allocations(options) => allocations::run(&options).map(|()| ExitCode::SUCCESS),
        Bench::Gateway(options) => gateway::run(&options).map(|()| ExitCode::SUCCESS),
        Bench::Rehearse(options) => gateway::rehearse(&options).map(|()| ExitCode::SUCCESS),
        Bench::Check => check::run(),
        Bench::Splice(options) => splice::run(&options),
        Bench::Observe(options) => observe::run(&options),
    }
}
