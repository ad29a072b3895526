//! Scripts as a JSON file.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::fault::Fault;
use crate::mock::Mock;
use crate::outage::Outage;
use crate::provider_error::{self, ProviderError};
use crate::reply::Reply;
use crate::script::Script;

/// Scripts by model, by path and for all others, as read from JSON.
///
/// A step has any of these fields: `times` (how often it is taken, 1), `status`, `code`, `headers`,
/// `body` (text), `json`, `text`, `tokens`, `reasoning`, `tool_calls` (`name`, `arguments`),
/// `finish_reason`, `delay_headers_ms`, `delay_first_token_ms`, `delay_between_tokens_ms`,
/// `delay_between_reasoning_ms`, `long_reasoning` (`count`, `every_ms`), `pings` and
/// `comments` (lists of `count`, `every_ms`, `after_tokens`), `gzip`, `split_frames` (bytes), `stay_open`,
/// `provider_error` (`"openai/insufficient_quota"`: the step starts from it instead of a 200), and `fault`.
/// A fault is named as the methods of [`Reply`] are: `"never_answer"`, `"reset_before_headers"`,
/// `"no_end_marker"`, `"hold_open_after_end"`, `"empty_stream"`, `"garbage"`, or an object with one of
/// `cut_after_tokens`, `stall_after_tokens`, `reset_after_tokens`, `truncate_body_to`,
/// `truncate_body_close_delimited` (a number) and `error_in_band` or `failed_in_band` (`after_tokens`,
/// `code`).
///
/// An outage has `with` (a step, in which `times` means nothing, or `"refuse_connections"` or
/// `"drop_connections"`), and any of `model`, `path`, `after_ms`, `for_ms` and `requests`. Its time starts
/// when the file is applied.
///
/// ```
/// use backstay_mock::ScriptFile;
///
/// let file = ScriptFile::from_json(r#"{
///     "models": {"gpt-4o": [
///         {"status": 503, "times": 2},
///         {"text": "Here at last", "fault": {"stall_after_tokens": 2}}
///     ]},
///     "paths": {"/query": [{"delay_headers_ms": 250}]},
///     "outages": [{"with": {"status": 503}, "model": "gpt-4o", "after_ms": 5000, "for_ms": 60000}]
/// }"#)?;
/// # let _ = file;
/// # Ok::<(), backstay_mock::ScriptFileError>(())
/// ```
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptFile {
    #[serde(default)]
    models: BTreeMap<String, Vec<Step>>,
    #[serde(default)]
    paths: BTreeMap<String, Vec<Step>>,
    default: Option<Vec<Step>>,
    #[serde(default)]
    outages: Vec<Breakdown>,
}

