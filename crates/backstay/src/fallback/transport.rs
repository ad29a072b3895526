//! What a client's error tells: was the request sent?
//!
//! By downcast only, never by text. Without the `hyper` feature nothing is known, and everything counts
//! as sent.

use std::error::Error as StdError;

/// Whether the request may have reached the upstream.
pub(super) fn may_have_been_sent(error: &(dyn StdError + 'static)) -> bool {
    !chain(error).any(was_not_sent)
}

/// Whether the request was taken back before it was written, as happens to those who wait for a
/// connection that another call gave up (hyper's connecting lock on HTTP/2), or to a request that met a
/// closing connection.
#[cfg(feature = "hyper")]
fn was_not_sent(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_canceled();
    }
    error
        .downcast_ref::<hyper_util::client::legacy::Error>()
        .is_some_and(hyper_util::client::legacy::Error::is_connect)
}

#[cfg(not(feature = "hyper"))]
fn was_not_sent(_: &(dyn StdError + 'static)) -> bool {
    false
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
