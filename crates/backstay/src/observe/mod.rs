//! What an attempt's body says while it goes by.
//!
//! Each attempt has one observer, fed by the innermost layer that needs it. What it sees is raised as
//! [`Signals`] in the call's record, where every other layer reads it: nothing is parsed twice.

mod content;
mod observer;
mod signals;

pub(crate) use self::{
    content::Content,
    observer::Observer,
    signals::{SharedSignals, Signals},
};
