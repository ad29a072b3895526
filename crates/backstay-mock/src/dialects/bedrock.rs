//! Bedrock's runtime: Converse and ConverseStream, and what is its own about invoking Anthropic's models
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::blocks::{Blocks, Rendered};
use super::{anthropic, event_stream};
use crate::answer::{Document, Events, MESSAGE};
use crate::call::Call;

/// Bedrock has no pings. This is a frame of a type that no reader knows, and every reader passes over.
const PING: &str = "keepAlive";
/// What Bedrock pads its events with, so that lengths give nothing away.
const PADDING: &str = "abcdefghijklmnop";
const SIGNATURE: &str = "bW9jaw==";

pub(super) fn document(call: &Call<'_>) -> Document {
    let content = call.content();
    let mut blocks = Vec::new();
    if !call.reply.reasoning.is_empty() {
        let text = json!({"text": call.reply.reasoning.concat(), "signature": SIGNATURE});
        blocks.push(json!({"reasoningContent": {"reasoningText": text}}));
    }
    if !content.is_empty() {
        blocks.push(json!({"text": content.concat()}));
    }
    for (index, (name, arguments)) in call.reply.tool_calls.iter().enumerate() {
        let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
        let tool = json!({"toolUseId": tool_id(call, index), "name": name, "input": input});
        blocks.push(json!({"toolUse": tool}));
    }
    let document = json!({
        "output": {"message": {"role": "assistant", "content": blocks}},
        "stopReason": call.finish_reason("end_turn", "tool_use"),
        "usage": usage(call, content.len()),
        "metrics": {"latencyMs": 1},
    });
    call.document(&document, content.len())
}

pub(super) fn events(call: &Call<'_>) -> Events {
    let content = call.content();
    let mut blocks = Blocks::default();
    if !call.reply.reasoning.is_empty() {
        open(&mut blocks, None);
        for token in &call.reply.reasoning {
            let delta = delta(&blocks, &json!({"reasoningContent": {"text": token}}));
            blocks.token(&delta);
        }
        let signed = delta(
            &blocks,
            &json!({"reasoningContent": {"signature": SIGNATURE}}),
        );
        blocks.aside(&signed);
    }
    if !content.is_empty() {
        open(&mut blocks, None);
        for token in &content {
            let delta = delta(&blocks, &json!({"text": token}));
            blocks.token(&delta);
        }
    }
    for (index, (name, arguments)) in call.reply.tool_calls.iter().enumerate() {
        let tool = json!({"toolUse": {"toolUseId": tool_id(call, index), "name": name}});
        open(&mut blocks, Some(&tool));
        let delta = delta(&blocks, &json!({"toolUse": {"input": arguments}}));
        blocks.token(&delta);
    }
    let Rendered {
        first,
        tokens,
        last,
    } = blocks.close();
    let stop = json!({"stopReason": call.finish_reason("end_turn", "tool_use"), "p": PADDING});
    let metadata = json!({
        "metrics": {"latencyMs": 1},
        "usage": usage(call, content.len()),
        "p": PADDING,
    });
    Events {
        start: vec![
            event_stream::event("messageStart", &json!({"p": PADDING, "role": "assistant"})),
            first,
        ],
        tokens,
        finish: vec![last, event_stream::event("messageStop", &stop)],
        marker: event_stream::event("metadata", &metadata),
        ..frames(call)
    }
}

/// Anthropic's events, each as the base64 `bytes` of a `chunk`
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html>).
pub(super) fn invoke_events(call: &Call<'_>) -> Events {
    let events = anthropic::render(call, |_, data| chunk(data));
    let mut stop = json!({"type": "message_stop"});
    stop["amazon-bedrock-invocationMetrics"] = json!({
        "inputTokenCount": call.asked.prompt_tokens(),
        "outputTokenCount": call.output_tokens(call.content().len()),
        "invocationLatency": 1,
        "firstByteLatency": 1,
    });
    Events {
        start: events.start,
        tokens: events.tokens,
        finish: events.finish,
        marker: chunk(&stop),
        ping: events.ping,
        ..frames(call)
    }
}

/// The exception's name is a header, the message is the body.
pub(super) fn error(status: StatusCode, code: Option<&str>, headers: &mut HeaderMap) -> Value {
    let usual = match status.as_u16() {
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        400..=499 => "ValidationException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    };
    if let Ok(name) = HeaderValue::try_from(code.unwrap_or(usual)) {
        headers.insert("x-amzn-errortype", name);
    }
    json!({"message": MESSAGE})
}

/// The parts that both streams share.
fn frames(call: &Call<'_>) -> Events {
    let ping = event_stream::event(PING, &json!({"p": PADDING}));
    let exception = |code: &str| event_stream::exception(code, &json!({"message": MESSAGE}));
    Events {
        content_type: event_stream::CONTENT_TYPE,
        comment: ping.clone(),
        ping,
        error: call
            .in_band()
            .map_or_else(Bytes::new, |failure| exception(failure.code)),
        garbage: event_stream::corrupt("contentBlockDelta", &json!({"delta": {"text": "?"}})),
        ..Events::default()
    }
}

fn chunk(data: &Value) -> Bytes {
    let bytes = STANDARD.encode(data.to_string());
    event_stream::event("chunk", &json!({"bytes": bytes, "p": PADDING}))
}

/// Only a tool's block announces itself.
fn open(blocks: &mut Blocks, start: Option<&Value>) {
    let index = blocks.next();
    let start = start.map_or_else(Bytes::new, |start| {
        let payload = json!({"contentBlockIndex": index, "p": PADDING, "start": start});
        event_stream::event("contentBlockStart", &payload)
    });
    let stop = json!({"contentBlockIndex": index, "p": PADDING});
    blocks.open(start, event_stream::event("contentBlockStop", &stop));
}

fn delta(blocks: &Blocks, delta: &Value) -> Bytes {
    let payload = json!({"contentBlockIndex": blocks.index(), "delta": delta, "p": PADDING});
    event_stream::event("contentBlockDelta", &payload)
}

fn tool_id(call: &Call<'_>, index: usize) -> String {
    format!("tooluse_mock_{}_{index}", call.number)
}

fn usage(call: &Call<'_>, content: usize) -> Value {
    let (input, output) = (call.asked.prompt_tokens(), call.output_tokens(content));
    json!({
        "inputTokens": input,
        "outputTokens": output,
        "totalTokens": input + output,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    })
}
