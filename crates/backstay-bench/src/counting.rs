//! Counting allocations.

use crate::subject::Subject;
use tower::BoxError;

#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// What was asked of the allocator: in all, or per something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allocated {
    /// Allocations and reallocations.
    pub(crate) count: f64,
    /// Bytes asked for.
    pub(crate) bytes: f64,
}

/// Whether this build can count.
pub(crate) const ENABLED: bool = cfg!(feature = "count-allocations");

/// Enough for whatever is made once per thread or runtime.
const WARM_UP: u32 = 32;
const CALLS: u32 = 500;

/// Per call.
pub(crate) fn per_call(subject: &mut Subject) -> Result<Allocated, BoxError> {
    subject.run(WARM_UP)?;
    // What a run costs beside its calls falls out.
    let few = of_run(subject, CALLS)?;
    let many = of_run(subject, 3 * CALLS)?;
    Ok(many.per(few, f64::from(2 * CALLS)))
}

/// Per frame: what a call with `more` further frames costs on top.
pub(crate) fn per_frame(
    short: &mut Subject,
    long: &mut Subject,
    more: usize,
) -> Result<Allocated, BoxError> {
    short.run(WARM_UP)?;
    long.run(1)?;
    let short = of_run(short, 1)?;
    let long = of_run(long, 1)?;
    #[allow(clippy::cast_precision_loss)]
    Ok(long.per(short, more as f64))
}

/// Per time that the work is done; `None` if this build cannot count.
pub(crate) fn per_time(mut work: impl FnMut()) -> Option<Allocated> {
    if !ENABLED {
        return None;
    }
    for _ in 0..WARM_UP {
        work();
    }
    Some(of_times(work, CALLS).per(Allocated::default(), f64::from(CALLS)))
}

#[cfg(feature = "count-allocations")]
fn of_times(mut work: impl FnMut(), times: u32) -> Allocated {
    let region = stats_alloc::Region::new(ALLOCATOR);
    for _ in 0..times {
        work();
    }
    Allocated::of(region.change())
}

#[cfg(not(feature = "count-allocations"))]
fn of_times(_: impl FnMut(), _: u32) -> Allocated {
    Allocated::default()
}

#[cfg(feature = "count-allocations")]
fn of_run(subject: &mut Subject, calls: u32) -> Result<Allocated, BoxError> {
    let region = stats_alloc::Region::new(ALLOCATOR);
    subject.run(calls)?;
    Ok(Allocated::of(region.change()))
}

#[cfg(not(feature = "count-allocations"))]
fn of_run(_: &mut Subject, _: u32) -> Result<Allocated, BoxError> {
    Err("built without the feature `count-allocations`".into())
}

// === impl Allocated ===

impl Allocated {
    #[cfg(feature = "count-allocations")]
    #[allow(clippy::cast_precision_loss)]
    fn of(change: stats_alloc::Stats) -> Self {
        Self {
            count: (change.allocations + change.reallocations) as f64,
            bytes: change.bytes_allocated as f64,
        }
    }

    fn per(self, less: Self, by: f64) -> Self {
        Self {
            count: (self.count - less.count) / by,
            bytes: (self.bytes - less.bytes) / by,
        }
    }
}
