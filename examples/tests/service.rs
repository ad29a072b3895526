//! The service as a program: what its clients see when it ends, and that it always does.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod program;

use backstay::Body;
use backstay_client::{Client, ResponseBody};
use backstay_mock::{Mock, Reply};
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::BodyExt;
use program::{LIMIT, ended, program, text};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::{Duration, Instant, timeout},
};
use tower::ServiceExt;

/// A service in front of a mock.
struct Running {
    process: Child,
    output: BufReader<ChildStdout>,
    url: String,
    client: Client<Body>,
}

// === impl Running ===

impl Running {
    async fn start(mock: &Mock, grace: &str) -> Self {
        let mut process = program("service")
            .args([
                "--base-url",
                &mock.url(),
                "--model",
                "gpt-4o",
                "--grace",
                grace,
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
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        let client = Client::builder().allow_http_loopback(true).build().unwrap();
        Self {
            process,
            output,
            url,
            client,
        }
    }

    async fn ask(&self) -> Response<ResponseBody> {
        let request = Request::post(format!("{}/answer", self.url)).body(Body::from("How?"));
        let answer = self.client.clone().oneshot(request.unwrap());
        timeout(LIMIT, answer).await.unwrap().unwrap()
    }

    async fn signal(&self, signal: &str) {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits until it says that it is not ready.
    async fn drains(&self) {
        let drains = async {
            loop {
                let ready = Request::get(format!("{}/ready", self.url)).body(Body::empty());
                let ready = self.client.clone().oneshot(ready.unwrap()).await.unwrap();
                if ready.status() == StatusCode::SERVICE_UNAVAILABLE {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, drains).await.unwrap();
    }

    /// What it says in the end, and that it went well.
    async fn ended(mut self) -> String {
        let mut rest = String::new();
        timeout(LIMIT, self.output.read_to_string(&mut rest))
            .await
            .unwrap()
            .unwrap();
        let status = timeout(LIMIT, self.process.wait()).await.unwrap().unwrap();
        assert!(status.success());
        rest
    }
}

#[tokio::test]
async fn the_report_says_what_the_clients_saw_and_the_service_ends() {
    let output = ended(program("service")).await;
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let complete = text.lines().filter(|line| line.contains(": complete, "));
    let cut_off = text
        .lines()
        .filter(|line| line.contains(": cut off after "));
    assert_eq!((complete.count(), cut_off.count()), (3, 2), "{text}");
    assert!(text.contains("latecomer: 503 Service Unavailable, Retry-After: 3"));
    let report = text.lines().last().unwrap();
    let counts: Vec<usize> = report
        .split([' ', ':', ';', ','])
        .map_while(|word| match word.parse() {
            Ok(count) => Some(Some(count)),
            Err(_) if word == "hooks" => None,
            Err(_) => Some(None),
        })
        .flatten()
        .collect();
    // In flight: completed, failed, cancelled, unpolled; refused.
    let [6, 3, 0, cancelled, unpolled, 1] = counts[..] else {
        panic!("{report}");
    };
    // The stream whose client does not read is either: its server polls it once more if it has room to write.
    assert!(matches!((cancelled, unpolled), (2, 1) | (3, 0)), "{report}");
}

#[tokio::test]
async fn sigterm_refuses_new_work_and_lets_a_stream_come_to_its_end() {
    let mock = Mock::start().await.unwrap();
    let slow = Reply::text("one two three four five six seven eight nine ten");
    mock.script(
        "gpt-4o",
        slow.delay_between_tokens(Duration::from_millis(100)),
    );
    let service = Running::start(&mock, "15").await;
    let answer = service.ask().await;
    service.signal("-TERM").await;
    service.drains().await;

    let late = service.ask().await;
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(late.headers()[RETRY_AFTER], "15");
    let whole = timeout(LIMIT, answer.into_body().collect()).await.unwrap();
    let whole = whole.unwrap().to_bytes();
    assert!(whole.ends_with(b"data: [DONE]\n\n"));
    let report = service.ended().await;
    assert!(report.contains("1 in flight: 1 completed"), "{report}");
    assert_eq!(mock.attempts("gpt-4o"), 1);
}

#[tokio::test]
async fn a_second_signal_cuts_the_grace_period() {
    let mock = Mock::start().await.unwrap();
    mock.script("gpt-4o", Reply::text("one two").stall_after_tokens(1));
    let service = Running::start(&mock, "600").await;
    let answer = service.ask().await;
    service.signal("-INT").await;
    service.drains().await;
    let signalled = Instant::now();
    service.signal("-INT").await;
    // A broken stream, and not an end that looks like one.
    let broken = timeout(LIMIT, answer.into_body().collect()).await.unwrap();
    assert!(broken.is_err());
    let report = service.ended().await;
    assert!(Instant::now().saturating_duration_since(signalled) < LIMIT);
    assert!(report.contains("1 cancelled"), "{report}");
    assert!(report.contains("hook of a call: Shutdown"), "{report}");
    let closed = |log: &[backstay_mock::Logged]| log.iter().all(|e| e.peer_closed_at.is_some());
    assert!(mock.wait_until(closed, Duration::from_secs(5)).await);
}
