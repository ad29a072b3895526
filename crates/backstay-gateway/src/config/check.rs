//! From what is written to what it means.

use super::{
    Caller, Config, ConfigError, DrainTimes, Family, Limits, Listener, Match, Route, Target,
    Upstream, Written,
    error::Source,
    file::{self, File},
    rules::{clocks, commit},
    target,
    units::Span,
};
use backstay_client::Proxy;
use tokio::time::Duration;
use toml::Spanned;

/// A call's budget unless the route has one: what the official SDKs wait.
const DEFAULT_BUDGET: Duration = Duration::from_secs(600);
/// Time kept for each untried target unless the route says otherwise.
const DEFAULT_RESERVE: Duration = Duration::ZERO;
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);
const DEFAULT_RETRIES: u32 = 2;
/// A hyper connection cannot have a smaller buffer.
const LEAST_HEAD: usize = 8 * 1024;

const DEFAULT_LIMITS: Limits = Limits {
    connections: 4096,
    calls: 2048,
    request_body: 32 * 1024 * 1024,
    buffered: 512 * 1024 * 1024,
    request_head: 64 * 1024,
    head_time: Duration::from_secs(15),
    body_time: Duration::from_secs(60),
    idle_time: Duration::from_secs(75),
    streams_per_connection: 256,
};

const DEFAULT_DRAIN: DrainTimes = DrainTimes {
    delay: Duration::ZERO,
    grace: Duration::from_secs(30),
};

const DEFAULT_IDLE_CONNECTIONS: usize = 256;
const DEFAULT_TRAILS: usize = 200;
/// Each is a few hundred bytes.
const MOST_TRAILS: usize = 100_000;

pub(super) fn check(source: Source<'_>) -> Result<Config, ConfigError> {
    let file: File = toml::from_str(source.text).map_err(|error| source.unparsable(&error))?;
    let callers = file
        .callers
        .into_iter()
        .map(|table| {
            let at = table.span();
            let table = table.into_inner();
            let key = table.key().read(source, at.clone())?.ok_or_else(|| {
                source.error(at, "the caller has no key", "add `key_env` or `key_file`")
            })?;
            Ok(Caller {
                name: table.name.into(),
                key,
            })
        })
        .collect::<Result<Vec<_>, ConfigError>>()?;
    let mut listeners = file
        .listeners
        .into_iter()
        .map(|table| Listener::check(source, table.into_inner(), !callers.is_empty()))
        .collect::<Result<Vec<_>, _>>()?;
    if listeners.is_empty() {
        listeners.push(Listener::standard());
    }
    let targets = target::check(source, file.targets)?;
    let defaults = file.defaults.map(Spanned::into_inner).unwrap_or_default();
    let routes = file
        .routes
        .into_iter()
        .map(|table| route(source, table, &defaults, &targets))
        .collect::<Result<Vec<_>, _>>()?;
    if routes.is_empty() {
        return Err(source.error(
            0..0,
            "there is no route",
            "add a `[[routes]]` with `model` (or `path`) and `targets`",
        ));
    }
    Ok(Config {
        listeners,
        callers,
        targets,
        routes,
        limits: limits(source, file.limits)?,
        drain: DrainTimes {
            delay: file.drain.delay.map_or(DEFAULT_DRAIN.delay, |span| span.0),
            grace: file.drain.grace.map_or(DEFAULT_DRAIN.grace, |span| span.0),
        },
        upstream: upstream(source, file.upstream)?,
        trails: file.trails.keep.unwrap_or(DEFAULT_TRAILS).min(MOST_TRAILS),
        written: Written::new(source),
    })
}

