//! Anthropic's messages: documents, events and errors
//! (<https://docs.anthropic.com/en/api/messages-streaming>).

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::blocks::{Blocks, Rendered};
use crate::answer::{Document, Events, MESSAGE};
use crate::call::Call;

pub(super) fn message(call: &Call<'_>) -> Document {
    let content = call.content();
    let mut blocks = Vec::new();
    if !call.reply.reasoning.is_empty() {
        blocks.push(json!({
            "type": "thinking",
            "thinking": call.reply.reasoning.concat(),
            "signature": SIGNATURE,
        }));
    }
    if !content.is_empty() {
        blocks.push(json!({"type": "text", "text": content.concat()}));
    }
    for (index, (name, arguments)) in call.reply.tool_calls.iter().enumerate() {
        let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
        let mut block = tool_use(call, index, name);
        block["input"] = input;
        blocks.push(block);
    }
    let mut document = envelope(call);
    document["content"] = blocks.into();
    document["stop_reason"] = call.finish_reason("end_turn", "tool_use").into();
    document["usage"]["output_tokens"] = call.output_tokens(content.len()).into();
    call.document(&document, content.len())
}

pub(super) fn events(call: &Call<'_>) -> Events {
    render(call, event)
}

/// The events, each as `spell` has it from its name and data.
pub(super) fn render(call: &Call<'_>, spell: fn(&str, &Value) -> Bytes) -> Events {
    let content = call.content();
    let mut blocks = Blocks::default();
    let open = |blocks: &mut Blocks, block: &Value| {
        let index = blocks.next();
        let start = json!({"type": "content_block_start", "index": index, "content_block": block});
        let stop = json!({"type": "content_block_stop", "index": index});
        blocks.open(
            spell("content_block_start", &start),
            spell("content_block_stop", &stop),
        );
    };
    let delta = |blocks: &Blocks, delta: &Value| {
        let data = json!({"type": "content_block_delta", "index": blocks.index(), "delta": delta});
        spell("content_block_delta", &data)
    };
    if !call.reply.reasoning.is_empty() {
        let block = json!({"type": "thinking", "thinking": "", "signature": ""});
        open(&mut blocks, &block);
        for token in &call.reply.reasoning {
            let thought = delta(
                &blocks,
                &json!({"type": "thinking_delta", "thinking": token}),
            );
            blocks.token(&thought);
        }
        let signature = json!({"type": "signature_delta", "signature": SIGNATURE});
        let signature = delta(&blocks, &signature);
        blocks.aside(&signature);
    }
    if !content.is_empty() || call.reply.tool_calls.is_empty() {
        open(&mut blocks, &json!({"type": "text", "text": ""}));
        for token in &content {
            let text = delta(&blocks, &json!({"type": "text_delta", "text": token}));
            blocks.token(&text);
        }
    }
    for (index, (name, arguments)) in call.reply.tool_calls.iter().enumerate() {
        open(&mut blocks, &tool_use(call, index, name));
        let input = json!({"type": "input_json_delta", "partial_json": arguments});
        let input = delta(&blocks, &input);
        blocks.token(&input);
    }
    let Rendered {
        first,
        tokens,
        last,
    } = blocks.close();
    let message_start = json!({"type": "message_start", "message": envelope(call)});
    let message_delta = json!({
        "type": "message_delta",
        "delta": {
            "stop_reason": call.finish_reason("end_turn", "tool_use"),
            "stop_sequence": null,
        },
        "usage": {"output_tokens": call.output_tokens(content.len())},
    });
    let ping = spell("ping", &json!({"type": "ping"}));
    let error = |code| error(StatusCode::INTERNAL_SERVER_ERROR, Some(code));
    Events {
        start: vec![spell("message_start", &message_start), first, ping.clone()],
        tokens,
        finish: vec![last, spell("message_delta", &message_delta)],
        marker: spell("message_stop", &json!({"type": "message_stop"})),
        ping,
        error: call
            .in_band()
            .map_or_else(Bytes::new, |failure| spell("error", &error(failure.code))),
        ..Events::default()
    }
}

/// `{"type": "error", ..}` with the type that goes with the status, unless another one is given
/// (<https://docs.anthropic.com/en/api/errors>).
pub(super) fn error(status: StatusCode, kind: Option<&str>) -> Value {
    let usual = match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({
        "type": "error",
        "error": {"type": kind.unwrap_or(usual), "message": MESSAGE},
        "request_id": null,
    })
}

const SIGNATURE: &str = "bW9jaw==";

fn envelope(call: &Call<'_>) -> Value {
    json!({
        "id": format!("msg_mock_{}", call.number),
        "type": "message",
        "role": "assistant",
        "model": call.asked.model(),
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": call.asked.prompt_tokens(),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 1,
        },
    })
}

fn tool_use(call: &Call<'_>, index: usize, name: &str) -> Value {
    let id = format!("toolu_mock_{}_{index}", call.number);
    json!({"type": "tool_use", "id": id, "name": name, "input": {}})
}

fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
