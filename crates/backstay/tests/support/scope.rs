//! A scope as the tests have it, and who is told of the ends in it.

use backstay::{
    BoxError, Scope,
    cancel::{CancelLayer, Ended},
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::{Duration, Instant};

pub type Nothing = Result<(), BoxError>;

/// A cancel layer, and the ends that its hook was told.
pub fn hooked() -> (CancelLayer, Arc<Mutex<Vec<Ended>>>) {
    let ends = Arc::<Mutex<Vec<Ended>>>::default();
    let told = ends.clone();
    let layer = CancelLayer::new().observe(move |ended| told.lock().push(ended.clone()));
    (layer, ends)
}

pub fn session() -> Scope {
    Scope::new("answer").label("session", "s-81")
}

pub trait ElapsedNow {
    fn elapsed_now(&self) -> Duration;
}

impl ElapsedNow for Instant {
    fn elapsed_now(&self) -> Duration {
        Instant::now().saturating_duration_since(*self)
    }
}
