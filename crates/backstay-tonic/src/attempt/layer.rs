//! The layer.

use super::GrpcAttemptService;
use backstay::BuildError;
use tower_layer::Layer;

/// Puts the time left on the wire and reads the status of each attempt. See the [module](super).
#[derive(Clone, Copy, Debug)]
pub struct GrpcAttemptLayer {
    hold: HoldBounds,
}

/// How much of a reply is held back at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct HoldBounds {
    pub(super) bytes: usize,
    pub(super) frames: usize,
}

/// As much as tonic decodes by default.
const DEFAULT_HOLD_BYTES: usize = 4 * 1024 * 1024;
const DEFAULT_HOLD_FRAMES: usize = 4096;

// === impl GrpcAttemptLayer ===

impl GrpcAttemptLayer {
    /// Holds at most 4 MiB of a unary reply.
    pub const fn new() -> Self {
        Self {
            hold: HoldBounds {
                bytes: DEFAULT_HOLD_BYTES,
                frames: DEFAULT_HOLD_FRAMES,
            },
        }
    }

    /// How many bytes of a unary reply are held back at most. A longer one is passed on, and a failure in its
    /// trailers is not retried.
    ///
    /// # Errors
    ///
    /// [`BuildError::Zero`].
    pub fn hold_bytes(mut self, bytes: usize) -> Result<Self, BuildError> {
        if bytes == 0 {
            return Err(BuildError::Zero {
                setting: "hold_bytes",
            });
        }
        self.hold.bytes = bytes;
        Ok(self)
    }
}

impl Default for GrpcAttemptLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for GrpcAttemptLayer {
    type Service = GrpcAttemptService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcAttemptService::new(inner, self.hold)
    }
}
