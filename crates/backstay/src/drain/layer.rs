//! The layer.

use super::{Drain, DrainService};
use tower_layer::Layer;

/// Lets a drain wait for the calls of a service, and end them. See the [module](super).
#[derive(Clone, Debug)]
pub struct DrainLayer {
    drain: Drain,
}

// === impl DrainLayer ===

impl DrainLayer {
    pub(super) const fn new(drain: Drain) -> Self {
        Self { drain }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DrainService::new(inner, self.drain.clone())
    }
}
