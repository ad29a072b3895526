//! The layer.

use super::{CancelService, Ended, Hooks, hooks::Shared};
use crate::error::BuildError;
use std::{fmt, future::Future, sync::Arc};
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;

/// Runs hooks when calls are cancelled or fail, and tells observers of every end. See the
/// [module](super).
#[derive(Clone)]
pub struct CancelLayer {
    shared: Arc<Shared>,
    token: Option<CancellationToken>,
}

// === impl CancelLayer ===

impl CancelLayer {
    /// No hook and no observer: counts calls, and obeys tokens.
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            token: None,
        }
    }

    /// A hook: what it returns is awaited in a task of its own when a call ends otherwise than by
    /// completion. Hooks of one layer run side by side.
    #[must_use]
    pub fn on_cancel<F, T>(self, hook: F) -> Self
    where
        F: Fn(Ended) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.change(|shared| {
            shared
                .hooks
                .push(Arc::new(move |ended| Box::pin(hook(ended))));
        })
    }

    /// An observer of every end, completion included. It runs where the call ends, in a drop perhaps, and
    /// must not block. To do something async after a completion spawn a task from it, which costs one per
    /// call.
    #[must_use]
    pub fn observe<F>(self, observer: F) -> Self
    where
        F: Fn(&Ended) + Send + Sync + 'static,
    {
        self.change(|shared| shared.observers.push(Arc::new(observer)))
    }

    /// How long each hook may run, counted from when it starts to. Default: 5 s.
    ///
    /// # Errors
    ///
    /// [`BuildError::ZeroDuration`].
    pub fn hook_timeout(self, limit: Duration) -> Result<Self, BuildError> {
        let limit = Shared::limit(limit)?;
        Ok(self.change(|shared| shared.limit = limit))
    }

    /// How many hooks of this layer run at the same time; the others wait for their turn. Default: 64.
    ///
    /// # Errors
    ///
    /// [`BuildError::Zero`].
    pub fn hooks_at_once(self, hooks: usize) -> Result<Self, BuildError> {
        let mut shared = self.shared.copy();
        shared.set_at_once(hooks)?;
        Ok(Self {
            shared: Arc::new(shared),
            ..self
        })
    }

    /// A token that cancels every call of this layer.
    #[must_use]
    pub fn token(mut self, token: CancellationToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Counts, and a way to wait for hooks. Take it once the hooks are set.
    pub fn hooks(&self) -> Hooks {
        Hooks(self.shared.clone())
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = self.shared.copy();
        change(&mut shared);
        self.shared = Arc::new(shared);
        self
    }
}

impl Default for CancelLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for CancelLayer {
    type Service = CancelService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CancelService::new(inner, self.shared.clone(), self.token.clone())
    }
}

impl fmt::Debug for CancelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelLayer")
            .field("hooks", &self.hooks())
            .finish_non_exhaustive()
    }
}
