//! The workflow as a program: how each of its sessions ends, what is cleaned up, and how Ctrl-C ends it.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod program;

use backstay_mock::Mock;
use program::{LIMIT, ended, program, text};
use std::process::Stdio;
use tokio::{process::Command, time::timeout};

/// How a session ended, and the cleanups in the order in which they ran.
fn outcomes(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("  outcome: ")?.split_once("; cleanups: "))
        .collect()
}

/// The part of the output that shows one session.
fn scene(text: &str, number: usize) -> &str {
    let from = text.find(&format!("\n{number}. ")).unwrap();
    let to = text.find(&format!("\n{}. ", number + 1));
    &text[from..to.unwrap_or(text.len())]
}

#[tokio::test]
async fn each_session_ends_as_it_must_and_cleans_up_once_in_reverse_order() {
    let output = ended(program("workflow")).await;
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(
        outcomes(&text),
        [
            ("saved", "draft, seat"),
            ("failed", "draft, seat"),
            ("cancelled", "notice, draft, seat"),
            ("over its budget", "notice, draft, seat"),
            ("saved", "draft, seat"),
            ("failed", "draft, seat"),
        ]
    );
    // Which step of which session, and what was behind it.
    let failed = scene(&text, 2);
    for part in [
        "answer > generate: ",
        "session=s-2",
        "step=generate",
        "caused by: ",
        "attempt 1 at primary",
        "fallback",
    ] {
        assert!(failed.contains(part), "{part} in {failed}");
    }
    // A cancellation is no error.
    assert!(!scene(&text, 3).contains("error:"));
    // One failed and two did not; and all failures in one tree.
    assert_eq!(scene(&text, 5).matches("─ ").count(), 1);
    let tree = scene(&text, 6);
    for branch in ["─ manual: ", "─ logbook: ", "─ forum: "] {
        assert_eq!(tree.matches(branch).count(), 1, "{branch} in {tree}");
    }
}

#[tokio::test]
async fn one_session_against_any_server() {
    let mock = Mock::start().await.unwrap();
    let url = mock.url();
    let mut workflow = program("workflow");
    workflow
        .args(["--base-url", &url, "--model", "gpt-4o"])
        .args(["--vector-url", &url, "--api-key-env", "WORKFLOW_TEST_KEY"])
        .env("WORKFLOW_TEST_KEY", "k-123");
    let output = ended(workflow).await;
    assert!(output.status.success());
    assert_eq!(outcomes(&text(&output)), [("saved", "draft, seat")]);
    let asked = mock.requests("gpt-4o");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["authorization"], "Bearer k-123");
    let stored = mock.log();
    let stored = stored.iter().filter(|entry| entry.path.ends_with("/query"));
    assert!(
        stored
            .into_iter()
            .all(|entry| !entry.headers.contains_key("authorization"))
    );
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_cancels_a_session_and_its_cleanups_run() {
    let mock = Mock::start().await.unwrap();
    let url = mock.url();
    let workflow = program("workflow")
        .args(["--base-url", &url, "--model", "stall", "--vector-url", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(
        mock.wait_until(|log| log.iter().any(|entry| entry.tokens_sent > 0), LIMIT)
            .await
    );
    let id = workflow.id().unwrap().to_string();
    let interrupt = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(interrupt.unwrap().success());

    let output = timeout(LIMIT, workflow.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        outcomes(&text(&output)),
        [("cancelled", "notice, draft, seat")]
    );
    // The draft went by a call that the cancellation did not reach.
    let deletes = mock.log();
    let deletes = deletes
        .iter()
        .filter(|entry| entry.path.ends_with("/delete"));
    assert_eq!(deletes.count(), 1);
}
