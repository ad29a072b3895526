//! The layer.

use super::GrpcCallService;
use crate::methods::{Known, Methods, MethodsError};
use backstay::BuildError;
use tower_layer::Layer;

/// Speaks tonic's language above a stack. See the [module](super).
#[derive(Clone, Debug)]
pub struct GrpcCallLayer {
    methods: Known,
    replay_limit: usize,
}

/// As much as tonic's servers decode by default.
const DEFAULT_REPLAY_LIMIT: usize = 4 * 1024 * 1024;

// === impl GrpcCallLayer ===

impl GrpcCallLayer {
    /// For calls of these methods, and of any other.
    ///
    /// # Errors
    ///
    /// [`MethodsError::Name`] for a name that can name no method.
    pub fn new(methods: Methods) -> Result<Self, MethodsError> {
        Ok(Self {
            methods: methods.check()?,
            replay_limit: DEFAULT_REPLAY_LIMIT,
        })
    }

    /// The largest request, in bytes, that is kept for another attempt. Default: 4 MiB. The fallback layer's
    /// own limit holds too.
    ///
    /// # Errors
    ///
    /// [`BuildError::Zero`].
    pub fn replay_limit(mut self, bytes: usize) -> Result<Self, BuildError> {
        if bytes == 0 {
            return Err(BuildError::Zero {
                setting: "replay_limit",
            });
        }
        self.replay_limit = bytes;
        Ok(self)
    }
}

impl<S> Layer<S> for GrpcCallLayer {
    type Service = GrpcCallService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcCallService::new(inner, self.methods.clone(), self.replay_limit)
    }
}
