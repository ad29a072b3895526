//! The batch as a program: its counts, its groups of failures, and how Ctrl-C ends it.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod program;

use backstay_mock::{Mock, Reply};
use program::{LIMIT, ended, program, text};
use std::process::Stdio;
use tokio::{
    process::Command,
    time::{Duration, timeout},
};

/// The counts of the last line but the groups: prompts, answered, failed, cancelled, not sent.
fn counts(text: &str) -> Vec<usize> {
    let line = text.lines().find(|line| line.contains(" prompts: "));
    let (line, _took) = line.unwrap().split_once(';').unwrap();
    line.split([' ', ':', ','])
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// How many failed of each class.
fn classes(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| {
            let (class, rest) = line.strip_prefix("  ")?.split_once(": ")?;
            Some((class, rest.split_once(" failed: items ")?.0))
        })
        .collect()
}

#[tokio::test]
async fn two_hundred_prompts_are_counted_and_their_failures_grouped() {
    let output = ended(program("batch")).await;
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(counts(&text), [200, 164, 36, 0, 0]);
    assert_eq!(
        classes(&text),
        [
            ("Deadline", "8"),
            ("Status", "16"),
            ("Transport", "8"),
            ("Other", "4"),
        ]
    );
    // No terminal: lines, and no control characters.
    assert!(!text.contains(['\r', '\x1b']));
    let progress = text.lines().filter(|line| line.starts_with("progress: "));
    assert!((2..=10).contains(&progress.count()), "{text}");
    let peak = text.lines().last().unwrap();
    let peak: usize = peak.split(' ').find_map(|word| word.parse().ok()).unwrap();
    // The window, and the eight that are cut off at their budget: the server sees that a client has gone a
    // little after the client has begun the next call.
    assert!((1..=16 + 8).contains(&peak), "{peak}");
}

#[tokio::test]
async fn prompts_of_a_file_against_any_server() {
    let mock = Mock::start().await.unwrap();
    // Long enough for a third one to come too early.
    let slow = Reply::ok().delay_headers(Duration::from_millis(300));
    mock.script("gpt-4o", slow);
    let path = std::env::temp_dir().join(format!("backstay-batch-{}", std::process::id()));
    std::fs::write(&path, "one\n\ntwo\nthree\n").unwrap();
    let mut batch = program("batch");
    batch
        .args([
            "--base-url",
            &mock.url(),
            "--model",
            "gpt-4o",
            "--window",
            "2",
        ])
        .arg("--input")
        .arg(&path);
    let output = ended(batch).await;
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success());
    assert_eq!(counts(&text(&output)), [3, 3, 0, 0, 0]);
    assert_eq!(mock.attempts("gpt-4o"), 3);
    assert_eq!(mock.peak_in_flight(), 2);
}

#[tokio::test]
async fn the_first_failure_ends_a_batch_that_fails_fast() {
    let mock = Mock::start().await.unwrap();
    mock.script("refuses", Reply::status(400));
    let url = mock.url();
    let mut batch = program("batch");
    batch.args(["--base-url", &url, "--model", "refuses", "--fail-fast"]);
    batch.args(["--window", "1", "--count", "50"]);
    let output = ended(batch).await;
    assert_eq!(counts(&text(&output)), [50, 0, 1, 0, 49]);
    assert_eq!(mock.attempts("refuses"), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_cancels_what_is_in_flight() {
    let mock = Mock::start().await.unwrap();
    mock.script("silent", Reply::never_answer());
    let url = mock.url();
    let batch = program("batch")
        .args(["--base-url", &url, "--model", "silent", "--window", "4"])
        .args(["--item-budget", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(mock.wait_until(|log| log.len() >= 4, LIMIT).await);
    let id = batch.id().unwrap().to_string();
    let interrupt = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(interrupt.unwrap().success());

    let output = timeout(LIMIT, batch.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(counts(&text(&output)), [200, 0, 0, 4, 196]);
    let closed = |log: &[backstay_mock::Logged]| log.iter().all(|e| e.peer_closed_at.is_some());
    assert!(mock.wait_until(closed, Duration::from_secs(5)).await);
    assert_eq!(mock.attempts("silent"), 4);
}
