//! Whom to tell, and how.

use crate::{deadline::DeadlineHeader, error::BuildError};
use http::{
    Uri,
    uri::{Authority, Scheme},
};
use tokio::time::Duration;

/// Whom to tell the time left, and how. See the [module](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct Outbound {
    headers: Vec<DeadlineHeader>,
    to: Vec<String>,
    to_everyone: bool,
    margin: Duration,
}

/// The same, checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) headers: Vec<DeadlineHeader>,
    pub(super) margin: Duration,
    /// `None` for everyone.
    to: Option<Vec<Authority>>,
}

/// More than a timer's resolution, and than the way to a neighbour.
const DEFAULT_MARGIN: Duration = Duration::from_millis(10);

// === impl Outbound ===

impl Outbound {
    /// Tells nobody anything, and takes away what others have written.
    pub const fn new() -> Self {
        Self {
            headers: Vec::new(),
            to: Vec::new(),
            to_everyone: false,
            margin: DEFAULT_MARGIN,
        }
    }

    /// Writes this header as well.
    pub fn header(mut self, header: DeadlineHeader) -> Self {
        self.headers.push(header);
        self
    }

    /// Tells this authority as well: a host, with its port unless that is the scheme's own. Case does not matter.
    pub fn to(mut self, authority: impl Into<String>) -> Self {
        self.to.push(authority.into());
        self
    }

    /// Tells whoever is called, providers too.
    pub const fn to_every_authority(mut self) -> Self {
        self.to_everyone = true;
        self
    }

    /// How much less than what is left is told, for the way there and back. Default: 10 ms.
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    pub(super) fn checked(self) -> Result<Checked, BuildError> {
        let to = self.to.into_iter().map(authority);
        let to = to.collect::<Result<Vec<_>, _>>()?;
        Ok(Checked {
            headers: self.headers,
            margin: self.margin,
            to: (!self.to_everyone).then_some(to),
        })
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new()
    }
}

fn authority(text: String) -> Result<Authority, BuildError> {
    match text.parse::<Authority>() {
        Ok(authority) if !text.contains('@') && !authority.host().is_empty() => Ok(authority),
        _ => Err(BuildError::Authority { authority: text }),
    }
}

// === impl Checked ===

impl Checked {
    /// Whether who is called here is to be told.
    pub(super) fn tells(&self, uri: &Uri) -> bool {
        let Some(to) = &self.to else {
            return true;
        };
        let Some(called) = uri.authority() else {
            return false;
        };
        let default = default_port(uri.scheme());
        let port = |authority: &Authority| authority.port_u16().or(default);
        to.iter().any(|named| {
            named.host().eq_ignore_ascii_case(called.host()) && port(named) == port(called)
        })
    }
}

fn default_port(scheme: Option<&Scheme>) -> Option<u16> {
    match scheme?.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}