fn route(
    source: Source<'_>,
    table: Spanned<file::RouteTable>,
    defaults: &file::Rules,
    targets: &[Target],
) -> Result<Route, ConfigError> {
    let at = table.span();
    let table = table.into_inner();
    let mut models = table.models;
    models.extend(table.model);
    let matches = match (models.is_empty(), &table.path) {
        (false, None) if models.iter().any(|model| model == "*") => Match::AnyModel,
        (false, None) => Match::Models(models),
        (true, Some(path)) => {
            let text = path.get_ref();
            if !text.starts_with('/') {
                return Err(source.error(
                    path.span(),
                    format!("the path `{text}` does not begin with a slash"),
                    "write it as it stands in the request, like \"/api/v2/*\"",
                ));
            }
            match text.strip_suffix('*') {
                Some(prefix) => Match::PathPrefix(prefix.to_owned()),
                None => Match::Path(text.clone()),
            }
        }
        _ => {
            return Err(source.error(
                at,
                "the route does not say what it is for",
                "give it either `model` (or `models`; \"*\" for any) or `path`",
            ));
        }
    };
    let mut chosen = Vec::with_capacity(table.targets.len());
    for name in &table.targets {
        let Some(found) = targets.iter().position(|t| *t.name == **name.get_ref()) else {
            return Err(source.error(
                name.span(),
                format!("there is no target {}", name.get_ref()),
                "write the `name` of one of the `[[targets]]`",
            ));
        };
        chosen.push(found);
    }
    if chosen.is_empty() {
        return Err(source.error(at, "the route has no target", "name at least one"));
    }
    let by_model = matches!(matches, Match::Models(_) | Match::AnyModel);
    let rules = file::Rules {
        budget: table.budget,
        reserve: table.reserve,
        min_attempt: table.min_attempt,
        max_wait: table.max_wait,
        retries: table.retries,
        retry_uncertain: table.retry_uncertain,
        commit: table.commit,
        clocks: table.clocks,
    };
    let budget = span(&rules.budget, &defaults.budget, DEFAULT_BUDGET);
    let reserve = span(&rules.reserve, &defaults.reserve, DEFAULT_RESERVE);
    let min_attempt = span(&rules.min_attempt, &defaults.min_attempt, Duration::ZERO);
    for (name, part) in [("reserve", reserve), ("min_attempt", min_attempt)] {
        if part > budget {
            return Err(source.error(
                at,
                format!("`{name}` ({part:?}) is above the budget ({budget:?}), so that no attempt could start"),
                format!("raise `budget`, or lower `{name}`"),
            ));
        }
    }
    if budget.is_zero() {
        return Err(source.error(at, "the budget is zero", "write a longer one, or \"never\""));
    }
    if let Some(plain) = chosen
        .iter()
        .map(|at| &targets[*at])
        .find(|target| by_model && target.family == Family::Plain)
    {
        return Err(source.error(
            at,
            format!(
                "the route is chosen by model, and its target {} is plain",
                plain.name
            ),
            "give the target the dialect \"openai\" or \"anthropic\", or the route a `path`",
        ));
    }
    let of_targets: Vec<_> = chosen.iter().map(|at| targets[*at].clocks).collect();
    let clocks = clocks(rules.clocks, defaults.clocks, &of_targets);
    Ok(Route {
        name: match &matches {
            Match::Models(models) => models.join(", ").into(),
            Match::AnyModel => "*".into(),
            Match::Path(path) => path.as_str().into(),
            Match::PathPrefix(prefix) => format!("{prefix}*").into(),
        },
        matches,
        targets: chosen,
        forward_headers: table.forward_headers,
        budget,
        reserve,
        min_attempt,
        max_wait: span(&rules.max_wait, &defaults.max_wait, DEFAULT_MAX_WAIT),
        retries: rules
            .retries
            .or(defaults.retries)
            .unwrap_or(DEFAULT_RETRIES),
        retry_uncertain: rules
            .retry_uncertain
            .or(defaults.retry_uncertain)
            .unwrap_or(true),
        commit: commit(source, rules.commit.as_ref().or(defaults.commit.as_ref()))?,
        clocks,
        at,
    })
}

fn span(own: &Option<Spanned<Span>>, default: &Option<Spanned<Span>>, last: Duration) -> Duration {
    own.as_ref()
        .or(default.as_ref())
        .map_or(last, |span| span.get_ref().0)
}

fn limits(source: Source<'_>, table: file::LimitsTable) -> Result<Limits, ConfigError> {
    let zero =
        |at, name: &str| Err(source.error(at, format!("`{name}` is zero"), "write at least 1"));
    let mut limits = DEFAULT_LIMITS;
    for (name, written, place) in [
        ("connections", table.connections, &mut limits.connections),
        ("calls", table.calls, &mut limits.calls),
        (
            "request_body",
            table.request_body.map(|size| map(size, |size| size.0)),
            &mut limits.request_body,
        ),
        (
            "buffered",
            table.buffered.map(|size| map(size, |size| size.0)),
            &mut limits.buffered,
        ),
        (
            "request_head",
            table.request_head.map(|size| map(size, |size| size.0)),
            &mut limits.request_head,
        ),
    ] {
        if let Some((at, number)) = written.map(|written| (written.span(), written.into_inner())) {
            if number == 0 {
                return zero(at, name);
            }
            if name == "request_head" && number < LEAST_HEAD {
                return Err(source.error(
                    at,
                    format!("`request_head` is below {LEAST_HEAD} bytes"),
                    "write at least \"8KiB\"",
                ));
            }
            *place = number;
        }
    }
    for (name, written, place) in [
        ("head_time", table.head_time, &mut limits.head_time),
        ("body_time", table.body_time, &mut limits.body_time),
        ("idle_time", table.idle_time, &mut limits.idle_time),
    ] {
        if let Some((at, Span(limit))) =
            written.map(|written| (written.span(), written.into_inner()))
        {
            if limit.is_zero() {
                return zero(at, name);
            }
            *place = limit;
        }
    }
    if let Some(streams) = table.streams_per_connection {
        if *streams.get_ref() == 0 {
            return zero(streams.span(), "streams_per_connection");
        }
        limits.streams_per_connection = streams.into_inner();
    }
    Ok(limits)
}

fn map<T, U>(spanned: Spanned<T>, f: impl FnOnce(T) -> U) -> Spanned<U> {
    let span = spanned.span();
    Spanned::new(span, f(spanned.into_inner()))
}

fn upstream(source: Source<'_>, table: file::UpstreamTable) -> Result<Upstream, ConfigError> {
    let proxy = match &table.proxy {
        None => Proxy::from_environment(),
        Some(written) => match &**written.get_ref() {
            "environment" => Proxy::from_environment(),
            "none" => Proxy::none(),
            _ => {
                return Err(source.error(
                    written.span(),
                    "the proxy is neither \"environment\" nor \"none\"",
                    "name the proxy in HTTPS_PROXY, where its password is not in this file",
                ));
            }
        },
    };
    Ok(Upstream {
        proxy,
        idle_connections: table
            .idle_connections
            .map_or(DEFAULT_IDLE_CONNECTIONS, Spanned::into_inner),
    })
}
