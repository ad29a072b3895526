//! Signals of the operating system.

use super::Drain;
use std::io;

// === impl Drain: signals ===

impl Drain {
    /// Begins at the first SIGTERM or SIGINT, and [hurries](Self::hurry) at the second. Where there are no
    /// such signals, at Ctrl-C.
    ///
    /// They are caught from here on, and do not end the process any more. One task listens until the
    /// second, on the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says to the installation of a handler.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has its I/O driver enabled, as `tokio::signal` does.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut signals = Signals::new()?;
        let drain = self.clone();
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!("signal: draining");
            drain.start();
            signals.next().await;
            tracing::warn!("second signal: the grace period ends now");
            drain.hurry();
        });
        Ok(())
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            self.interrupt.poll_recv(cx).map(|_| ())
        })
        .await;
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?))
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
