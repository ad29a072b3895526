//! Why there was no response, or why its body ended early.

use crate::{BoxError, ConnectionReuse, connection};
use backstay::transport::{Delivery, SendFailure};
use http::Extensions;
use hyper_util::client::legacy;
use std::{error::Error as StdError, fmt};

/// The error of [`Client`](crate::Client) and of [`ResponseBody`](crate::ResponseBody).
///
/// Its `source()` chain is whole: `hyper::Error`, `std::io::Error`, where the call went through hyper-util
/// `hyper_util::client::legacy::Error` and, when the connect clock ran out, [`backstay::Error`] are found there by
/// downcast. Neither `Debug` nor `Display`
/// shows a URI, a header or a credential.
pub struct Error {
    kind: ErrorKind,
    reuse: Option<ConnectionReuse>,
    source: Option<BoxError>,
}

/// What an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URI of the request lacks scheme and host.
    RelativeUri,
    /// The URI of the request carries credentials before its host.
    UserInfo,
    /// The scheme is neither `https` nor `http`.
    UnsupportedScheme,
    /// Plain http, which is refused unless asked for.
    PlainHttp,
    /// No connection was made: DNS, TCP, proxy, TLS, or the connect clock.
    Connect,
    /// A connection was there, and it ended before any of the request was written to it.
    Unsent,
    /// The request may have reached the server, and no whole response head came back.
    Exchange,
    /// The response's body ended early.
    Body,
}

// === impl Error ===

impl Error {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True when the server cannot have seen the request: sending it again is safe, whatever its method.
    pub fn was_not_sent(&self) -> bool {
        !matches!(self.kind, ErrorKind::Exchange | ErrorKind::Body)
    }

    /// Whether the connection had been used before; `None` when there was none.
    pub fn connection_reuse(&self) -> Option<ConnectionReuse> {
        self.reuse
    }

    pub(crate) fn refused(kind: ErrorKind) -> Self {
        Self {
            kind,
            reuse: None,
            source: Some(SendFailure::new(Delivery::Refused).into()),
        }
    }

    pub(crate) fn body(source: hyper::Error) -> Self {
        Self {
            kind: ErrorKind::Body,
            reuse: None,
            source: Some(source.into()),
        }
    }

    pub(crate) fn connect(source: BoxError) -> Self {
        Self::of_sending(ErrorKind::Connect, None, source)
    }

    /// hyper gave the request back.
    pub(crate) fn unsent(source: hyper::Error, reused: bool) -> Self {
        let reuse = ConnectionReuse {
            reused,
            driven_by_call: true,
        };
        Self::of_sending(ErrorKind::Unsent, Some(reuse), source.into())
    }

    /// No response came to a request that hyper had begun to write.
    pub(crate) fn exchange(source: hyper::Error, reused: bool) -> Self {
        let reuse = ConnectionReuse {
            reused,
            driven_by_call: true,
        };
        Self::of_sending(ErrorKind::Exchange, Some(reuse), source.into())
    }

    pub(crate) fn from_legacy(source: legacy::Error) -> Self {
        let (kind, reuse) = match source.connect_info() {
            // hyper-util knows the connection as soon as it has handed a request to one.
            None => (ErrorKind::Connect, None),
            Some(connected) => {
                let mut extras = Extensions::new();
                connected.get_extras(&mut extras);
                let kind = if hyper_gave_it_back(&source) {
                    ErrorKind::Unsent
                } else {
                    ErrorKind::Exchange
                };
                (kind, connection::reuse_of(&extras))
            }
        };
        Self::of_sending(kind, reuse, source.into())
    }

    fn of_sending(kind: ErrorKind, reuse: Option<ConnectionReuse>, source: BoxError) -> Self {
        let delivery = match kind {
            ErrorKind::Exchange => Delivery::maybe_sent(reuse.is_some_and(|reuse| reuse.reused)),
            _ => Delivery::NotSent,
        };
        Self {
            kind,
            reuse,
            source: Some(SendFailure::new(delivery).with_source(source).into()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::RelativeUri => {
                "the request's URI has no scheme and host: give the whole URL, as in https://api.example.com/v1/chat/completions"
            }
            ErrorKind::UserInfo => {
                "the request's URI carries credentials before its host: put them into the authorization header"
            }
            ErrorKind::UnsupportedScheme => {
                "the request's URI is neither https nor http: no other scheme is spoken here"
            }
            ErrorKind::PlainHttp => {
                "plain http is refused because it shows keys and prompts to the network: use https, or build the client with allow_http(true), or with allow_http_loopback(true) for a server on this machine"
            }
            ErrorKind::Connect => "no connection could be made",
            ErrorKind::Unsent => "the connection ended before the request was written to it",
            ErrorKind::Exchange => {
                "the connection failed after the request may have been sent, and before a response"
            }
            ErrorKind::Body => "the response's body ended early",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("reuse", &self.reuse)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// True when hyper says that it never began to write the request.
fn hyper_gave_it_back(error: &legacy::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return error.is_canceled();
        }
        next = error.source();
    }
    false
}
