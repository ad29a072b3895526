//! The programs that are measured, as processes of their own: they end with this one.

use super::caller::Place;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tower::BoxError;

/// A program that runs, and the file that it was given.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    file: PathBuf,
    pub(super) place: Place,
}

// === impl Program ===

impl Program {
    pub(super) fn mock(folder: &Path, addr: &str, script: &str) -> Result<Self, BoxError> {
        let file = scratch("json", script)?;
        let mut command = Command::new(folder.join("backstay-mock"));
        command.args(["--addr", addr, "--script"]).arg(&file);
        Self::start(command, file)
    }

    pub(super) fn gateway(
        folder: &Path,
        configuration: &str,
        threads: usize,
    ) -> Result<Self, BoxError> {
        let file = scratch("toml", configuration)?;
        let mut command = Command::new(folder.join("backstay-gateway"));
        command
            .arg("--config")
            .arg(&file)
            .args(["--threads", &threads.to_string()]);
        Self::start(command, file)
    }

    /// Starts it, and reads where it listens from its first line.
    fn start(mut command: Command, file: PathBuf) -> Result<Self, BoxError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| {
            format!("{program} cannot be started ({error}); build it with this profile first")
        })?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut lines = BufReader::new(stdout);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        // What else it says is of no interest, and must not block it.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let place = line
            .trim()
            .strip_prefix("http://")
            .ok_or_else(|| format!("{program} did not say where it listens"))?;
        Ok(Self {
            child,
            file,
            place: Place::new(place),
        })
    }

    /// Ends it as whoever runs it would, and waits until it has ended.
    #[cfg(unix)]
    pub(super) fn ended(mut self) -> Result<(), BoxError> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the program ended with {status}").into()),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn ended(self) -> Result<(), BoxError> {
        Err("there is no signal that asks a program to end".into())
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

fn scratch(kind: &str, text: &str) -> Result<PathBuf, BoxError> {
    let name = format!("backstay-bench-{}.{kind}", std::process::id());
    let file = std::env::temp_dir().join(name);
    fs::write(&file, text)?;
    Ok(file)
}

/// Kibibytes of resident memory, as Linux counts them.
pub(super) fn resident(process: u32) -> Result<u64, BoxError> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
