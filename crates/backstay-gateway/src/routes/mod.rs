//! Which stack a call goes through.

mod api;
mod callers_key;
mod dialect;
mod line;
mod noted;
mod pools;

pub(crate) use self::{
    api::Api,
    callers_key::{CallersKey, OWN_KEY},
    line::{Line, StackBody},
    pools::Pools,
};

use crate::config::{Config, ConfigError, Family, Match};
use backstay::drain::Drain;
use std::{collections::HashMap, sync::Arc};

/// The stacks of one configuration. A call keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Routes {
    by_model: [ByModel; Api::ALL.len()],
    by_path: Vec<(Match, Arc<Line>)>,
    models: Vec<(String, Family)>,
}

#[derive(Debug, Default)]
struct ByModel {
    named: HashMap<String, Arc<Line>>,
    any: Option<Arc<Line>>,
}

// === impl Routes ===

impl Routes {
    pub(crate) fn build(
        config: &Config,
        client: &Pools,
        drain: &Drain,
    ) -> Result<Self, ConfigError> {
        let mut by_model: [ByModel; Api::ALL.len()] = Default::default();
        let mut by_path = Vec::new();
        let mut models = Vec::new();
        for route in &config.routes {
            let source = config.written.source();
            let twice = |what: &str| {
                source.error(
                    route.at.clone(),
                    format!("there are two routes for {what}"),
                    "make one of them, or choose another name",
                )
            };
            let builder = line::Builder::new(config, route, client, drain);
            let names = match &route.matches {
                path @ (Match::Path(text) | Match::PathPrefix(text)) => {
                    if by_path.iter().any(|(other, _)| other == path) {
                        return Err(twice(text));
                    }
                    by_path.push((path.clone(), Arc::new(builder.path()?)));
                    continue;
                }
                Match::Models(names) => Some(names),
                Match::AnyModel => None,
            };
            let family = builder.family()?;
            for api in Api::ALL.into_iter().filter(|api| api.family() == family) {
                let line = Arc::new(builder.api(api)?);
                let slot = &mut by_model[api as usize];
                let Some(names) = names else {
                    if slot.any.replace(line).is_some() {
                        return Err(twice("any model"));
                    }
                    continue;
                };
                for name in names {
                    if slot.named.insert(name.clone(), line.clone()).is_some() {
                        return Err(twice(name));
                    }
                }
            }
            models.extend(
                names
                    .into_iter()
                    .flatten()
                    .map(|name| (name.clone(), family)),
            );
        }
        // The longest prefix counts; an exact path goes before any.
        by_path.sort_by_key(|(matches, _)| match matches {
            Match::PathPrefix(prefix) => (1, usize::MAX - prefix.len()),
            _ => (0, 0),
        });
        Ok(Self {
            by_model,
            by_path,
            models,
        })
    }

    /// The line for a model at an endpoint.
    pub(crate) fn of_model(&self, api: Api, model: &str) -> Option<&Arc<Line>> {
        let slot = &self.by_model[api as usize];
        slot.named.get(model).or(slot.any.as_ref())
    }

    /// The line for any model at an endpoint, where no model has a route of its own: the body need not be
    /// looked at.
    pub(crate) fn of_any_model(&self, api: Api) -> Option<&Arc<Line>> {
        let slot = &self.by_model[api as usize];
        slot.any.as_ref().filter(|_| slot.named.is_empty())
    }

    /// The line for a path.
    pub(crate) fn of_path(&self, path: &str) -> Option<&Arc<Line>> {
        let found = self.by_path.iter().find(|(matches, _)| match matches {
            Match::Path(exact) => exact == path,
            Match::PathPrefix(prefix) => path.starts_with(prefix.as_str()),
            Match::Models(_) | Match::AnyModel => false,
        });
        found.map(|(_, line)| line)
    }

    /// The names that routes give to models, in the order of the file.
    pub(crate) fn models(&self) -> &[(String, Family)] {
        &self.models
    }
}
