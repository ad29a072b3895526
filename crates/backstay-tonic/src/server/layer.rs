//! The layer.

use super::GrpcServerService;
use tower_layer::Layer;

/// The caller's deadline, and failures as the right code. See the [module](super).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct GrpcServerLayer;

// === impl GrpcServerLayer ===

impl GrpcServerLayer {
    /// It has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for GrpcServerLayer {
    type Service = GrpcServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcServerService::new(inner)
    }
}
