//! Gemini: documents, chunks and errors, as SSE or as one JSON array
//! (<https://ai.google.dev/api/generate-content>).

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Document, Events, MESSAGE};
use crate::call::Call;

const SIGNATURE: &str = "bW9jaw==";
const END_OF_ARRAY: Bytes = Bytes::from_static(b"]");
const GARBAGE_IN_ARRAY: Bytes = Bytes::from_static(b"[{\"candidates\": [{\"con\x00<html>");

pub(super) fn document(call: &Call<'_>) -> Document {
    let content = call.content();
    let mut parts = Vec::new();
    if !call.reply.reasoning.is_empty() {
        parts.push(thought(&call.reply.reasoning.concat()));
    }
    if !content.is_empty() {
        parts.push(json!({"text": content.concat()}));
    }
    parts.extend(function_calls(call));
    let mut document = chunk(call, &parts);
    document["candidates"][0]["finishReason"] = call.finish_reason("STOP", "STOP").into();
    document["usageMetadata"] = usage(call, content.len());
    call.document(&document, content.len())
}

pub(super) fn events(call: &Call<'_>) -> Events {
    let content = call.content();
    let array = call.asked.array;
    let spell = |document: &Value| -> Bytes {
        match array {
            true => format!("{document}\n").into(),
            false => format!("data: {document}\r\n\r\n").into(),
        }
    };
    let reasoning = call.reply.reasoning.iter().map(|token| thought(token));
    let text = content.iter().map(|token| json!({"text": token}));
    let tokens = reasoning
        .chain(text)
        .chain(function_calls(call))
        .map(|part| spell(&chunk(call, &[part])))
        .collect();
    let mut last = chunk(call, &[json!({"text": ""})]);
    last["candidates"][0]["finishReason"] = call.finish_reason("STOP", "STOP").into();
    last["usageMetadata"] = usage(call, content.len());
    let events = Events {
        tokens,
        finish: vec![spell(&last)],
        ping: spell(&chunk(call, &[])),
        error: call.in_band().map_or_else(Bytes::new, |failure| {
            spell(&error(StatusCode::SERVICE_UNAVAILABLE, Some(failure.code)))
        }),
        ..Events::default()
    };
    if !array {
        return events;
    }
    Events {
        content_type: "application/json; charset=UTF-8",
        marker: END_OF_ARRAY,
        comment: Bytes::from_static(b"\n"),
        // An array with an error in it is closed all the same.
        error: [events.error.as_ref(), b"]"].concat().into(),
        garbage: GARBAGE_IN_ARRAY,
        dress: Some(place_in_array),
        ..events
    }
}

/// `{"error": {..}}` with the status's own name, unless another is given
/// (<https://ai.google.dev/gemini-api/docs/troubleshooting>).
pub(super) fn error(status: StatusCode, name: Option<&str>) -> Value {
    let usual = match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        400..=499 => "INVALID_ARGUMENT",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    let mut body = json!({"error": {
        "code": status.as_u16(),
        "message": MESSAGE,
        "status": name.unwrap_or(usual),
    }});
    if status == StatusCode::TOO_MANY_REQUESTS {
        body["error"]["details"] = json!([{
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}],
        }]);
    }
    body
}

/// The first element follows the bracket, every other one a comma.
fn place_in_array(placed: &mut u64, bytes: Bytes) -> Bytes {
    if !bytes.starts_with(b"{") {
        return bytes;
    }
    let before: &[u8] = match std::mem::replace(placed, 1) {
        0 => b"[",
        _ => b",\r\n",
    };
    [before, bytes.as_ref()].concat().into()
}

fn chunk(call: &Call<'_>, parts: &[Value]) -> Value {
    let mut content = json!({"role": "model"});
    if !parts.is_empty() {
        content["parts"] = parts.into();
    }
    json!({
        "candidates": [{"content": content, "index": 0}],
        "modelVersion": call.asked.model(),
        "responseId": format!("gemini-mock-{}", call.number),
    })
}

fn thought(text: &str) -> Value {
    json!({"text": text, "thought": true, "thoughtSignature": SIGNATURE})
}

fn function_calls<'a>(call: &'a Call<'_>) -> impl Iterator<Item = Value> + 'a {
    call.reply.tool_calls.iter().map(|(name, arguments)| {
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
        json!({"functionCall": {"name": name, "args": arguments}})
    })
}

fn usage(call: &Call<'_>, content: usize) -> Value {
    let (prompt, thoughts) = (call.asked.prompt_tokens(), call.reply.reasoning.len());
    json!({
        "promptTokenCount": prompt,
        "candidatesTokenCount": content,
        "thoughtsTokenCount": thoughts,
        "cachedContentTokenCount": 0,
        "totalTokenCount": prompt + content + thoughts,
    })
}
