//! The agent as a program: its callers' time is its own, and it ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod program;

use backstay::Body;
use backstay_client::Client;
use backstay_mock::{Logged, Mock, Reply};
use http::{Request, StatusCode};
use program::{LIMIT, ended, program, text};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
    time::{Duration, Instant, timeout},
};
use tower::ServiceExt;

#[tokio::test]
async fn each_caller_has_what_its_time_allows_and_the_agent_ends() {
    let output = ended(program("axum_agent")).await;
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    // Both models were told less than the 20 s that the caller gave, the second less than the first.
    let told: Vec<f64> = text
        .lines()
        .filter_map(|line| line.split_once(" was told "))
        .map(|(_, told)| told.trim_end_matches(" s").parse().unwrap())
        .collect();
    assert!(
        told.len() == 2 && told[1] < told[0] && told[0] < 20.0,
        "{text}"
    );
    assert_eq!(count("50 ms are not: 504 Gateway Timeout"), 1, "{text}");
    assert_eq!(count(": 200 OK, cut off after "), 1, "{text}");
    assert_eq!(
        count("a caller left: the provider knew after "),
        1,
        "{text}"
    );
    let report = text.lines().last().unwrap();
    assert!(
        report.starts_with("0 in flight: ") && report.contains("0 lost"),
        "{report}"
    );
}

#[tokio::test]
async fn a_server_that_was_not_named_is_told_nothing_and_sigterm_ends_it() {
    let mock = Mock::start().await.unwrap();
    mock.script("gpt-4o", Reply::never_answer());
    let mut process = program("axum_agent")
        .args([
            "--base-url",
            &mock.url(),
            "--model",
            "gpt-4o",
            "--grace",
            "1",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    timeout(LIMIT, output.read_line(&mut line))
        .await
        .unwrap()
        .unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();
    let client = Client::builder().allow_http_loopback(true).build().unwrap();
    let ask = |budget: &'static str| {
        let request = Request::post(format!("{url}/ask"))
            .header("request-timeout", budget)
            .body(Body::from("What holds a mast?"));
        timeout(LIMIT, client.clone().oneshot(request.unwrap()))
    };

    let started = Instant::now();
    assert_eq!(
        ask("1").await.unwrap().unwrap().status(),
        StatusCode::GATEWAY_TIMEOUT
    );
    assert!(Instant::now().saturating_duration_since(started) >= Duration::from_secs(1));
    let closed = |log: &[Logged]| log.iter().all(|entry| entry.peer_closed_at.is_some());
    assert!(mock.wait_until(closed, Duration::from_secs(5)).await);
    assert!(!mock.log()[0].headers.contains_key("request-timeout"));

    // The time of the next one is longer than the grace period.
    let (late, ()) = tokio::join!(ask("600"), async {
        assert!(mock.wait_until(|log| log.len() == 2, LIMIT).await);
        let id = process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.unwrap().success());
    });
    assert_eq!(
        late.unwrap().unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let mut rest = String::new();
    timeout(LIMIT, output.read_to_string(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert!(
        timeout(LIMIT, process.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
    assert!(
        rest.contains("1 in flight: 0 completed, 0 failed, 1 cancelled"),
        "{rest}"
    );
}
