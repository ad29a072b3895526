//! What goes wrong with a reply.

/// What goes wrong, if anything does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    NeverAnswer,
    ResetBeforeHeaders,
    CutAfter(usize),
    StallAfter(usize),
    ResetAfter(usize),
    ErrorInBand(usize, String),
    FailedInBand(usize, String),
    NoEndMarker,
    HoldOpenAfterEnd,
    EmptyStream,
    Garbage,
    TruncateLength(usize),
    TruncateClose(usize),
}
