//! Targets that were checked, in the form in which each call reads them.

use super::{
    Backoff, Commit, Policy, RetryBudget, Target, Targets, target::Header, targets::HoldBounds,
};
use crate::{error::BuildError, timeout::Timeouts};
use backstay_dialect::{Dialect, OpenAiChat, Plain, detect, model_literal};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, header,
    uri::{Authority, PathAndQuery, Scheme, Uri},
};
use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use tokio::time::Duration;

/// What can never fail at call time has been settled here.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) routes: Vec<Route>,
    pub(super) policy: Arc<dyn Policy>,
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
    /// `None` when the path of each call tells it.
    dialect: Option<Arc<dyn Dialect>>,
    jitter: Option<Mutex<fastrand::Rng>>,
}

/// One target, checked.
pub(super) struct Route {
    pub(super) name: Arc<str>,
    pub(super) model: Option<Model>,
    pub(super) origin: Option<(Scheme, Authority)>,
    pub(super) path: Option<PathAndQuery>,
    pub(super) query: Option<String>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) own_credentials: bool,
    pub(super) allow_plaintext: bool,
    pub(super) retries: u32,
    pub(super) timeouts: Option<Arc<Timeouts>>,
    pub(super) commit: Option<Commit>,
}

/// A model, and the JSON string that names it.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: Arc<str>,
    pub(super) literal: Bytes,
}

// === impl Plan ===

impl Plan {
    pub(super) fn new(targets: Targets) -> Result<Self, BuildError> {
        let dialect = named_dialect(&targets)?;
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
            .map(|target| Route::new(target, targets.retries))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            names_models: routes.iter().any(|route| route.model.is_some()),
            routes,
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
            jitter: targets
                .seed
                .map(|seed| Mutex::new(fastrand::Rng::with_seed(seed))),
        })
    }

    /// The dialect of a call to this host and path. Where models are named, a path that tells nothing, that
    /// of embeddings say, has an OpenAI-shaped body.
    pub(super) fn dialect(&self, uri: &Uri) -> &Arc<dyn Dialect> {
        if let Some(named) = &self.dialect {
            return named;
        }
        let spoken = detect(uri.host().unwrap_or_default(), uri.path());
        if self.names_models && !spoken.carries_model() {
            return detect("", "/chat/completions");
        }
        spoken
    }

    /// From 0 to 1.
    pub(super) fn random(&self) -> f64 {
        match &self.jitter {
            Some(rng) => rng.lock().f64(),
            None => fastrand::f64(),
        }
    }
}

/// The one dialect that the targets name; `None` when the path of each call tells it.
fn named_dialect(targets: &Targets) -> Result<Option<Arc<dyn Dialect>>, BuildError> {
    if targets.plain {
        return Ok(Some(Arc::new(Plain)));
    }
    let mut named = targets
        .targets
        .iter()
        .filter_map(|target| Some((target.dialect.as_ref()?, &target.name)));
    let Some((first, first_target)) = named.next() else {
        return Ok(None);
    };
    match named.find(|(other, _)| other.name() != first.name()) {
        Some((other, target)) => Err(BuildError::Dialects {
            first: (first.name().to_owned(), first_target.to_string()),
            second: (other.name().to_owned(), target.to_string()),
        }),
        None => Ok(Some(first.clone())),
    }
}

// === impl Route ===

impl Route {
    fn new(target: Target, retries: u32) -> Result<Self, BuildError> {
        let bad_uri = |problem| BuildError::Uri {
            target: target.name.to_string(),
            problem,
        };
        let origin = target
            .origin
            .as_deref()
            .map(origin)
            .transpose()
            .map_err(bad_uri)?;
        let path = target
            .path
            .as_deref()
            .map(path)
            .transpose()
            .map_err(bad_uri)?;
        if let Some(query) = &target.query
            && PathAndQuery::try_from(format!("/?{query}")).is_err()
        {
            return Err(bad_uri("its query cannot stand in a URI"));
        }
        if let Some(timeouts) = &target.timeouts {
            timeouts.check()?;
        }
        let headers = target
            .headers
            .iter()
            .map(|header| {
                header
                    .parse()
                    .filter(|(name, _)| !FRAMING.contains(name))
                    .ok_or_else(|| BuildError::Header {
                        target: target.name.to_string(),
                        header: header.name.clone(),
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            model: target.model.map(|name| Model {
                literal: model_literal(&name),
                name,
            }),
            origin,
            path,
            query: target.query,
            own_credentials: headers.iter().any(|(_, value)| value.is_sensitive()),
            headers,
            allow_plaintext: target.allow_plaintext,
            retries: target.retries.unwrap_or(retries),
            timeouts: target.timeouts.map(Arc::new),
            commit: target.commit,
            name: target.name,
        })
    }
}

/// Headers that the client writes, and that would be wrong on the next request.
const FRAMING: [HeaderName; 4] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// Whether a header is one that carries a credential, at any provider that is known.
pub(super) fn is_credential(name: &HeaderName) -> bool {
    OpenAiChat.credential_headers().contains(name)
}

fn origin(text: &str) -> Result<(Scheme, Authority), &'static str> {
    let uri: Uri = text
        .parse()
        .map_err(|_| "its origin is no URI; give scheme and host, like https://api.example.com")?;
    let parts = uri.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err("its origin needs a scheme and a host, like https://api.example.com");
    };
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return Err("the scheme of its origin must be https or http");
    }
    if authority.as_str().contains('@') {
        return Err("its origin carries a user or password; use `Target::credential`");
    }
    if authority.host().is_empty() {
        return Err("its origin has no host");
    }
    if parts.path_and_query.is_some_and(|rest| rest != "/") {
        return Err("its origin has a path or query; use `Target::path` and `Target::query`");
    }
    Ok((scheme, authority))
}

fn path(text: &str) -> Result<PathAndQuery, &'static str> {
    if !text.starts_with('/') || text.contains(['?', '#']) {
        return Err("its path must begin with a slash and hold no query");
    }
    text.parse().map_err(|_| "its path cannot stand in a URI")
}

/// No credential.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

// === impl Header ===

impl Header {
    fn parse(&self) -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(self.name.as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(&self.value).ok()?;
        value.set_sensitive(self.secret || is_credential(&name));
        Some((name, value))
    }
}
