//! The trait that a provider family implements.

use std::fmt;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName};

use crate::{Answer, AnswerFacts, Event, EventFacts, Failure, Framing, RequestError, RequestFacts};

/// What one provider family says on the wire.
///
/// All methods are pure and total: they neither block nor panic, whatever bytes they are given.
/// `read_event` runs for every event of every stream, so it should not allocate on the good path.
///
/// # Example
///
/// A dialect of your own usually wraps a given one and changes a single answer.
///
/// ```
/// use backstay_dialect::{
///     Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, FailureClass, OpenAiChat,
///     RequestError, RequestFacts,
/// };
/// use http::HeaderName;
///
/// /// A server of ours that answers 418 while it loads a model.
/// #[derive(Debug)]
/// struct Teapot;
///
/// impl Dialect for Teapot {
///     fn name(&self) -> &'static str { "teapot" }
///     fn provider(&self) -> &'static str { "teapot" }
///     fn carries_model(&self) -> bool { true }
///     fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
///         OpenAiChat.read_request(path, body)
///     }
///     fn portable_headers(&self) -> &'static [HeaderName] { OpenAiChat.portable_headers() }
///     fn credential_headers(&self) -> &'static [HeaderName] { OpenAiChat.credential_headers() }
///     fn classify(&self, answer: &Answer<'_>) -> Failure {
///         let mut failure = OpenAiChat.classify(answer);
///         if answer.status == 418 {
///             failure.class = FailureClass::Overloaded;
///         }
///         failure
///     }
///     fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> { OpenAiChat.read_event(event) }
///     fn read_answer(&self, body: &[u8]) -> AnswerFacts { OpenAiChat.read_answer(body) }
/// }
/// ```
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// The name used in configuration and in the trail: `openai-chat`, `anthropic-messages`,
    /// `plain`.
    fn name(&self) -> &'static str;

    /// The value of OpenTelemetry's `gen_ai.provider.name`; empty when there is none.
    fn provider(&self) -> &'static str;

    /// The name of the wire format, for dialects that differ from another one in what their failures mean
    /// and in nothing that is sent: a call may fall back between dialects of one family.
    fn family(&self) -> &'static str {
        self.name()
    }

    /// Whether a call names a model, so that a target may put another in its place.
    fn carries_model(&self) -> bool;

    /// Finds the model and learns whether the answer will be a stream. `path` is the request's
    /// path, with its query if it has one.
    ///
    /// # Errors
    ///
    /// When the body leaves open which model is asked for. The document is not validated: the
    /// rest is for the upstream to judge.
    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError>;

    /// Headers that hold no secret and may follow a call to another authority.
    fn portable_headers(&self) -> &'static [HeaderName];

    /// Headers that hold a credential, or name the account that a credential belongs to. They
    /// never follow a call to another authority.
    fn credential_headers(&self) -> &'static [HeaderName];

    /// Names of query parameters that hold a credential. They never follow a call to another authority.
    fn credential_parameters(&self) -> &'static [&'static str] {
        &["key", "api_key", "api-key"]
    }

    /// Response headers that hold the provider's id of the request, the best first.
    fn request_id_headers(&self) -> &'static [HeaderName] {
        static REQUEST_ID: [HeaderName; 2] = [
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("request-id"),
        ];
        &REQUEST_ID
    }

    /// What an answer with a status outside of 2xx means.
    fn classify(&self, answer: &Answer<'_>) -> Failure;

    /// How the body of a 2xx answer is cut into events; `None` if it is no stream of events. `streamed`:
    /// the request asked for a stream.
    fn framing(&self, headers: &HeaderMap, streamed: bool) -> Option<Framing> {
        let _ = streamed;
        Framing::of(headers)
    }

    /// What one event says. Data that is not understood says nothing.
    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a>;

    /// What a whole 2xx answer that is not a stream says.
    fn read_answer(&self, body: &[u8]) -> AnswerFacts;
}

/// Credentials are told by name whatever the dialect: many providers offer an OpenAI-shaped
/// endpoint beside their own, with their own header.
pub(crate) static CREDENTIALS: [HeaderName; 13] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    // The project that is billed.
    HeaderName::from_static("x-goog-user-project"),
    // What Amazon's signature (SigV4) is made of, short of `authorization`: true of one request only.
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-content-sha256"),
];