/// A script file that is not what [`ScriptFile`] describes.
#[derive(Debug)]
pub struct ScriptFileError(serde_json::Error);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Step {
    times: Option<usize>,
    status: Option<u16>,
    code: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    json: Option<Value>,
    text: Option<String>,
    tokens: Option<Vec<String>>,
    reasoning: Vec<String>,
    tool_calls: Vec<ToolCall>,
    finish_reason: Option<String>,
    delay_headers_ms: u64,
    delay_first_token_ms: u64,
    delay_between_tokens_ms: u64,
    delay_between_reasoning_ms: Option<u64>,
    long_reasoning: Option<LongReasoning>,
    provider_error: Option<KnownError>,
    stay_open: bool,
    pings: Vec<Beats>,
    comments: Vec<Beats>,
    gzip: bool,
    split_frames: Option<usize>,
    fault: Option<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCall {
    name: String,
    arguments: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Beats {
    count: usize,
    every_ms: u64,
    #[serde(default)]
    after_tokens: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongReasoning {
    count: usize,
    every_ms: u64,
}

/// A [`ProviderError`], by provider and name.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct KnownError(&'static ProviderError);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Breakdown {
    with: Failure,
    model: Option<String>,
    path: Option<String>,
    #[serde(default)]
    after_ms: u64,
    for_ms: Option<u64>,
    requests: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Failure {
    Hard(Hard),
    Reply(Box<Step>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Hard {
    RefuseConnections,
    DropConnections,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Named {
    NeverAnswer,
    ResetBeforeHeaders,
    NoEndMarker,
    HoldOpenAfterEnd,
    EmptyStream,
    Garbage,
    CutAfterTokens(usize),
    StallAfterTokens(usize),
    ResetAfterTokens(usize),
    TruncateBodyTo(usize),
    TruncateBodyCloseDelimited(usize),
    ErrorInBand { after_tokens: usize, code: String },
    FailedInBand { after_tokens: usize, code: String },
}

// === impl ScriptFile ===

impl ScriptFile {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// For what is no JSON, and for fields and faults that do not exist.
    pub fn from_json(json: &str) -> Result<Self, ScriptFileError> {
        serde_json::from_str(json).map_err(ScriptFileError)
    }

    /// Gives its scripts to a mock, and begins its outages.
    pub fn apply(&self, mock: &Mock) {
        for (model, steps) in &self.models {
            mock.script(model, script(steps));
        }
        for (suffix, steps) in &self.paths {
            mock.script_path(suffix, script(steps));
        }
        if let Some(steps) = &self.default {
            mock.script_default(script(steps));
        }
        for outage in &self.outages {
            mock.outage(outage.outage());
        }
    }
}

fn script(steps: &[Step]) -> Script {
    steps.iter().fold(Script::new(), |script, step| {
        script.attempts(step.times.unwrap_or(1), step.reply())
    })
}

// === impl Step ===

impl Step {
    fn reply(&self) -> Reply {
        let mut reply = match (&self.tokens, &self.text) {
            (Some(tokens), _) => Reply::tokens(tokens),
            (None, Some(text)) => Reply::text(text),
            (None, None) => match &self.provider_error {
                Some(KnownError(known)) => known.reply(),
                None => Reply::ok(),
            },
        };
        if let Some(status) = self.status {
            reply = reply.with_status(status);
        }
        reply = reply
            .reasoning(&self.reasoning)
            .delay_headers(Duration::from_millis(self.delay_headers_ms))
            .delay_first_token(Duration::from_millis(self.delay_first_token_ms))
            .delay_between_tokens(Duration::from_millis(self.delay_between_tokens_ms));
        for (name, value) in &self.headers {
            reply = reply.header(name, value);
        }
        for call in &self.tool_calls {
            let arguments = match &call.arguments {
                Value::String(text) => text.clone(),
                document => document.to_string(),
            };
            reply = reply.tool_call(&call.name, arguments);
        }
        for Beats {
            count,
            every_ms,
            after_tokens,
        } in &self.pings
        {
            reply =
                reply.pings_after_tokens(*after_tokens, *count, Duration::from_millis(*every_ms));
        }
        for Beats {
            count,
            every_ms,
            after_tokens,
        } in &self.comments
        {
            reply = reply.comments_after_tokens(
                *after_tokens,
                *count,
                Duration::from_millis(*every_ms),
            );
        }
        if let Some(LongReasoning { count, every_ms }) = self.long_reasoning {
            reply = reply.long_reasoning(count, Duration::from_millis(every_ms));
        }
        if let Some(millis) = self.delay_between_reasoning_ms {
            reply = reply.delay_between_reasoning(Duration::from_millis(millis));
        }
        if self.stay_open {
            reply = reply.stay_open();
        }
        if let Some(body) = &self.body {
            reply = reply.body(body.clone());
        }
        if let Some(document) = &self.json {
            reply = reply.json(document);
        }
        if let Some(bytes) = self.split_frames {
            reply = reply.split_frames(bytes);
        }
        if let Some(fault) = &self.fault {
            reply = reply.fault(fault.to_fault());
        }
        reply.code = self.code.clone();
        reply.finish_reason = self.finish_reason.clone();
        reply.gzip = self.gzip;
        reply
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reply().fmt(f)
    }
}

// === impl KnownError ===

impl TryFrom<String> for KnownError {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = name
            .split_once('/')
            .and_then(|(provider, name)| provider_error::find(provider, name));
        known
            .map(Self)
            .ok_or_else(|| format!("no provider error is named {name:?}"))
    }
}

// === impl Breakdown ===

impl Breakdown {
    fn outage(&self) -> Outage {
        let mut outage = match &self.with {
            Failure::Reply(step) => Outage::new(step.reply()),
            Failure::Hard(Hard::RefuseConnections) => Outage::refuse_connections(),
            Failure::Hard(Hard::DropConnections) => Outage::drop_connections(),
        };
        outage = outage.after(Duration::from_millis(self.after_ms));
        if let Some(model) = &self.model {
            outage = outage.of_model(model);
        }
        if let Some(suffix) = &self.path {
            outage = outage.of_path(suffix);
        }
        if let Some(millis) = self.for_ms {
            outage = outage.lasting(Duration::from_millis(millis));
        }
        if let Some(requests) = self.requests {
            outage = outage.requests(requests);
        }
        outage
    }
}

// === impl Named ===

impl Named {
    fn to_fault(&self) -> Fault {
        match self {
            Self::NeverAnswer => Fault::NeverAnswer,
            Self::ResetBeforeHeaders => Fault::ResetBeforeHeaders,
            Self::NoEndMarker => Fault::NoEndMarker,
            Self::HoldOpenAfterEnd => Fault::HoldOpenAfterEnd,
            Self::EmptyStream => Fault::EmptyStream,
            Self::Garbage => Fault::Garbage,
            Self::CutAfterTokens(n) => Fault::CutAfter(*n),
            Self::StallAfterTokens(n) => Fault::StallAfter(*n),
            Self::ResetAfterTokens(n) => Fault::ResetAfter(*n),
            Self::TruncateBodyTo(n) => Fault::TruncateLength(*n),
            Self::TruncateBodyCloseDelimited(n) => Fault::TruncateClose(*n),
            Self::ErrorInBand { after_tokens, code } => {
                Fault::ErrorInBand(*after_tokens, code.clone())
            }
            Self::FailedInBand { after_tokens, code } => {
                Fault::FailedInBand(*after_tokens, code.clone())
            }
        }
    }
}

// === impl ScriptFileError ===

impl fmt::Display for ScriptFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a script file")
    }
}

impl std::error::Error for ScriptFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
