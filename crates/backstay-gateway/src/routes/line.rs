//! One route for one endpoint: its stack, and what must be known before a call goes in.

use super::{
    Api, Pools,
    callers_key::{OWN_KEY, Receivers, WithCallersKey},
    noted::Noted,
};
use crate::config::{Clocks, Config, ConfigError, Family, Match, Route, Target as Written};
use backstay::{
    BuildError,
    deadline::{DeadlineBody, DeadlineLayer, DeadlineService},
    drain::{Drain, DrainBody, DrainService},
    fallback::{
        CoolDowns, FallbackBody, FallbackLayer, FallbackService, RetryBudget, Target, Targets,
    },
    timeout::{TimeoutsBody, TimeoutsLayer, TimeoutsService},
};
use backstay_client::ResponseBody;
use http::{
    HeaderName,
    uri::{Authority, Scheme},
};
use std::{fmt, sync::Arc};
use tokio::time::Duration;
use tower::{ServiceBuilder, layer::layer_fn};

/// The layers over the clients.
pub(crate) type Stack =
    DrainService<Noted<DeadlineService<FallbackService<TimeoutsService<WithCallersKey<Pools>>>>>>;

/// What comes out of them.
pub(crate) type StackBody = DrainBody<DeadlineBody<FallbackBody<TimeoutsBody<ResponseBody>>>>;

/// One route for one endpoint.
pub(crate) struct Line {
    pub(crate) route: Arc<str>,
    pub(crate) family: Family,
    pub(crate) stack: Stack,
    pub(crate) budget: Duration,
    pub(crate) clocks: Clocks,
    /// From the caller to the targets, beside the usual ones.
    pub(crate) forwarded: Box<[HeaderName]>,
    /// A target of it has the caller's own key.
    pub(crate) takes_key: bool,
    /// For a path route: where the call goes, and what stands before its path there.
    pub(crate) path_base: Option<PathBase>,
}

/// Where the calls of a path route go.
#[derive(Debug)]
pub(crate) struct PathBase {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    pub(crate) path: String,
}

/// Makes the lines of one route.
pub(super) struct Builder<'a> {
    config: &'a Config,
    route: &'a Route,
    client: &'a Pools,
    drain: &'a Drain,
    /// Shared by the route's endpoints.
    retries: RetryBudget,
}

// === impl Line ===

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("route", &self.route)
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}

// === impl Builder ===

impl<'a> Builder<'a> {
    pub(super) fn new(
        config: &'a Config,
        route: &'a Route,
        client: &'a Pools,
        drain: &'a Drain,
    ) -> Self {
        Self {
            config,
            route,
            client,
            drain,
            retries: RetryBudget::default(),
        }
    }

    /// What all targets of the route speak.
    pub(super) fn family(&self) -> Result<Family, ConfigError> {
        let mut targets = self.targets();
        let Some(first) = targets.next() else {
            return Err(self.error("the route has no target", "name at least one"));
        };
        match targets.find(|target| target.family != first.family) {
            None => Ok(first.family),
            Some(other) => Err(self.error(
                &format!(
                    "target {} speaks {} and target {} speaks {}",
                    first.name,
                    first.family.as_str(),
                    other.name,
                    other.family.as_str()
                ),
                "make a route for each; many providers offer an OpenAI-shaped endpoint too",
            )),
        }
    }

    /// The line for an endpoint whose calls name a model.
    pub(super) fn api(&self, api: Api) -> Result<Line, ConfigError> {
        let mut targets = self.targets().map(|written| {
            api.speak(self.target(written))
                .path(api.path_at(&written.base_path))
        });
        let Some(first) = targets.next() else {
            return Err(self.error("the route has no target", "name at least one"));
        };
        let all = targets.fold(Targets::new(first), Targets::then);
        self.line(all, api.family(), None)
    }

    /// The line for a path.
    pub(super) fn path(&self) -> Result<Line, ConfigError> {
        let mut bases = self.targets();
        let Some(first) = bases.next() else {
            return Err(self.error("the route has no target", "name at least one"));
        };
        if let Some(other) = bases.find(|other| other.base_path != first.base_path) {
            return Err(self.error(
                &format!(
                    "the base URLs of targets {} and {} have different paths",
                    first.name, other.name
                ),
                "make a route for each, or give both the same path",
            ));
        }
        let mut targets = self.targets().map(|written| self.target(written));
        let Some(target) = targets.next() else {
            return Err(self.error("the route has no target", "name at least one"));
        };
        let all = targets.fold(Targets::plain(target), Targets::then);
        let (scheme, authority) = first.origin.split_once("://").unwrap_or_default();
        let (Ok(scheme), Ok(authority)) = (scheme.parse(), authority.parse()) else {
            return Err(self.error("its URL cannot be called", "write scheme and host"));
        };
        let base = PathBase {
            scheme,
            authority,
            path: match first.family {
                // A base URL of OpenAI's SDK holds `/v1`, and so does the path of the request.
                Family::OpenAi => first.base_path.trim_end_matches("/v1").to_owned(),
                Family::Anthropic | Family::Plain => first.base_path.clone(),
            },
        };
        self.line(all, Family::Plain, Some(base))
    }

