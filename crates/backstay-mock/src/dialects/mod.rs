//! What each provider says: a module per shape of answer, and the table of who speaks which.
//!
//! A module renders content; when it is sent, and what goes wrong on the way, is [`plan`](crate::plan)'s.

mod anthropic;
mod bedrock;
mod blocks;
mod cohere;
mod event_stream;
mod family;
mod gemini;
mod openai_chat;
mod responses;

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::answer::{Document, Events};
use crate::call::{Call, InBand};
use crate::dialect::Dialect;

pub(crate) use self::openai_chat::models;
pub(crate) use self::responses::cancelled;

/// The unary answer.
pub(crate) fn document(dialect: Dialect, call: &Call<'_>) -> Document {
    match dialect {
        Dialect::OpenAiResponses | Dialect::AzureResponses => responses::document(call),
        Dialect::Anthropic | Dialect::VertexAnthropic | Dialect::BedrockInvoke => {
            anthropic::message(call)
        }
        Dialect::Gemini => gemini::document(call),
        Dialect::BedrockConverse => bedrock::document(call),
        Dialect::Cohere => cohere::document(call),
        _ => openai_chat::completion(dialect, call),
    }
}

/// The streamed answer.
pub(crate) fn events(dialect: Dialect, call: &Call<'_>) -> Events {
    match dialect {
        Dialect::OpenAiResponses | Dialect::AzureResponses => responses::events(call),
        Dialect::Anthropic | Dialect::VertexAnthropic => anthropic::events(call),
        Dialect::BedrockInvoke => bedrock::invoke_events(call),
        Dialect::Gemini => gemini::events(call),
        Dialect::BedrockConverse => bedrock::events(call),
        Dialect::Cohere => cohere::events(call),
        _ => openai_chat::events(dialect, call),
    }
}

/// The error document for a status; `code` takes the place of the status's own.
pub(crate) fn error(dialect: Dialect, status: StatusCode, code: Option<&str>) -> Document {
    let mut headers = HeaderMap::new();
    let body = match dialect {
        Dialect::Anthropic | Dialect::VertexAnthropic => anthropic::error(status, code),
        Dialect::Gemini => gemini::error(status, code),
        Dialect::BedrockConverse | Dialect::BedrockInvoke => {
            bedrock::error(status, code, &mut headers)
        }
        Dialect::Cohere => cohere::error(),
        Dialect::Chroma => crate::chroma::error(status, code),
        _ => family::error(dialect, status, code),
    };
    Document {
        headers,
        ..Document::new(status, &body)
    }
}

/// The error that is the whole of a 200.
pub(crate) fn error_in_200(dialect: Dialect, call: &Call<'_>, failure: &InBand<'_>) -> Value {
    let InBand { code, closing } = *failure;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    match dialect {
        Dialect::OpenAiResponses | Dialect::AzureResponses if closing => {
            responses::failed(call, code)
        }
        Dialect::OpenRouter => family::error_of_openrouter(code),
        _ => serde_json::from_slice(&error(dialect, status, Some(code)).body).unwrap_or_default(),
    }
}

/// The response headers that say which request this was.
pub(crate) fn identify(dialect: Option<Dialect>, number: u64, headers: &mut HeaderMap) {
    let names: &[&'static str] = match dialect {
        Some(Dialect::Anthropic | Dialect::VertexAnthropic) => &["request-id"],
        Some(Dialect::Gemini) => &["x-goog-request-id"],
        Some(Dialect::BedrockConverse | Dialect::BedrockInvoke) => &["x-amzn-requestid"],
        Some(Dialect::Cohere) => &["x-debug-trace-id"],
        Some(Dialect::AzureChat | Dialect::AzureResponses) => &["x-request-id", "apim-request-id"],
        Some(Dialect::Mistral) => &["x-request-id", "mistral-correlation-id"],
        Some(Dialect::OpenRouter) => &["x-request-id", "x-generation-id"],
        Some(Dialect::Chroma) => &[],
        _ => &["x-request-id"],
    };
    if let Ok(id) = HeaderValue::try_from(format!("req_mock_{number}")) {
        for &name in names {
            headers.insert(name, id.clone());
        }
    }
}
