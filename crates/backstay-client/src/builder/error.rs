//! Why a client cannot be built.

use crate::BoxError;
use std::{error::Error as StdError, fmt};

/// Why [`Builder::build`](crate::Builder::build) refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A duration or size is zero: nothing could ever succeed.
    #[non_exhaustive]
    Zero {
        /// The builder's method.
        option: &'static str,
    },
    /// A number is beyond its bound.
    #[non_exhaustive]
    TooLarge {
        /// The builder's method.
        option: &'static str,
        /// What was asked for.
        given: usize,
        /// What is possible.
        most: usize,
    },
    /// The user agent is not a header value.
    UserAgent,
    /// The proxy's URL cannot be used. It is not repeated here: it may hold a password.
    Proxy,
    /// A PEM text holds no certificate, or one that cannot be read.
    #[non_exhaustive]
    RootCertificate {
        /// What is wrong with it.
        source: BoxError,
    },
    /// Nobody is trusted: the platform has no certificate store, and none was given.
    #[non_exhaustive]
    NoRoots {
        /// Why the platform's store was not used.
        source: BoxError,
    },
    /// TLS could not be set up.
    #[non_exhaustive]
    Tls {
        /// The reason.
        source: BoxError,
    },
}

// === impl BuildError ===

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { option } => {
                write!(f, "{option} is zero: give more, or Duration::MAX for never")
            }
            Self::TooLarge {
                option,
                given,
                most,
            } => write!(f, "{option} is {given}: give {most} or less"),
            Self::UserAgent => {
                f.write_str("user_agent is not a header value: give visible ASCII characters")
            }
            Self::Proxy => f.write_str(
                "the proxy's URL cannot be used: give scheme://user:password@host:port with http, https, socks5, socks5h, socks4 or socks4a, and percent-encoded credentials",
            ),
            Self::RootCertificate { .. } => {
                f.write_str("add_root_certificate_pem was given a text without a usable certificate")
            }
            Self::NoRoots { .. } => f.write_str(
                "no root certificates: install the system's (ca-certificates), turn on the feature `webpki-roots`, or give your own with add_root_certificate_pem",
            ),
            Self::Tls { .. } => f.write_str("TLS could not be set up"),
        }
    }
}

impl StdError for BuildError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::RootCertificate { source } | Self::NoRoots { source } | Self::Tls { source } => {
                Some(&**source)
            }
            Self::Zero { .. } | Self::TooLarge { .. } | Self::UserAgent | Self::Proxy => None,
        }
    }
}
