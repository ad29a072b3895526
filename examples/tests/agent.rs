//! The agent as a program: its tour, its objects, and how Ctrl-C ends it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use backstay_mock::{Logged, Mock, Reply};
use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Output, Stdio},
};
use tokio::{
    process::Command,
    time::{Duration, Instant, sleep, timeout},
};

const TOUR_LIMIT: Duration = Duration::from_secs(15);

/// Cargo builds examples for a test run, and says nothing of where: beside the directory of the tests.
fn agent() -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples/agent");
    assert!(path.exists(), "build it first: cargo build --example agent");
    let mut command = Command::new(path);
    command.kill_on_drop(true);
    command
}

async fn run(arguments: &[&str]) -> Output {
    let output = agent().args(arguments).output();
    timeout(TOUR_LIMIT, output).await.unwrap().unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn answers(objects: &[Value]) -> Vec<(&str, &str)> {
    objects
        .iter()
        .filter(|object| object["step"] == "answer")
        .map(|object| {
            (
                object["question"].as_str().unwrap(),
                object["outcome"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn the_tour_shows_what_it_says() {
    let began = Instant::now();
    let output = run(&["--json"]).await;
    assert!(output.status.success());
    assert!(Instant::now().saturating_duration_since(began) < TOUR_LIMIT);

    let objects = objects(&output);
    assert_eq!(
        answers(&objects),
        [
            ("healthy", "complete"),
            ("late-first-token", "complete"),
            ("retry-after", "complete"),
            ("retry-after-too-long", "complete"),
            ("in-band-overload", "complete"),
            ("vector-store", "complete"),
            ("cut", "transport error"),
            ("cut-unseen", "complete"),
            ("budget", "deadline"),
            ("left", "cancelled"),
        ]
    );
    for object in &objects {
        for key in ["at_ms", "total_ms", "budget_ms"] {
            assert!(object[key].is_f64(), "{key} of {object}");
        }
        assert!(object.get("first_token_ms").is_some());
        for attempt in object["trail"].as_array().unwrap() {
            assert!(attempt["target"].is_string() && attempt["outcome"].is_string());
            assert!(attempt["start_ms"].as_f64() <= attempt["end_ms"].as_f64());
            for key in ["model", "clock", "wait_ms", "wait_reason", "reason"] {
                assert!(attempt.get(key).is_some(), "{key} of {attempt}");
            }
        }
    }
    let find = |question: &str, step: &str| {
        let found = objects
            .iter()
            .find(|o| o["question"] == question && o["step"] == step);
        found.unwrap_or_else(|| panic!("no {step} of {question}"))
    };
    let late = find("late-first-token", "answer");
    assert_eq!(late["trail"][0]["clock"], "first_token");
    assert_eq!(late["trail"][1]["target"], "fallback");
    let retried = find("retry-after", "answer");
    assert!(retried["trail"][0]["wait_ms"].as_f64() >= Some(1000.0));
    assert_eq!(retried["trail"][1]["target"], "primary");
    assert_eq!(
        find("retry-after-too-long", "answer")["trail"][1]["target"],
        "fallback"
    );
    assert_eq!(
        find("vector-store", "search")["trail"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(find("budget", "answer")["total_ms"].as_f64() < Some(2200.0));
    // Content was shown before the cut, and only the caller who asked for it gets the whole answer.
    assert!(!find("cut", "answer")["text"].as_str().unwrap().is_empty());
    for (question, hook) in [("healthy", false), ("left", true), ("budget", true)] {
        assert_eq!(
            find(question, "answer")["hook"].is_object(),
            hook,
            "{question}"
        );
    }
}

#[tokio::test]
async fn the_tour_is_plain_where_there_is_no_terminal() {
    let output = run(&["--ascii"]).await;
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.is_ascii() && !text.contains('\x1b'));
    let drawn = text
        .lines()
        .filter(|line| line.starts_with("answer primary large "));
    assert!(drawn.count() >= 10, "{text}");
}

#[tokio::test]
async fn one_question_against_any_server() {
    let mock = Mock::start().await.unwrap();
    // No embeddings endpoint, and a key that must arrive.
    mock.script_path("/embeddings", Reply::status(501));
    let url = mock.url();
    let output = agent()
        .args([
            "--json",
            "--base-url",
            &url,
            "--model",
            "gpt-4o",
            "--vector-url",
            &url,
        ])
        .args(["--api-key-env", "AGENT_TEST_KEY"])
        .env("AGENT_TEST_KEY", "k-123")
        .output();
    let output = timeout(TOUR_LIMIT, output).await.unwrap().unwrap();
    assert!(output.status.success());
    assert_eq!(answers(&objects(&output)), [("question", "complete")]);
    let asked = mock.requests("gpt-4o");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["authorization"], "Bearer k-123");
    let added = mock
        .log()
        .iter()
        .filter(|entry| entry.path.ends_with("/upsert"))
        .count();
    assert_eq!(added, 1, "the collection is filled once");
}

#[tokio::test]
async fn another_server_never_sees_the_key_of_the_first() {
    let (first, second) = (Mock::start().await.unwrap(), Mock::start().await.unwrap());
    let (url, other) = (first.url(), second.url());
    let output = agent()
        .args([
            "--json",
            "--base-url",
            &url,
            "--model",
            "rate-limited",
            "--api-key-env",
            "AGENT_TEST_KEY",
        ])
        .args([
            "--fallback-model",
            "gpt-4o-mini",
            "--fallback-base-url",
            &other,
        ])
        .args([
            "--fallback-api-key-env",
            "AGENT_TEST_OTHER",
            "--budget",
            "1",
        ])
        .env("AGENT_TEST_KEY", "k-123")
        .env("AGENT_TEST_OTHER", "k-456")
        .output();
    let output = timeout(TOUR_LIMIT, output).await.unwrap().unwrap();
    assert!(output.status.success());
    assert_eq!(
        first.requests("rate-limited")[0].headers["authorization"],
        "Bearer k-123"
    );
    assert_eq!(
        second.requests("gpt-4o-mini")[0].headers["authorization"],
        "Bearer k-456"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_cancels_and_says_so() {
    let mock = Mock::start().await.unwrap();
    let url = mock.url();
    let child = agent()
        .args([
            "--json",
            "--base-url",
            &url,
            "--model",
            "stall",
            "--vector-url",
            &url,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stalls = |log: &[Logged]| log.iter().any(|entry| entry.tokens_sent > 0);
    assert!(mock.wait_until(stalls, TOUR_LIMIT).await);
    // The first text has left the server; let it arrive.
    sleep(Duration::from_millis(100)).await;
    let id = child.id().unwrap().to_string();
    let interrupt = Command::new("kill")
        .args(["-INT", &id])
        .status()
        .await
        .unwrap();
    assert!(interrupt.success());

    let output = timeout(TOUR_LIMIT, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(130));
    let objects = objects(&output);
    assert_eq!(answers(&objects), [("question", "cancelled")]);
    assert!(objects.last().unwrap()["hook"].is_object());
    assert!(
        mock.wait_until(
            |log| log.iter().any(|e| e.peer_closed_at.is_some()),
            TOUR_LIMIT
        )
        .await
    );
}
