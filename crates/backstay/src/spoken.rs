//! A dialect that is spoken in a call.

use backstay_dialect::Dialect;
use std::{ops::Deref, sync::Arc};

/// A dialect as a call keeps it. References to what lives as long as the program are not counted: a call keeps a
/// few, and each count is an atomic operation that all threads share.
#[derive(Clone)]
pub(crate) enum Spoken {
    /// One that host and path tell.
    Known(&'static Arc<dyn Dialect>),
    /// One that a target names.
    Named(Arc<dyn Dialect>),
}

impl Deref for Spoken {
    type Target = dyn Dialect;

    fn deref(&self) -> &(dyn Dialect + 'static) {
        match self {
            Self::Known(dialect) => &***dialect,
            Self::Named(dialect) => &**dialect,
        }
    }
}
