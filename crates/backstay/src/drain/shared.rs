//! What all handles, layers and admissions of a drain share.

use super::{DrainReport, gate::Gate, live::Live, tally::Tally};
use crate::cancel::{Counts, HookCounts};
use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Relaxed},
        },
    },
};
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// What all handles, layers and admissions of a drain share.
pub(super) struct Shared {
    pub(super) gate: Gate,
    /// The grace period is over.
    pub(super) cut: AtomicBool,
    pub(super) live: Live,
    pub(super) tally: Tally,
    /// Of every call under it, drained or not.
    pub(super) hooks: Arc<Counts>,
    pub(super) hurry: CancellationToken,
    pub(super) refused: AtomicUsize,
    pub(super) started: CancellationToken,
    begun: OnceLock<Begun>,
    pub(super) driven: AtomicBool,
    pub(super) report: OnceLock<DrainReport>,
    /// There is a report, or nobody works on it any more.
    pub(super) news: Notify,
}

/// How it was when the drain began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) at: Instant,
    pub(super) settings: Settings,
    pub(super) in_flight: usize,
    pub(super) hooks: HookCounts,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) grace: Duration,
    pub(super) hooks: Duration,
    pub(super) retry_after: Duration,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            gate: Gate::new(),
            cut: AtomicBool::new(false),
            live: Live::default(),
            tally: Tally::default(),
            hooks: Arc::default(),
            hurry: CancellationToken::new(),
            refused: AtomicUsize::new(0),
            started: CancellationToken::new(),
            begun: OnceLock::new(),
            driven: AtomicBool::new(false),
            report: OnceLock::new(),
            news: Notify::new(),
        }
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.load(Relaxed)
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.hurry.is_cancelled()
    }

    pub(super) fn begin(&self, settings: Settings) -> Begun {
        let begun = *self.begun.get_or_init(|| {
            let begun = Begun {
                at: Instant::now(),
                settings,
                hooks: self.hooks.read(),
                in_flight: self.gate.close(),
            };
            tracing::info!(in_flight = begun.in_flight, grace = ?settings.grace, "drain begins");
            begun
        });
        self.started.cancel();
        begun
    }

    pub(super) fn finish(&self, report: DrainReport) {
        tracing::info!(%report, "drained");
        let _ = self.report.set(report);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("gate", &self.gate)
            .field("cut", &self.cut.load(Acquire))
            .finish_non_exhaustive()
    }
}