    fn line(
        &self,
        targets: Targets,
        family: Family,
        path_base: Option<PathBase>,
    ) -> Result<Line, ConfigError> {
        let route = self.route;
        let mut targets = targets
            .retries(route.retries)
            .reserve(route.reserve)
            .min_attempt(route.min_attempt)
            .max_wait(route.max_wait)
            .retry_uncertain(route.retry_uncertain)
            .replay_limit(self.config.limits.request_body)
            .budget(self.retries.clone());
        if let Some(commit) = route.commit {
            targets = targets.commit(commit);
        }
        let mut forwarded = Vec::with_capacity(route.forward_headers.len());
        for header in &route.forward_headers {
            targets = targets.portable_header(header.clone());
            match header.parse::<HeaderName>() {
                Ok(name) if name != OWN_KEY => forwarded.push(name),
                _ => {
                    return Err(self.error(
                        &format!("`forward_headers` names {header}"),
                        "leave it out: it is no header, or it is this gateway's own key",
                    ));
                }
            }
        }
        let receivers = self.receivers()?;
        if !receivers.is_empty() {
            // A target's cool-down is everybody's, and the limits of one caller's key are not.
            targets = targets.cool_downs(CoolDowns::off());
        }
        Ok(Line {
            route: route.name.clone(),
            family,
            forwarded: forwarded.into(),
            takes_key: !receivers.is_empty(),
            stack: self
                .stack(targets, receivers)
                .map_err(|error| self.unbuildable(&error))?,
            budget: route.budget,
            clocks: route.clocks,
            path_base,
        })
    }

    fn stack(&self, targets: Targets, receivers: Receivers) -> Result<Stack, BuildError> {
        Ok(ServiceBuilder::new()
            .layer(self.drain.layer())
            .layer(layer_fn(Noted::new))
            .layer(DeadlineLayer::new(self.route.budget)?)
            .layer(FallbackLayer::new(targets)?)
            .layer(TimeoutsLayer::new(self.route.clocks.timeouts)?)
            .service(WithCallersKey::new(self.client.clone(), receivers)))
    }

    /// The targets that have the caller's key.
    fn receivers(&self) -> Result<Receivers, ConfigError> {
        let targets = self.targets().filter(|target| target.callers_key);
        targets
            .map(|target| {
                let place = match &target.key_header {
                    None => None,
                    Some(name) => Some(name.parse().map_err(|_| {
                        self.error(
                            &format!("`key_header` of target {} is no header", target.name),
                            "write the name of a header, like \"api-key\"",
                        )
                    })?),
                };
                Ok((target.name.clone(), place))
            })
            .collect()
    }

    fn target(&self, written: &Written) -> Target {
        let mut target = match &written.model {
            Some(model) => Target::model(model.clone()).name(written.name.clone()),
            None => Target::named(written.name.clone()),
        }
        .origin(written.origin.clone())
        // The configuration has judged where plain http may go.
        .allow_plaintext();
        if let Some(key) = &written.key {
            let key = key.reveal();
            target = match (&written.key_header, written.family) {
                (Some(header), _) => target.credential(header.clone(), key),
                (None, Family::Anthropic) => target.credential("x-api-key", key),
                (None, Family::OpenAi | Family::Plain) => target.bearer(key),
            };
        }
        for (name, value) in &*written.headers {
            target = target.header(name.clone(), value.clone());
        }
        if let Some(timeouts) = written.timeouts {
            target = target.timeouts(timeouts);
        }
        if let Some(query) = &written.query {
            target = target.query(query.to_string());
        }
        if let Some(retries) = written.retries {
            target = target.retries(retries);
        }
        if let Some(commit) = written.commit {
            target = target.commit(commit);
        }
        target
    }

    fn targets(&self) -> impl Iterator<Item = &'a Written> {
        let all = &self.config.targets;
        self.route.targets.iter().filter_map(|at| all.get(*at))
    }

    fn unbuildable(&self, error: &BuildError) -> ConfigError {
        self.error(
            &error.to_string(),
            "change what it names, in this route or its target",
        )
    }

    fn error(&self, problem: &str, remedy: &str) -> ConfigError {
        let what = match &self.route.matches {
            Match::Path(_) | Match::PathPrefix(_) => "path route",
            Match::Models(_) | Match::AnyModel => "route",
        };
        self.config.written.source().error(
            self.route.at.clone(),
            format!("{what} {}: {problem}", self.route.name),
            remedy,
        )
    }
}
