//! Where cool-downs are kept.

use backstay_dialect::FailureClass;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::time::Instant;

/// Where the cool-downs of targets are kept. In memory, unless the user gives another to
/// [`CoolDowns::in_store`](super::CoolDowns::in_store).
///
/// What a store keeps is a [`Health`] for each name; what becomes of it is decided by the fallback layer.
/// A store that a fleet shares keeps a copy in memory, brings it up to date on its own, and sends changes
/// away after [`update`](CoolDownRecord::update): nothing here may block.
pub trait CoolDownStore: fmt::Debug + Send + Sync + 'static {
    /// The record of the target of this name. Asked for once for each target, when a fallback is built; the
    /// same name is the same record.
    fn record(&self, target: &str) -> Arc<dyn CoolDownRecord>;

    /// All records.
    fn records(&self) -> Vec<(Arc<str>, Arc<dyn CoolDownRecord>)>;
}

/// What is known of one target.
pub trait CoolDownRecord: fmt::Debug + Send + Sync + 'static {
    /// Whether nothing is held against the target: [`Health::is_clear`]. Asked before each attempt, so that
    /// it should cost no more than the relaxed read of an atomic that it costs in memory.
    fn is_clear(&self) -> bool;

    /// Lets `change` read and change what is known, while nobody else does. `change` is short, does not
    /// block, and is called once.
    fn update(&self, change: &mut dyn FnMut(&mut Health));
}

/// What is known of one target. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Failures in a row that did not say of themselves that the target should be left alone.
    pub failures: u32,
    /// First tokens in a row that did not come in time.
    pub slow_starts: u32,
    /// How often the target has cooled down since its last answer.
    pub cool_downs: u32,
    /// Until when it is passed over, and why. It stays here after its end until an answer proves that the
    /// target has recovered.
    pub cooling: Option<(Instant, Why)>,
    /// A call is under way that finds out whether it has.
    pub probing: bool,
}

/// Why a target is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The provider's answer said so.
    Failure(FailureClass),
    /// It kept failing.
    Failures,
    /// Its first tokens kept being late.
    SlowStarts,
}

/// The store that is used unless the user gives another.
#[derive(Debug, Default)]
pub(super) struct InMemory {
    records: Mutex<HashMap<Arc<str>, Arc<Record>>>,
}

#[derive(Debug)]
struct Record {
    clear: AtomicBool,
    health: Mutex<Health>,
}

// === impl Health ===

impl Health {
    /// Whether nothing is held against the target.
    pub fn is_clear(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Why ===

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failure(class) => class.as_str(),
            Self::Failures => "repeated failure",
            Self::SlowStarts => "repeatedly slow to start",
        })
    }
}

// === impl InMemory ===

impl CoolDownStore for InMemory {
    fn record(&self, target: &str) -> Arc<dyn CoolDownRecord> {
        let mut records = self.records.lock();
        if let Some(record) = records.get(target) {
            return record.clone();
        }
        let record = Arc::new(Record {
            clear: AtomicBool::new(true),
            health: Mutex::default(),
        });
        records.insert(target.into(), record.clone());
        record
    }

    fn records(&self) -> Vec<(Arc<str>, Arc<dyn CoolDownRecord>)> {
        let records = self.records.lock();
        records
            .iter()
            .map(|(name, record)| (name.clone(), record.clone() as Arc<dyn CoolDownRecord>))
            .collect()
    }
}

impl CoolDownRecord for Record {
    fn is_clear(&self) -> bool {
        self.clear.load(Relaxed)
    }

    fn update(&self, change: &mut dyn FnMut(&mut Health)) {
        let mut health = self.health.lock();
        change(&mut health);
        self.clear.store(health.is_clear(), Relaxed);
    }
}
