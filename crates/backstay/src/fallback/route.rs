//! One target, checked.

use super::{
    Commit, Sign, Target,
    cool_down::{CoolDownRecord, CoolDowns},
    lookup::LookUp,
    target::Header,
};
use crate::{error::BuildError, timeout::Timeouts};
use backstay_dialect::{Dialect, OpenAiChat, Patch, detect, model_literal, path_segment};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, header,
    uri::{Authority, PathAndQuery, Scheme, Uri},
};
use std::{borrow::Cow, fmt, sync::Arc};

/// One target, checked.
pub(super) struct Route {
    pub(super) name: Arc<str>,
    pub(super) model: Option<Model>,
    /// What it names, or its host and path together tell.
    pub(super) dialect: Option<Arc<dyn Dialect>>,
    /// What host and path tell of its attempts.
    pub(super) look_up: LookUp,
    pub(super) origin: Option<(Scheme, Authority)>,
    /// May have the [`HOLE`] for the call's own model.
    pub(super) path: Option<String>,
    /// The same.
    pub(super) query: Option<String>,
    /// The path, and the query if there is one, where neither has a [`HOLE`].
    pub(super) path_and_query: Option<PathAndQuery>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) patch: Option<Patch>,
    pub(super) sign: Option<Arc<dyn Sign>>,
    pub(super) own_credentials: bool,
    pub(super) allow_plaintext: bool,
    /// In tokens.
    pub(super) window: Option<u64>,
    pub(super) retries: u32,
    pub(super) timeouts: Option<Arc<Timeouts>>,
    pub(super) commit: Option<Commit>,
    /// What is held against it; `None` where nothing ever is.
    pub(super) record: Option<Arc<dyn CoolDownRecord>>,
}

/// A model, and how it is written.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: Arc<str>,
    /// The JSON string.
    pub(super) literal: Bytes,
    /// The path segment, if it can be one.
    pub(super) segment: Option<Box<str>>,
}

/// Stands for the model in a target's path and query.
pub(super) const HOLE: &str = "{model}";

// === impl Route ===

impl Route {
    pub(super) fn new(
        target: Target,
        retries: u32,
        cool_downs: &CoolDowns,
    ) -> Result<Self, BuildError> {
        let name = target.name.clone();
        let bad_uri = |problem| BuildError::Uri {
            target: name.to_string(),
            problem,
        };
        let origin = target.origin.as_deref().map(origin);
        let origin = origin.transpose().map_err(bad_uri)?;
        let model = target.model.map(Model::new);
        let fill = |text: String| match &model {
            Some(model) if text.contains(HOLE) => match &model.segment {
                Some(segment) => Ok(text.replace(HOLE, segment)),
                None => Err(BuildError::ModelInPath {
                    target: target.name.to_string(),
                }),
            },
            _ => Ok(text),
        };
        let path = target.path.map(fill).transpose()?;
        if let Some(path) = &path {
            check_path(&path.replace(HOLE, "m")).map_err(bad_uri)?;
        }
        let query = target.query.map(fill).transpose()?;
        if let Some(query) = &query
            && PathAndQuery::try_from(format!("/?{}", query.replace(HOLE, "m"))).is_err()
        {
            return Err(bad_uri("its query cannot stand in a URI"));
        }
        let path_and_query = path.as_ref().and_then(|path| {
            let whole = match &query {
                Some(query) => Cow::Owned(format!("{path}?{query}")),
                None => Cow::Borrowed(&**path),
            };
            (!whole.contains(HOLE)).then(|| whole.parse().ok())?
        });
        if let Some(timeouts) = &target.timeouts {
            timeouts.check()?;
        }
        if target.context_window == Some(0) {
            return Err(BuildError::Zero {
                setting: "context_window",
            });
        }
        let patch = target.patch.as_deref().map(str::parse::<Patch>);
        let patch = patch.transpose().map_err(|error| BuildError::Patch {
            target: target.name.to_string(),
            error,
        })?;
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
        let dialect = target.dialect.or_else(|| {
            let (_, authority) = origin.as_ref()?;
            let spoken = detect(authority.host(), &path.as_deref()?.replace(HOLE, "m"));
            spoken.carries_model().then(|| spoken.clone())
        });
        Ok(Self {
            record: cool_downs.record(&target.name),
            own_credentials: target.sign.is_some()
                || headers.iter().any(|(_, value)| value.is_sensitive()),
            name: target.name,
            model,
            dialect,
            look_up: LookUp::default(),
            origin,
            path,
            query,
            path_and_query,
            headers,
            patch: patch.filter(|patch| !patch.is_empty()),
            sign: target.sign,
            allow_plaintext: target.allow_plaintext,
            window: target.context_window,
            retries: target.retries.unwrap_or(retries),
            timeouts: target.timeouts.map(Arc::new),
            commit: target.commit,
        })
    }
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

// === impl Model ===

impl Model {
    fn new(name: Arc<str>) -> Self {
        Self {
            literal: model_literal(&name),
            segment: path_segment(&name).ok().map(Into::into),
            name,
        }
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

/// Headers that the client writes, and that would be wrong on the next request.
pub(super) const FRAMING: [HeaderName; 4] = [
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

fn check_path(text: &str) -> Result<(), &'static str> {
    if !text.starts_with('/') || text.contains(['?', '#']) {
        return Err("its path must begin with a slash and hold no query");
    }
    let path: PathAndQuery = text.parse().map_err(|_| "its path cannot stand in a URI")?;
    // Whoever stands between would fold them away, and what is left may be another target's path.
    if path
        .path()
        .split('/')
        .any(|part| matches!(part, "." | ".."))
    {
        return Err("its path has a part that is `.` or `..`");
    }
    Ok(())
}
