//! What an attempt's body says while it goes by.
//!
//! Each attempt has one observer, fed by the innermost layer that needs it. What it sees is raised as
//! [`Signals`] in the call's record, where every other layer reads it: nothing is parsed twice.

mod content;
mod observer;
mod pass;
mod signals;

use tokio::time::Duration;

pub(crate) use self::{
    content::{Content, is_encoded},
    observer::Observer,
    pass::{End, Polled, end_instead, pass},
    signals::{SharedSignals, Signals},
};

/// How long after the end marker of an answer the end of its transfer is waited for, so that the
/// connection can be used again.
pub(crate) const LINGER: Duration = Duration::from_millis(50);
