//! Where an attempt goes.

use super::{Commit, Sign};
use crate::timeout::Timeouts;
use backstay_dialect::Dialect;
use std::{fmt, sync::Arc};

/// One place that a call can go to, and what the call is changed into for it.
///
/// A text is a target with that model at the call's own authority:
///
/// ```
/// use backstay::fallback::{Target, Targets};
///
/// let targets = Targets::new("gpt-4o").then(
///     Target::model("llama-3.3-70b")
///         .origin("https://api.groq.com")
///         .path("/openai/v1/chat/completions")
///         .bearer("a key for that authority")
///         .retries(0),
/// );
/// ```
///
/// `Debug` prints no credential.
#[derive(Clone)]
#[must_use]
pub struct Target {
    pub(super) name: Arc<str>,
    pub(super) model: Option<Arc<str>>,
    pub(super) dialect: Option<Arc<dyn Dialect>>,
    pub(super) origin: Option<String>,
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
    pub(super) headers: Vec<Header>,
    pub(super) retries: Option<u32>,
    pub(super) timeouts: Option<Timeouts>,
    pub(super) commit: Option<Commit>,
    pub(super) allow_plaintext: bool,
    pub(super) patch: Option<String>,
    pub(super) sign: Option<Arc<dyn Sign>>,
    pub(super) context_window: Option<u64>,
}

#[derive(Clone)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) secret: bool,
}

// === impl Target ===

impl Target {
    /// A target that keeps the model of the request.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            model: None,
            dialect: None,
            origin: None,
            path: None,
            query: None,
            headers: Vec::new(),
            retries: None,
            timeouts: None,
            commit: None,
            allow_plaintext: false,
            patch: None,
            sign: None,
            context_window: None,
        }
    }

    /// A target that asks for this model, and is named after it.
    pub fn model(model: impl Into<Arc<str>>) -> Self {
        let model = model.into();
        Self {
            model: Some(model.clone()),
            ..Self::named(model)
        }
    }

    /// Another name, for the trail, errors and logs. Names are unique among the targets of a call.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The dialect, where host and path do not tell it. All targets of a call are of one
    /// [family](Dialect::family): they are sent the same document.
    pub fn dialect(mut self, dialect: impl Dialect) -> Self {
        self.dialect = Some(Arc::new(dialect));
        self
    }

    /// Another scheme, host and port, like `https://api.example.com`. Headers of the request that are not
    /// on the allow-list and its credentials do not go there; of its query only `alt`, Gemini's name for the
    /// format.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Another path. `{model}` in it stands for the model, this target's or else the call's own, as one
    /// percent-encoded segment:
    ///
    /// ```
    /// # use backstay::fallback::Target;
    /// let target = Target::model("gpt-4o-eu")
    ///     .origin("https://ours.openai.azure.com")
    ///     .path("/openai/deployments/{model}/chat/completions")
    ///     .query("api-version=2024-10-21")
    ///     .credential("api-key", "a key for that authority");
    /// # drop(target);
    /// ```
    ///
    /// A call that has its model in the path, as Gemini's have, needs no path here.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Another query, without the question mark; `{model}` as in [`path`](Self::path).
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.query = Some(query.into());
        self
    }

    /// A key for the `authorization` header. The target then has credentials of its own, and none of the
    /// caller's go with the request.
    pub fn bearer(self, key: impl fmt::Display) -> Self {
        self.credential("authorization", format!("Bearer {key}"))
    }

    /// A credential in a header of this name, `x-api-key` for one. See [`bearer`](Self::bearer).
    pub fn credential(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with_header(name.into(), value.into(), true)
    }

    /// A header to set, replacing the request's own.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with_header(name.into(), value.into(), false)
    }

    /// Other top-level fields of the JSON body, as a JSON object: a value overrides, `null` removes, what is
    /// not named is kept. Each attempt patches the original; the prompt is not copied with backstay's own
    /// [`Body`](crate::Body). See [`Patch`](backstay_dialect::Patch).
    ///
    /// ```
    /// # use backstay::fallback::Target;
    /// let target = Target::model("o4-mini").patch(r#"{"temperature": null, "reasoning_effort": "low"}"#);
    /// # drop(target);
    /// ```
    pub fn patch(mut self, fields: impl Into<String>) -> Self {
        self.patch = Some(fields.into());
        self
    }

    /// Signs each attempt at this target. See [`Sign`].
    pub fn sign(mut self, sign: impl Sign) -> Self {
        self.sign = Some(Arc::new(sign));
        self
    }

    /// The context window of its model, in tokens. A target whose window cannot hold the request is passed
    /// over without being called; see [`PromptTokens`](super::PromptTokens) for how that is known. Where none
    /// of the targets holds it the first is called all the same, and its provider judges.
    pub fn context_window(mut self, tokens: u64) -> Self {
        self.context_window = Some(tokens);
        self
    }

    /// How often this target is tried again, in place of [`Targets::retries`](super::Targets::retries).
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Clocks of this target; what is unset comes from the timeouts layer, and a request's own go first.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }

    /// The commit point of this target's answers.
    pub fn commit(mut self, commit: Commit) -> Self {
        self.commit = Some(commit);
        self
    }

    /// Lets a call that came with `https` go to this target's `http` origin.
    pub fn allow_plaintext(mut self) -> Self {
        self.allow_plaintext = true;
        self
    }

    fn with_header(mut self, name: String, value: String, secret: bool) -> Self {
        self.headers.push(Header {
            name,
            value,
            secret,
        });
        self
    }
}

impl From<&str> for Target {
    fn from(model: &str) -> Self {
        Self::model(model)
    }
}

impl From<String> for Target {
    fn from(model: String) -> Self {
        Self::model(model)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("model", &self.model)
            .field("origin", &self.origin.as_deref().map(without_userinfo))
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn without_userinfo(origin: &str) -> &str {
    origin.rsplit('@').next().unwrap_or_default()
}
