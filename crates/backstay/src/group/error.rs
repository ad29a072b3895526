//! Every failure of a group.

use crate::error::{Error, ErrorClass};
use std::{error::Error as StdError, fmt, sync::Arc};

/// The failures of a group, in the order in which they happened.
///
/// `{}` prints one line, `{:#}` a tree with the sources of each. As an error it has the first failure that
/// is no cancellation for its source, so that [`Error::find`] finds what began it; a group in which
/// everything that failed was cancelled is a cancellation.
///
/// ```
/// use backstay::{BoxError, ErrorClass, Group};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), BoxError> {
/// let mut group = Group::<()>::new();
/// group.spawn("disk", async { Err("disk full".into()) });
/// group.spawn("bug", async { panic!("index out of bounds") });
/// let error = group.wait_for_all().await.failed.expect("both failed");
///
/// // As `except*` does it: handle one class, and pass on the rest.
/// let (panics, rest) = error.split(ErrorClass::Panicked);
/// assert_eq!(panics.expect("one").failures()[0].name(), "bug");
/// assert_eq!(rest.expect("one").failures()[0].name(), "disk");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GroupError {
    failures: Vec<Failure>,
    /// Members that the group itself cut off.
    cut_off: Vec<Arc<str>>,
    members: usize,
}

/// A member that failed.
#[derive(Debug)]
pub struct Failure {
    index: usize,
    name: Arc<str>,
    error: Error,
}

// === impl GroupError ===

impl GroupError {
    pub(super) fn new(failures: Vec<Failure>, cut_off: Vec<Arc<str>>, members: usize) -> Self {
        Self {
            failures,
            cut_off,
            members,
        }
    }

    /// The failures, in the order in which they happened.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// The failures by value.
    pub fn into_failures(self) -> Vec<Failure> {
        self.failures
    }

    /// The names of the members that the group cut off, because of a failure or of the first success. That
    /// is no failure of theirs.
    pub fn cut_off(&self) -> impl Iterator<Item = &str> {
        self.cut_off.iter().map(|name| &**name)
    }

    /// How many members the group had.
    pub fn members(&self) -> usize {
        self.members
    }

    /// The failures of one class.
    pub fn of(&self, class: ErrorClass) -> impl Iterator<Item = &Failure> {
        self.failures
            .iter()
            .filter(move |each| each.class() == class)
    }

    /// The classes that there are, in the order in which each happened first.
    pub fn classes(&self) -> Vec<ErrorClass> {
        let mut classes = Vec::new();
        for failure in &self.failures {
            if !classes.contains(&failure.class()) {
                classes.push(failure.class());
            }
        }
        classes
    }

    /// The failures of one class, and the rest. A failure that is a group itself stays whole.
    pub fn split(self, class: ErrorClass) -> (Option<Self>, Option<Self>) {
        self.split_by(|failure| failure.class() == class)
    }

    /// The failures for which this is true, and the rest.
    pub fn split_by(self, is: impl FnMut(&Failure) -> bool) -> (Option<Self>, Option<Self>) {
        let (those, rest): (Vec<_>, Vec<_>) = self.failures.into_iter().partition(is);
        let group = |failures, cut_off| Self::new(failures, cut_off, self.members).any();
        (
            group(those, self.cut_off.clone()),
            group(rest, self.cut_off),
        )
    }

    /// Whether all that failed was cancelled: then this is no failure.
    pub fn is_cancelled(&self) -> bool {
        !self.failures.is_empty() && self.failures.iter().all(|each| each.error.is_cancelled())
    }

    /// Itself, if anything failed.
    pub(super) fn any(self) -> Option<Self> {
        (!self.failures.is_empty()).then_some(self)
    }

    fn first(&self) -> Option<&Failure> {
        let mut failures = self.failures.iter();
        failures
            .find(|each| !each.error.is_cancelled())
            .or(self.failures.first())
    }
}

impl StdError for GroupError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.first().map(|first| &first.error as _)
    }
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(index: usize, name: Arc<str>, error: Error) -> Self {
        Self { index, name, error }
    }

    /// The member's place in the order of [`Group::spawn`](super::Group::spawn), from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The member's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it failed with: its own error is this or its source.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// What it failed with, by value.
    pub fn into_error(self) -> Error {
        self.error
    }

    /// What is handled alike.
    pub fn class(&self) -> ErrorClass {
        self.error.kind().class()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.error.what())
    }
}
