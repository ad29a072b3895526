//! What a group comes to.

use super::GroupError;
use std::sync::Arc;

/// A member that came to a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Success<T> {
    /// Its place in the order of [`Group::spawn`](super::Group::spawn), from 0.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// What it came to.
    pub value: T,
}

/// What became of each member: the end of [`Group::wait_for_all`](super::Group::wait_for_all).
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "it may hold failures"]
pub struct Settled<T> {
    /// The values, in the order in which the members were spawned.
    pub succeeded: Vec<Success<T>>,
    /// The failures, in the order in which they happened.
    pub failed: Option<GroupError>,
}

/// The end of [`Group::first_success`](super::Group::first_success).
#[derive(Debug)]
#[non_exhaustive]
pub struct First<T> {
    /// The member that was first.
    pub winner: Success<T>,
    /// Those that failed before it, in the order in which they did, and those that it cut off.
    pub failed: Option<GroupError>,
}

// === impl Settled ===

impl<T> Settled<T> {
    /// All values, in the order in which the members were spawned.
    ///
    /// # Errors
    ///
    /// Every failure, when there is one.
    pub fn all(self) -> Result<Vec<T>, GroupError> {
        match self.failed {
            Some(failed) => Err(failed),
            None => Ok(self.succeeded.into_iter().map(|each| each.value).collect()),
        }
    }
}
