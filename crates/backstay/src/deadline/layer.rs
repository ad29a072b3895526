//! The layer.

use super::DeadlineService;
use crate::error::BuildError;
use tokio::time::Duration;
use tower_layer::Layer;

/// Holds each call of the inner service to one deadline. See the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer {
    budget: Duration,
}

// === impl DeadlineLayer ===

impl DeadlineLayer {
    /// A budget for each call; `Duration::MAX` leaves only the request's own and the ambient deadline.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroDuration`]: nothing could ever be sent.
    pub const fn new(budget: Duration) -> Result<Self, BuildError> {
        if budget.is_zero() {
            return Err(BuildError::ZeroDuration { setting: "budget" });
        }
        Ok(Self { budget })
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService::new(inner, self.budget)
    }
}
