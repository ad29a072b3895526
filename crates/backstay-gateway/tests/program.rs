//! The program: its arguments, its signals, what it prints.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_backstay-gateway");

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn signal(process: &Running, name: &str) {
    let id = process.0.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success());
}

fn file(name: &str, text: &str) -> String {
    let file = std::env::temp_dir().join(format!("backstay-{}-{name}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn get(place: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(place).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const TEXT: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[[targets]]
name = "a"
dialect = "openai"
base_url = "http://127.0.0.1:1/v1"
[[routes]]
model = "before"
targets = ["a"]
"#;

#[test]
fn a_bad_configuration_is_named_with_its_line() {
    let bad = file(
        "bad.toml",
        &TEXT.replace("targets = [\"a\"]", "targets = [\"b\"]"),
    );
    for arguments in [vec!["--config", &bad], vec!["--config", &bad, "--check"]] {
        let output = run(&arguments);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("{bad}:10:")), "{said}");
    }
    let good = file("good.toml", TEXT);
    assert!(run(&["--config", &good, "--check"]).status.success());
    assert!(run(&["--example"]).stdout.starts_with(b"# Every setting"));
}

#[test]
fn a_hangup_reads_the_file_again_and_a_termination_drains() {
    let config = file("live.toml", TEXT);
    let mut child = Command::new(PROGRAM)
        .args(["--config", &config])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut complained = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running(child);
    let url = said.next().unwrap().unwrap();
    let place = url.strip_prefix("http://").unwrap().to_owned();
    assert!(get(&place, "/v1/models").contains("before"));

    std::fs::write(&config, TEXT.replace("before", "after")).unwrap();
    signal(&running, "-HUP");
    assert!(said.next().unwrap().unwrap().contains("taken"));
    assert!(get(&place, "/v1/models").contains("after"));

    std::fs::write(&config, "[[routes]]\nmodel = 3\n").unwrap();
    signal(&running, "-HUP");
    assert!(complained.next().unwrap().unwrap().contains("live.toml:2:"));
    assert!(said.next().unwrap().unwrap().contains("stays"));
    assert!(get(&place, "/v1/models").contains("after"));

    signal(&running, "-TERM");
    assert!(said.next().unwrap().unwrap().contains("drained"));
    let mut running = running;
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn without_a_configuration_it_says_what_to_try() {
    // The usual address may be taken where this runs: then it says that, and how to mend it.
    let mut child = Command::new(PROGRAM)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let mut complaint = String::new();
    if first.is_empty() {
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut complaint)
            .unwrap();
    }
    drop(Running(child));
    assert!(
        first.contains("no configuration") || complaint.contains("cannot be listened on"),
        "{first}{complaint}"
    );
}
