//! What LLM providers put on the wire: where the model lives, what a failure means, what a stream
//! event says.
//!
//! Pure functions on bytes and headers: no async, no I/O, no client. A [`Dialect`] answers five
//! questions about one provider family, and is implemented here for
//!
//! | dialect | for | path |
//! |---|---|---|
//! | [`OpenAiChat`] | OpenAI chat completions and the many servers that copy it | `…/chat/completions` |
//! | [`AnthropicMessages`] | Anthropic messages | `…/messages` |
//! | [`Plain`] | anything else: vector databases, embeddings, your own services | any other |
//!
//! Write your own by implementing the trait; every type that it returns can be built outside of
//! this crate.
//!
//! # A failure
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use backstay_dialect::{Action, Answer, Dialect, FailureClass, OpenAiChat};
//! use http::{HeaderMap, StatusCode};
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("retry-after-ms", "1500".parse()?);
//! let failure = OpenAiChat.classify(&Answer {
//!     status: StatusCode::TOO_MANY_REQUESTS,
//!     headers: &headers,
//!     body: br#"{"error":{"type":"tokens","code":"rate_limit_exceeded","message":"Slow down"}}"#,
//!     now: SystemTime::now(),
//! });
//!
//! assert_eq!(failure.class, FailureClass::RateLimit);
//! assert_eq!(failure.class.action(), Action::Retry);
//! assert_eq!(failure.code.as_deref(), Some("rate_limit_exceeded"));
//! assert_eq!(failure.hint.after, Some(Duration::from_millis(1500)));
//! # Ok::<(), http::header::InvalidHeaderValue>(())
//! ```
//!
//! # A stream
//!
//! ```
//! use backstay_dialect::{Framing, OpenAiChat, Progress, StreamObserver};
//!
//! let mut observer = StreamObserver::new(Framing::ServerSent);
//! let role = observer.observe(&OpenAiChat, b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n");
//! assert_eq!(role.progress, Progress::None);
//!
//! let word = observer.observe(&OpenAiChat, b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n");
//! assert_eq!(word.progress, Progress::Content);
//!
//! let end = observer.observe(&OpenAiChat, b"data: [DONE]\n\n");
//! assert!(end.ended);
//! ```
//!
//! # A request
//!
//! The model's name is found, not parsed out: the caller puts another one between two slices of
//! the same bytes.
//!
//! ```
//! use backstay_dialect::{Dialect, OpenAiChat, model_literal, model_name};
//!
//! let body = br#"{"stream": true, "messages": [{"model": "a decoy"}], "model": "gpt-4o"}"#;
//! let facts = OpenAiChat.read_request("/v1/chat/completions", body)?;
//! let span = facts.model.expect("a chat request names its model");
//!
//! assert!(facts.stream);
//! assert_eq!(model_name(&body[span.clone()]), "gpt-4o");
//!
//! let other = [&body[..span.start], &model_literal("gpt-4o-mini"), &body[span.end..]].concat();
//! assert!(other.ends_with(br#""model": "gpt-4o-mini"}"#));
//! # Ok::<(), backstay_dialect::RequestError>(())
//! ```
//!
//! A [`Patch`] changes other top-level fields the same way; [`Edits`] holds what to put where.

mod answer;
mod anthropic;
mod delta;
mod dialect;
mod edits;
mod event;
mod failure;
mod hint;
mod json;
mod json_end;
mod json_string;
mod openai_chat;
mod patch;
mod plain;
mod request;
mod sse;
mod stream;

pub use answer::{Answer, AnswerFacts};
pub use anthropic::AnthropicMessages;
pub use dialect::{Dialect, detect};
pub use edits::Edits;
pub use event::{Event, EventFacts, Progress, Usage, response_id};
pub use failure::{Action, Failure, FailureClass, MAX_CODE_BYTES};
pub use hint::{Hint, HintSource, MAX_BELIEVED_WAIT, MAX_WAIT};
pub use json_end::JsonEnd;
pub use openai_chat::OpenAiChat;
pub use patch::{Patch, PatchError};
pub use plain::Plain;
pub use request::{RequestError, RequestFacts, model_literal, model_name};
pub use sse::MAX_EVENT_NAME_BYTES;
pub use stream::{DEFAULT_EVENT_LIMIT, Framing, Seen, StreamObserver};
