//! What a response does after its head.

use std::time::Duration;

use bytes::Bytes;

/// One thing a response does after its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Wait(Duration),
    /// These bytes, and how many tokens they finish.
    Send(Bytes, usize),
    /// Has the connection write what it holds before it gets more.
    Flush,
    /// Everything that was meant to be said was said.
    Whole,
    /// Nothing more, and no end.
    Silence,
    /// The end, without the end of the body.
    Cut,
    /// A RST.
    Reset,
}
