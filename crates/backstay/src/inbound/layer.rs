//! The layer.

use super::{Inbound, InboundService};
use crate::error::BuildError;
use std::sync::Arc;
use tower_layer::Layer;

/// Holds each request to the time that its caller has. See the [module](super).
#[derive(Clone, Debug)]
pub struct InboundLayer {
    settings: Arc<Inbound>,
}

// === impl InboundLayer ===

impl InboundLayer {
    /// With these settings.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroDuration`] for a budget or an upper bound of zero, [`BuildError::Bounds`] for a lower bound
    /// that is above the upper one.
    pub fn new(settings: Inbound) -> Result<Self, BuildError> {
        settings.check()?;
        Ok(Self {
            settings: Arc::new(settings),
        })
    }
}

impl<S> Layer<S> for InboundLayer {
    type Service = InboundService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InboundService::new(inner, self.settings.clone())
    }
}
