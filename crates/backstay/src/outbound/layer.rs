//! The layer.

use super::{Outbound, OutboundService, settings::Checked};
use crate::error::BuildError;
use std::sync::Arc;
use tower_layer::Layer;

/// Tells the time left with each attempt. See the [module](super).
#[derive(Clone, Debug)]
pub struct OutboundLayer {
    settings: Arc<Checked>,
}

// === impl OutboundLayer ===

impl OutboundLayer {
    /// With these settings.
    ///
    /// # Errors
    ///
    /// [`BuildError::Authority`] for what is none.
    pub fn new(settings: Outbound) -> Result<Self, BuildError> {
        Ok(Self {
            settings: Arc::new(settings.checked()?),
        })
    }
}

impl<S> Layer<S> for OutboundLayer {
    type Service = OutboundService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OutboundService::new(inner, self.settings.clone())
    }
}
