//! How the connect clock reaches the client.

use crate::call::Call;
use http::Extensions;
use tokio::time::Duration;

/// The `connect` clock of an attempt, for the client that makes the connection.
///
/// A layer sees no connection, so that the client keeps this clock: it reads the limit here and ends a
/// connection attempt that takes longer with [`Error::connect_timeout`](crate::Error::connect_timeout).
/// `backstay-client` does.
///
/// ```
/// use backstay::timeout::ConnectLimit;
///
/// let request = http::Request::new(());
/// assert_eq!(ConnectLimit::of(request.extensions()), None);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectLimit;

// === impl ConnectLimit ===

impl ConnectLimit {
    /// The limit that the timeouts layer set for the attempt that this request belongs to.
    pub fn of(extensions: &Extensions) -> Option<Duration> {
        Call::of(extensions)?.connect_limit()
    }
}
