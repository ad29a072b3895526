//! The unit tests of the agent's modules. `cargo test` builds an example or runs its tests, and not both: the
//! program is wanted too, so its modules are tested from here.
#![allow(dead_code, reason = "some of it only the program uses")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../agent/cleanup.rs"]
mod cleanup;
#[path = "../agent/report.rs"]
mod report;
#[path = "../agent/screen.rs"]
mod screen;
#[path = "../agent/servers.rs"]
mod servers;
#[path = "../agent/sse.rs"]
mod sse;
#[path = "../agent/waterfall.rs"]
mod waterfall;
