//! The layer.

use super::{Timeouts, TimeoutsService};
use crate::error::BuildError;
use std::sync::Arc;
use tower_layer::Layer;

/// Puts the clocks around each attempt of the inner service. See the [module](super).
#[derive(Clone, Debug)]
pub struct TimeoutsLayer {
    timeouts: Arc<Timeouts>,
}

// === impl TimeoutsLayer ===

impl TimeoutsLayer {
    /// These clocks for each attempt.
    ///
    /// A clock longer than the `attempt` clock is allowed and logged as a warning: it can never run out.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroDuration`] for a clock of zero.
    pub fn new(timeouts: Timeouts) -> Result<Self, BuildError> {
        timeouts.check()?;
        if let Some((inner, inner_limit, outer, outer_limit)) = timeouts.suspicious() {
            tracing::warn!(
                "clock {inner} ({inner_limit:?}) is longer than clock {outer} ({outer_limit:?}) and can never run out"
            );
        }
        Ok(Self {
            timeouts: Arc::new(timeouts),
        })
    }
}

impl<S> Layer<S> for TimeoutsLayer {
    type Service = TimeoutsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutsService::new(inner, self.timeouts.clone())
    }
}
