//! New or used: what is told about a connection afterwards.

use http::Extensions;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether an earlier response had come over the same connection.
///
/// It is in the extensions of every response, and [`Error::connection_reuse`](crate::Error::connection_reuse)
/// tells it of a failure. A failure on a used connection before any byte of the response often means that
/// the server closed the idle connection at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionReuse {
    /// True when at least one earlier response had come over this connection.
    pub reused: bool,
    /// True when the call drives the connection: before its body is pending it has handed over all that was
    /// read. Where a task drives it, that task may have more once it has run.
    pub driven_by_call: bool,
}

/// Travels with a connection, as an extra of hyper-util's `Connected`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used(Arc<AtomicBool>);

/// Replaces the connection's shared marker in a response's extensions by what it said until now.
pub(crate) fn mark_used(extensions: &mut Extensions) {
    if let Some(Used(used)) = extensions.remove() {
        let reused = used.swap(true, Ordering::Relaxed);
        extensions.insert(ConnectionReuse {
            reused,
            driven_by_call: false,
        });
    }
}

/// What the marker of a connection says, for a request that failed on it.
pub(crate) fn reuse_of(extensions: &Extensions) -> Option<ConnectionReuse> {
    extensions.get().map(|Used(used)| ConnectionReuse {
        reused: used.load(Ordering::Relaxed),
        driven_by_call: false,
    })
}
