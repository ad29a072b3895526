//! A progress bar where there is a terminal, and plain lines where there is none.

use backstay::batch::Progress;
use std::io::{self, IsTerminal, Write};
use tokio::time::Duration;

pub(crate) struct Bar {
    progress: Progress,
    terminal: bool,
    /// Tenths that were told of in lines.
    tenths: usize,
}

/// How often it is worth drawing.
pub(crate) const REDRAW: Duration = Duration::from_millis(100);
const MAX_WIDTH: usize = 60;
const FALLBACK_WIDTH: usize = 80;

// === impl Bar ===

impl Bar {
    pub(crate) fn new(progress: Progress) -> Self {
        Self {
            progress,
            terminal: io::stdout().is_terminal(),
            tenths: 0,
        }
    }

    pub(crate) fn draw(&mut self) -> io::Result<()> {
        let (done, expected) = (self.progress.done(), self.progress.expected());
        let of = expected.unwrap_or(done).max(1);
        let counts = format!(
            "{done} of {of}, {} failed, {} in flight",
            self.progress.failed(),
            self.progress.in_flight()
        );
        let mut out = io::stdout().lock();
        if self.terminal {
            let columns =
                terminal_size::terminal_size().map_or(FALLBACK_WIDTH, |(width, _)| width.0.into());
            let width = columns.saturating_sub(counts.len() + 5).min(MAX_WIDTH);
            let full = width * done.min(of) / of;
            // Erases what a longer line has left.
            let (full, rest) = ("█".repeat(full), "░".repeat(width - full));
            write!(out, "\r{full}{rest} {counts}\x1b[K")?;
            return out.flush();
        }
        let tenths = 10 * done / of;
        if tenths > self.tenths {
            self.tenths = tenths;
            writeln!(out, "progress: {counts}")?;
        }
        Ok(())
    }

    /// Leaves the bar's line.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.draw()?;
        if self.terminal {
            writeln!(io::stdout())?;
        }
        Ok(())
    }
}
