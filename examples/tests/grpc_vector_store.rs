//! The vector store over gRPC as a program: its tour shows what it says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::path::PathBuf;
use tokio::{
    process::Command,
    time::{Duration, timeout},
};

const TOUR_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_tour_answers_where_it_can_and_ends_in_its_budget_where_it_cannot() {
    // Cargo builds examples for a test run, and says nothing of where: beside the directory of the tests.
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/grpc_vector_store");
    assert!(
        path.exists(),
        "build it first: cargo build --example grpc_vector_store"
    );
    let tour = Command::new(path).kill_on_drop(true).output();
    let output = timeout(TOUR_LIMIT, tour).await.unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let count = |words: &str| text.matches(words).count();
    // Four searches find the row that was asked for; one meets a silent store.
    assert_eq!(count("nearest [501,"), 4, "{text}");
    assert_eq!(count("DeadlineExceeded after"), 1, "{text}");
    assert_eq!(count("(UNAVAILABLE)"), 5, "{text}");
    assert_eq!(count("at replica 1: complete"), 1, "{text}");
}
