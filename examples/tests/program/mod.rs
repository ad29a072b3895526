//! An example, run as a program.

use std::{path::PathBuf, process::Output};
use tokio::{
    process::Command,
    time::{Duration, timeout},
};

/// Twice what any of them takes on a machine with nothing else to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Cargo builds examples for a test run, and says nothing of where: beside the directory of the tests.
pub(crate) fn program(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    assert!(path.exists(), "build it first: cargo build --examples");
    let mut command = Command::new(path);
    command.kill_on_drop(true);
    command
}

/// Its output once it has ended by itself.
pub(crate) async fn ended(mut command: Command) -> Output {
    timeout(LIMIT, command.output()).await.unwrap().unwrap()
}

/// What it wrote for people.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
