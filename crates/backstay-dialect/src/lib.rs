//! What LLM providers put on the wire: where the model lives, what a failure means, what a stream
//! event says.
//!
//! Pure functions on bytes and headers: no async, no I/O, no client. A [`Dialect`] answers five
//! questions about one provider family, and is implemented here for
//!
//! | dialect | for | path |
//! |---|---|---|
//! | [`OpenAiChat`] | OpenAI chat completions, and a server of that shape that is not known | `…/chat/completions` |
//! | [`AzureOpenAi`], [`Mistral`], [`Groq`], [`OpenRouter`] | the same on the wire; other errors | `…/chat/completions` at their hosts |
//! | [`OpenAiCompatible`] | Together, Cerebras, xAI, DeepSeek; vLLM, SGLang, llama.cpp, Ollama, TGI; yours | `…/chat/completions` |
//! | [`OpenAiResponses`] | OpenAI Responses | `…/v1/responses` |
//! | [`AnthropicMessages`] | Anthropic messages | `…/messages` |
//! | [`Gemini`], [`VertexGemini`] | Gemini, at Google's own endpoint and on Vertex | `…/models/{model}:generateContent`, `:streamGenerateContent` |
//! | [`VertexAnthropic`] | Anthropic's models on Vertex | `…/models/{model}:rawPredict`, `:streamRawPredict` |
//! | [`BedrockConverse`] | Amazon Bedrock | `/model/{id}/converse`, `/converse-stream` |
//! | [`BedrockAnthropic`] | Anthropic's models on Bedrock, through InvokeModel | `/model/{id}/invoke`, `/invoke-with-response-stream` |
//! | [`CohereChat`] | Cohere chat, version 2 | `…/v2/chat` |
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

mod amazon_error;
mod answer;
mod anthropic;
mod bedrock;
mod bedrock_anthropic;
mod cohere;
mod counts;
mod delta;
mod detect;
mod dialect;
mod edits;
mod event;
mod failure;
mod framing;
mod gemini;
mod google_error;
mod hint;
mod json;
mod json_end;
mod json_string;
mod openai;
mod patch;
mod path_model;
mod plain;
mod request;
mod sse;
mod stream;
mod vertex;

pub use answer::{Answer, AnswerFacts};
pub use anthropic::AnthropicMessages;
pub use bedrock::BedrockConverse;
pub use bedrock_anthropic::BedrockAnthropic;
pub use cohere::CohereChat;
pub use detect::detect;
pub use dialect::Dialect;
pub use edits::Edits;
pub use event::{Event, EventFacts, Progress, Usage, response_id};
pub use failure::{Action, Cooling, Failure, FailureClass, MAX_CODE_BYTES, OVERLOADED_LEAST_WAIT};
pub use gemini::Gemini;
pub use hint::{Hint, HintSource, MAX_BELIEVED_WAIT, MAX_WAIT};
pub use json_end::JsonEnd;
pub use openai::{
    AzureOpenAi, Groq, Mistral, OpenAiChat, OpenAiCompatible, OpenAiResponses, OpenRouter,
};
pub use patch::{Patch, PatchError};
pub use path_model::{PathModelError, path_segment, segment_name};
pub use plain::Plain;
pub use request::{RequestError, RequestFacts, model_literal, model_name};
pub use sse::MAX_EVENT_NAME_BYTES;
pub use stream::{BROKEN_FRAMING, DEFAULT_EVENT_LIMIT, Framing, Seen, StreamObserver};
pub use vertex::{VertexAnthropic, VertexGemini};
