//! What a route and a target may both say: the commit point, and the clocks.

use super::{
    Clocks, ConfigError,
    error::Source,
    file::{self, ClocksTable},
    units::Span,
};
use backstay::{Timeouts, fallback::Commit};
use tokio::time::Duration;
use toml::Spanned;

pub(super) fn commit(
    source: Source<'_>,
    written: Option<&Spanned<String>>,
) -> Result<Option<Commit>, ConfigError> {
    let Some(written) = written else {
        return Ok(None);
    };
    match &**written.get_ref() {
        "head" => Ok(Some(Commit::Head)),
        "first_content" => Ok(Some(Commit::FirstContent)),
        "end" => Ok(Some(Commit::End)),
        other => Err(source.error(
            written.span(),
            format!("`{other}` is no commit point"),
            "choose \"head\", \"first_content\" or \"end\"",
        )),
    }
}

pub(super) fn timeouts(table: ClocksTable, mut timeouts: Timeouts) -> Timeouts {
    if let Some(connect) = table.connect {
        timeouts = timeouts.connect(connect.0);
    }
    let set = |table: file::ClockTable| {
        move |mut clocks: backstay::timeout::Clocks| {
            if let Some(Span(limit)) = table.headers {
                clocks = clocks.headers(limit);
            }
            if let Some(Span(limit)) = table.first_token {
                clocks = clocks.first_token(limit);
            }
            if let Some(Span(limit)) = table.idle {
                clocks = clocks.idle(limit);
            }
            if let Some(Span(limit)) = table.liveness {
                clocks = clocks.liveness(limit);
            }
            if let Some(Span(limit)) = table.attempt {
                clocks = clocks.attempt(limit);
            }
            clocks
        }
    };
    timeouts
        .for_streams(set(table.stream))
        .for_unary(set(table.unary))
}

/// The recommended clocks, the defaults of the file over them, the route's own over those.
pub(super) fn clocks(
    own: ClocksTable,
    defaults: ClocksTable,
    of_targets: &[ClocksTable],
) -> Clocks {
    let shortest = |clock: fn(&ClocksTable) -> Option<Span>, recommended: u64| {
        let of_route = clock(&own)
            .or(clock(&defaults))
            .map_or(Duration::from_secs(recommended), |span| span.0);
        let of_targets = of_targets.iter().map(clock);
        of_targets
            .map(|own| own.map_or(of_route, |span| span.0))
            .min()
            .unwrap_or(of_route)
    };
    Clocks {
        timeouts: timeouts(own, timeouts(defaults, Timeouts::recommended())),
        stream_headers: shortest(|clocks| clocks.stream.headers, 60),
        stream_idle: shortest(|clocks| clocks.stream.idle, 120),
        unary_headers: shortest(|clocks| clocks.unary.headers, 600),
        unary_idle: shortest(|clocks| clocks.unary.idle, 60),
    }
}
