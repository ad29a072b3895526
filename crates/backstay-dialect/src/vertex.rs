//! Google's Vertex AI: Gemini's and Anthropic's models under one roof, with Google's errors.

use http::{HeaderMap, HeaderName};

use crate::dialect::CREDENTIALS;
use crate::gemini::GOOGLE_PARAMETERS;
use crate::google_error::GoogleError;
use crate::path_model::before_verb;
use crate::request::read_top_level;
use crate::{
    Answer, AnswerFacts, AnthropicMessages, Dialect, Event, EventFacts, Failure, Framing, Gemini,
    RequestError, RequestFacts,
};

/// Gemini on Vertex: `…/projects/{project}/locations/{location}/publishers/google/models/{model}:{verb}`.
///
/// As [`Gemini`] in all that is sent, so that a call may fall back from one to the other; the credential is
/// a short-lived token.
#[derive(Clone, Copy, Debug, Default)]
pub struct VertexGemini;

/// Anthropic's models on Vertex: `…/publishers/anthropic/models/{model}:rawPredict` and
/// `:streamRawPredict`.
///
/// The model is in the path, and the body is that of [`AnthropicMessages`] without a `model` and with an
/// `anthropic_version`. Events and answers are Anthropic's; errors are Anthropic's where the model wrote
/// them and Google's elsewhere.
///
/// Sources: Google's "Use Claude models", Anthropic's "Claude on Vertex AI".
#[derive(Clone, Copy, Debug, Default)]
pub struct VertexAnthropic;

/// The provider's name for both, as OpenTelemetry has it.
const PROVIDER: &str = "gcp.vertex_ai";

/// In the place of a model: counts the tokens of a request, whose body names the model.
const COUNT_TOKENS: &str = "count-tokens";

impl Dialect for VertexGemini {
    fn name(&self) -> &'static str {
        "vertex-gemini"
    }

    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn family(&self) -> &'static str {
        Gemini.family()
    }

    fn carries_model(&self) -> bool {
        true
    }

    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        Gemini.read_request(path, body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        Gemini.portable_headers()
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        Gemini.credential_headers()
    }

    fn credential_parameters(&self) -> &'static [&'static str] {
        Gemini.credential_parameters()
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        Gemini.request_id_headers()
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        Gemini.classify(answer)
    }

    fn framing(&self, headers: &HeaderMap, streamed: bool) -> Option<Framing> {
        Gemini.framing(headers, streamed)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        Gemini.read_event(event)
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        Gemini.read_answer(body)
    }
}

impl Dialect for VertexAnthropic {
    fn name(&self) -> &'static str {
        "vertex-anthropic"
    }

    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn family(&self) -> &'static str {
        AnthropicMessages.family()
    }

    fn carries_model(&self) -> bool {
        true
    }

    /// The body is looked at only where the path leads to the counting of tokens.
    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        let (model, verb) = before_verb(path, &["models"]).ok_or(RequestError::NoModelInPath)?;
        if &path[model.clone()] == COUNT_TOKENS {
            return read_top_level(body);
        }
        Ok(RequestFacts {
            model: None,
            path_model: Some(model),
            stream: verb == "streamRawPredict",
        })
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        AnthropicMessages.portable_headers()
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn credential_parameters(&self) -> &'static [&'static str] {
        &GOOGLE_PARAMETERS
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 2] = [
            HeaderName::from_static("request-id"),
            HeaderName::from_static("x-goog-request-id"),
        ];
        &REQUEST_ID
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        let error = GoogleError::of_answer(answer.body);
        if error.is_googles() {
            return error.classify(answer);
        }
        AnthropicMessages.classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        let mut facts = AnthropicMessages.read_event(event);
        if facts.error.is_some() {
            facts.error = googles(event.data).or(facts.error);
        }
        facts
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let mut facts = AnthropicMessages.read_answer(body);
        if facts.error.is_some() {
            facts.error = googles(body).or(facts.error);
        }
        facts
    }
}

/// The error inside a 2xx answer, if Google wrote it.
fn googles(document: &[u8]) -> Option<Failure> {
    let error = GoogleError::of_answer(document);
    error.is_googles().then(|| error.in_band(document))
}
