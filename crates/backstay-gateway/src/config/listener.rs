//! Where the gateway listens, and whom it believes.

use super::{ConfigError, Secret, error::Source, file};
use http::HeaderName;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// One address, and what is accepted there.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// Names that `Host` may have, beside loopback names and IP addresses.
    pub(crate) hosts: Vec<String>,
    /// The web origins that may call.
    pub(crate) origins: Vec<String>,
    /// The headers in which a caller may tell its deadline; empty where it is not believed.
    pub(crate) deadline_headers: Arc<[HeaderName]>,
}

/// Somebody who may call.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    pub(crate) key: Secret,
}

/// The headers that are understood, and what a loopback listener reads unless told otherwise.
pub(crate) const DEADLINE_HEADERS: [&str; 6] = [
    "grpc-timeout",
    "connect-timeout-ms",
    "x-envoy-expected-rq-timeout-ms",
    "request-timeout",
    "x-stainless-timeout",
    "x-stainless-read-timeout",
];

const DEFAULT_ADDRESS: &str = "127.0.0.1:4141";

// === impl Listener ===

impl Listener {
    /// What there is when no listener is written.
    pub(super) fn standard() -> Self {
        let address: SocketAddr = match DEFAULT_ADDRESS.parse() {
            Ok(address) => address,
            Err(_) => unreachable!("it is an address"),
        };
        Self {
            address,
            hosts: Vec::new(),
            origins: Vec::new(),
            deadline_headers: DEADLINE_HEADERS.map(HeaderName::from_static).into(),
        }
    }

    pub(super) fn check(
        source: Source<'_>,
        table: file::ListenerTable,
        keyed: bool,
    ) -> Result<Self, ConfigError> {
        let written = table.address.get_ref();
        let at = table.address.span();
        let address: SocketAddr = written.parse().map_err(|_| {
            source.error(
                at.clone(),
                format!("`{written}` is no address"),
                format!("write an IP address and a port, like \"{DEFAULT_ADDRESS}\""),
            )
        })?;
        if !is_local(address.ip()) && !keyed {
            return Err(source.error(
                at,
                format!("{address} can be reached from other machines, and no caller has a key"),
                "add a `[[callers]]` with `name` and `key_env`, or listen on 127.0.0.1",
            ));
        }
        for origin in &table.origins {
            let text = origin.get_ref();
            let is_origin = text.split_once("://").is_some_and(|(scheme, rest)| {
                !scheme.is_empty() && !rest.is_empty() && !rest.contains('/')
            });
            if !is_origin {
                return Err(source.error(
                    origin.span(),
                    format!("`{text}` is no web origin"),
                    "write scheme, host and port without a path, like \"http://localhost:3000\"",
                ));
            }
        }
        let deadline_headers = match table.deadline_headers {
            None if is_local(address.ip()) => DEADLINE_HEADERS.map(HeaderName::from_static).into(),
            None => Arc::default(),
            Some(written) => deadline_headers(source, written)?,
        };
        Ok(Self {
            address,
            hosts: table
                .hosts
                .into_iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            origins: table
                .origins
                .into_iter()
                .map(|origin| origin.into_inner().to_ascii_lowercase())
                .collect(),
            deadline_headers,
        })
    }
}

fn deadline_headers(
    source: Source<'_>,
    written: toml::Spanned<file::DeadlineHeaders>,
) -> Result<Arc<[HeaderName]>, ConfigError> {
    let at = written.span();
    match written.into_inner() {
        file::DeadlineHeaders::Trusted(true) => {
            Ok(DEADLINE_HEADERS.map(HeaderName::from_static).into())
        }
        file::DeadlineHeaders::Trusted(false) => Ok(Arc::default()),
        file::DeadlineHeaders::Listed(names) => names
            .iter()
            .map(|name| {
                let known = DEADLINE_HEADERS
                    .into_iter()
                    .find(|known| known.eq_ignore_ascii_case(name));
                known.map(HeaderName::from_static).ok_or_else(|| {
                    source.error(
                        at.clone(),
                        format!("`{name}` is no deadline header that is understood"),
                        format!("choose from {}", DEADLINE_HEADERS.join(", ")),
                    )
                })
            })
            .collect(),
    }
}

/// Whether only this machine can reach it.
fn is_local(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
