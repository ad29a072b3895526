//! What a client knows of a request that failed: was it sent, and over a connection that was used before?
//!
//! A layer cannot see that; the client can. It says so with a [`SendFailure`] in its error's `source()`
//! chain, as `backstay-client` does. With the `hyper` feature, errors of hyper and hyper-util tell what
//! they can by downcast; nothing is ever read from an error's text. What nobody tells counts as sent.
//!
//! ```
//! use backstay::transport::{Delivery, SendFailure};
//!
//! let error = SendFailure::new(Delivery::NotSent)
//!     .with_source(std::io::Error::other("connection refused"));
//! assert_eq!(Delivery::of(&error), Delivery::NotSent);
//! assert_eq!(
//!     Delivery::of(&std::io::Error::other("who knows")),
//!     Delivery::maybe_sent(false)
//! );
//! ```

use crate::error::BoxError;
use std::{error::Error as StdError, fmt};

/// Whether a request that failed may have reached the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// It did not leave: no connection was made, or it was given back before it was written.
    NotSent,
    /// It did not leave, and never will as it is: the client does not take it.
    Refused,
    /// It may have arrived.
    #[non_exhaustive]
    MaybeSent {
        /// The connection had been used before, and no byte of a response came: the server may have
        /// closed it, idle, at that very moment.
        reused: bool,
    },
}

/// A client's word on a request that failed, for the `source()` chain of its error.
#[derive(Debug)]
pub struct SendFailure {
    delivery: Delivery,
    source: Option<BoxError>,
}

/// A request extension: send this over a connection that is surely new.
///
/// The fallback layer asks for it when a used connection was lost before any byte of a response.
/// `backstay-client` obeys; a client that does not know it sends the request as any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreshConnection;

// === impl Delivery ===

impl Delivery {
    /// The request may have arrived; `reused` says whether the connection had been used before.
    pub const fn maybe_sent(reused: bool) -> Self {
        Self::MaybeSent { reused }
    }

    /// What an error's chain tells.
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = error.downcast_ref::<SendFailure>() {
                return failure.delivery;
            }
            if let Some(delivery) = of_hyper(error) {
                return delivery;
            }
            next = error.source();
        }
        Self::maybe_sent(false)
    }

    /// Whether it may have arrived, and may have been billed.
    pub const fn may_have_arrived(self) -> bool {
        matches!(self, Self::MaybeSent { .. })
    }
}

/// A request is given back unwritten to those who wait for a connection that another call gave up, and
/// when it met a closing connection.
#[cfg(feature = "hyper")]
fn of_hyper(error: &(dyn StdError + 'static)) -> Option<Delivery> {
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect().then_some(Delivery::NotSent);
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    error.is_canceled().then_some(Delivery::NotSent)
}

#[cfg(not(feature = "hyper"))]
fn of_hyper(_: &(dyn StdError + 'static)) -> Option<Delivery> {
    None
}

// === impl SendFailure ===

impl SendFailure {
    /// What became of the request.
    pub const fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            source: None,
        }
    }

    /// With the client's own error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What became of the request.
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.delivery {
            Delivery::NotSent => "the request was not sent",
            Delivery::Refused => "the client does not take the request",
            Delivery::MaybeSent { reused: true } => {
                "a connection that had been used before was lost, and the request may have arrived"
            }
            Delivery::MaybeSent { reused: false } => "the request may have arrived",
        })
    }
}

impl StdError for SendFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
