//! The layer.

use super::{FallbackService, Targets, plan::Plan};
use crate::error::BuildError;
use std::sync::Arc;
use tower_layer::Layer;

/// Retries, and falls back to other targets. See the [module](super).
#[derive(Clone, Debug)]
pub struct FallbackLayer {
    plan: Arc<Plan>,
}

// === impl FallbackLayer ===

impl FallbackLayer {
    /// These targets, in order. The services that the layer makes share the retry budget.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] that names the target or the setting: duplicate names, an origin, path, query or
    /// header that cannot be sent, two dialects, a model that the dialect has no place for, zero where
    /// something is needed.
    pub fn new(targets: Targets) -> Result<Self, BuildError> {
        Ok(Self {
            plan: Arc::new(Plan::new(targets)?),
        })
    }
}

impl<S> Layer<S> for FallbackLayer {
    type Service = FallbackService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService::new(inner, self.plan.clone())
    }
}
