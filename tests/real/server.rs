//! A real server, started for the drills and ended with them.

use backstay::BoxError;
use backstay_tests::MS;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    net::{SocketAddr, TcpListener},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// A process that listens on loopback. Dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// The slowest of them imports half of PyPI first.
const STARTS: Duration = Duration::from_secs(60);

// === impl Server ===

impl Server {
    /// Starts a program, and waits until it accepts connections. `arguments` is given the port to listen on.
    pub(crate) async fn start(
        program: &OsStr,
        arguments: impl FnOnce(u16) -> Vec<String>,
    ) -> Result<Self, BoxError> {
        let address = free()?;
        let mut child = Command::new(program)
            .args(arguments(address.port()))
            .env("ANONYMIZED_TELEMETRY", "False")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid
            .and_then(Pid::from_raw)
            .ok_or("the process has no number")?;
        let log = Arc::<Mutex<Vec<String>>>::default();
        if let Some(output) = child.stdout.take() {
            tokio::spawn(keep(output, log.clone()));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(keep(output, log.clone()));
        }
        let mut server = Self {
            child,
            pid,
            address,
            log,
        };
        server.accepts().await?;
        Ok(server)
    }

    async fn accepts(&mut self) -> Result<(), BoxError> {
        let connects = async {
            while TcpStream::connect(self.address).await.is_err() {
                if let Some(status) = self.child.try_wait()? {
                    return Err(format!("it ended with {status}: {}", self.last_lines()).into());
                }
                sleep(20 * MS).await;
            }
            Ok(())
        };
        timeout(STARTS, connects)
            .await
            .map_err(|_| "it does not listen")?
    }

    /// Its `http` origin.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// SIGSTOP: it says nothing more, and the kernel goes on accepting for it.
    pub(crate) fn stop(&self) -> Result<(), BoxError> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) -> Result<(), BoxError> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// SIGTERM, as from whoever deploys its successor.
    pub(crate) fn terminate(&self) -> Result<(), BoxError> {
        Ok(kill_process(self.pid, Signal::TERM)?)
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) -> Result<(), BoxError> {
        Ok(kill_process(self.pid, Signal::KILL)?)
    }

    /// The numbers that stand in its log between two texts.
    pub(crate) fn numbers(&self, before: &str, after: &str) -> BTreeSet<u64> {
        let log = self.log.lock();
        let number = |line: &String| {
            let (_, rest) = line.split_once(before)?;
            let digits = rest.trim_start_matches(|letter: char| !letter.is_ascii_digit());
            let end = digits
                .find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(digits.len());
            let (digits, rest) = digits.split_at(end);
            rest.trim_start()
                .starts_with(after)
                .then_some(digits)?
                .parse()
                .ok()
        };
        log.iter().filter_map(number).collect()
    }

    fn last_lines(&self) -> String {
        let log = self.log.lock();
        let from = log.len().saturating_sub(3);
        log.get(from..).unwrap_or_default().join(" / ")
    }
}

/// An address that was free a moment ago.
fn free() -> Result<SocketAddr, BoxError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn keep(output: impl AsyncRead + Unpin, log: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.lock().push(line);
    }
}
