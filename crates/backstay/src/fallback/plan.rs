//! Targets that were checked, in the form in which each call reads them.

use super::{
    Backoff, Commit, Pins, Policy, RetryBudget, Targets,
    cool_down::Rules,
    lookup::LookUp,
    route::{Route, is_credential},
    targets::HoldBounds,
};
use crate::{error::BuildError, spoken::Spoken};
use backstay_dialect::{Dialect, Plain, detect};
use http::{HeaderName, Uri};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Duration;

/// What can never fail at call time has been settled here.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) minds_refusals: bool,
    pub(super) budget: RetryBudget,
    pub(super) backoff: Backoff,
    pub(super) reserve: Duration,
    pub(super) min_attempt: Duration,
    pub(super) max_wait: Duration,
    pub(super) replay_limit: usize,
    pub(super) hold: HoldBounds,
    pub(super) commit: Option<Commit>,
    pub(super) retry_uncertain: bool,
    /// Lower-case, beside those that the head rules know.
    pub(super) portable_headers: Vec<HeaderName>,
    /// Any target replaces the model, so that the body must be read.
    pub(super) names_models: bool,
    /// Any target declares its window.
    pub(super) has_windows: bool,
    pub(super) pins: Option<Pins>,
    pub(super) cool_down_rules: Rules,
    /// `None` when the path of each call tells it.
    dialect: Option<Arc<dyn Dialect>>,
    look_up: LookUp,
    plain: bool,
    jitter: Option<Mutex<fastrand::Rng>>,
}

/// The most targets that a call can have: one word tells which of them were tried.
pub(super) const MAX_TARGETS: usize = 64;

// === impl Plan ===

impl Plan {
    pub(super) fn new(targets: Targets) -> Result<Self, BuildError> {
        let dialect = named_dialect(&targets);
        let modelless = dialect
            .as_ref()
            .filter(|dialect| !dialect.carries_model())
            .map(|dialect| dialect.name());
        for (at, target) in targets.targets.iter().enumerate() {
            if targets.targets[..at]
                .iter()
                .any(|other| other.name == target.name)
            {
                return Err(BuildError::DuplicateTarget {
                    target: target.name.to_string(),
                });
            }
            if let (Some(_), Some(dialect)) = (&target.model, modelless) {
                return Err(BuildError::ModelNotCarried {
                    target: target.name.to_string(),
                    dialect: dialect.to_owned(),
                });
            }
        }
        if targets.targets.is_empty() {
            return Err(BuildError::NoTargets);
        }
        if targets.targets.len() > MAX_TARGETS {
            return Err(BuildError::TooManyTargets { most: MAX_TARGETS });
        }
        targets.cool_downs.check()?;
        for (setting, zero) in [
            ("max_wait", targets.max_wait.is_zero()),
            ("backoff", targets.backoff.is_zero()),
            ("hold_time", targets.hold.time.is_zero()),
        ] {
            if zero {
                return Err(BuildError::ZeroDuration { setting });
            }
        }
        for (setting, number) in [
            ("hold_frames", targets.hold.frames),
            ("hold_bytes", targets.hold.bytes),
            ("replay_limit", targets.replay_limit),
        ] {
            if number == 0 {
                return Err(BuildError::Zero { setting });
            }
        }
        let portable_headers = targets
            .portable_headers
            .iter()
            .map(|name| {
                let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
                parsed.filter(|name| !is_credential(name)).ok_or_else(|| {
                    BuildError::PortableHeader {
                        header: name.clone(),
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        let routes = targets
            .targets
            .into_iter()
            .map(|target| Route::new(target, targets.retries, &targets.cool_downs))
            .collect::<Result<Vec<_>, _>>()?;
        one_family(&routes)?;
        Ok(Self {
            names_models: routes.iter().any(|route| route.model.is_some()),
            has_windows: routes.iter().any(|route| route.window.is_some()),
            pins: targets.pins,
            cool_down_rules: targets.cool_downs.rules,
            plain: targets.plain,
            routes,
            minds_refusals: targets.policy.minds_refusals(),
            policy: targets.policy,
            budget: targets.budget,
            backoff: targets.backoff,
            reserve: targets.reserve,
            min_attempt: targets.min_attempt,
            max_wait: targets.max_wait,
            replay_limit: targets.replay_limit,
            hold: targets.hold,
            commit: targets.commit,
            retry_uncertain: targets.retry_uncertain,
            portable_headers,
            dialect,
            look_up: LookUp::default(),
            jitter: targets
                .seed
                .map(|seed| Mutex::new(fastrand::Rng::with_seed(seed))),
        })
    }

    /// The dialect in which a call to this host and path was made. What a target names goes before what they
    /// tell, unless the two are of one family: then host and path know the provider. Where models are named, a
    /// path that tells nothing, that of embeddings say, has an OpenAI-shaped body.
    pub(super) fn dialect(&self, uri: &Uri) -> Spoken {
        if let (true, Some(plain)) = (self.plain, &self.dialect) {
            return Spoken::Named(plain.clone());
        }
        let known = self.look_up.at(uri);
        match &self.dialect {
            Some(named) if named.family() != known.family() => Spoken::Named(named.clone()),
            None if self.names_models && !known.carries_model() => {
                Spoken::Known(detect("", "/chat/completions"))
            }
            _ => Spoken::Known(known),
        }
    }

    /// The dialect of an attempt: what its target names, else what its host and path tell, if that is of the
    /// call's family. `None` if it is of another.
    pub(super) fn dialect_of(&self, route: &Route, of_call: &Spoken, uri: &Uri) -> Option<Spoken> {
        if self.plain {
            return Some(of_call.clone());
        }
        let spoken = match &route.dialect {
            Some(named) => Spoken::Named(named.clone()),
            None if route.origin.is_none() && route.path.is_none() => return Some(of_call.clone()),
            None => Spoken::Known(route.look_up.at(uri)),
        };
        if !spoken.carries_model() && route.dialect.is_none() {
            return Some(of_call.clone());
        }
        (spoken.family() == of_call.family()).then_some(spoken)
    }

    /// From 0 to 1.
    pub(super) fn random(&self) -> f64 {
        match &self.jitter {
            Some(rng) => rng.lock().f64(),
            None => fastrand::f64(),
        }
    }
}

/// What the targets name; `None` when the host and path of each call tell it.
fn named_dialect(targets: &Targets) -> Option<Arc<dyn Dialect>> {
    if targets.plain {
        return Some(Arc::new(Plain));
    }
    let mut named = targets.targets.iter();
    named.find_map(|target| target.dialect.clone())
}

/// Targets of one call are sent the same document.
fn one_family(routes: &[Route]) -> Result<(), BuildError> {
    let mut spoken = routes
        .iter()
        .filter_map(|route| Some((route.dialect.as_ref()?, &route.name)));
    let Some((first, first_target)) = spoken.next() else {
        return Ok(());
    };
    match spoken.find(|(other, _)| other.family() != first.family()) {
        Some((other, target)) => Err(BuildError::Dialects {
            first: (first.name().to_owned(), first_target.to_string()),
            second: (other.name().to_owned(), target.to_string()),
        }),
        None => Ok(()),
    }
}
