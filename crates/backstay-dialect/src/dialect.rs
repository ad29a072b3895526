//! The trait that a provider family implements, and the choice of one by path.

use std::fmt;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use crate::{
    Answer, AnswerFacts, AnthropicMessages, Event, EventFacts, Failure, OpenAiChat, Plain,
    RequestError, RequestFacts,
};

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

    /// Whether a call names a model, so that a target may put another in its place.
    fn carries_model(&self) -> bool;

    /// Finds the model and learns whether the answer will be a stream. `path` is the request's
    /// path, with or without a query.
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

    /// What an answer with a status outside of 2xx means.
    fn classify(&self, answer: &Answer<'_>) -> Failure;

    /// What one server-sent event says. Data that is not understood says nothing.
    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a>;

    /// What a whole 2xx answer that is not a stream says.
    fn read_answer(&self, body: &[u8]) -> AnswerFacts;
}

/// The dialect that a path speaks: [`OpenAiChat`] for `…/chat/completions`,
/// [`AnthropicMessages`] for `…/messages`, else [`Plain`]. A query is ignored.
///
/// ```
/// use backstay_dialect::detect;
///
/// assert_eq!(detect("/openai/v1/chat/completions?trace=1").name(), "openai-chat");
/// assert_eq!(detect("/v1/messages").name(), "anthropic-messages");
/// assert_eq!(detect("/collections/docs/points/query").name(), "plain");
/// ```
#[must_use]
pub fn detect(path: &str) -> &'static dyn Dialect {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    if path.ends_with("/chat/completions") {
        &OpenAiChat
    } else if path.ends_with("/messages") && !path.contains("/threads/") {
        // OpenAI's assistants also had `/threads/{id}/messages`, with no model in the body.
        &AnthropicMessages
    } else {
        &Plain
    }
}

/// Credentials are told by name whatever the dialect: many providers offer an OpenAI-shaped
/// endpoint beside their own, with their own header.
pub(crate) static CREDENTIALS: [HeaderName; 8] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_chooses_the_dialect() {
        for (path, name) in [
            ("/v1/chat/completions", "openai-chat"),
            ("/v1/chat/completions/", "openai-chat"),
            ("/api/v1/chat/completions?x=/messages", "openai-chat"),
            ("/v1/messages", "anthropic-messages"),
            ("/v1/messages?beta=true", "anthropic-messages"),
            ("/v1/messages/batches", "plain"),
            ("/v1/threads/t_1/messages", "plain"),
            ("/v1/embeddings?next=/chat/completions", "plain"),
            ("", "plain"),
        ] {
            assert_eq!(detect(path).name(), name, "{path}");
        }
    }

    #[test]
    fn no_header_is_both_portable_and_secret() {
        for path in ["/chat/completions", "/messages", "/other"] {
            let dialect = detect(path);
            for header in dialect.portable_headers() {
                assert!(!dialect.credential_headers().contains(header), "{header}");
            }
            assert!(dialect.credential_headers().contains(&AUTHORIZATION));
        }
    }
}
