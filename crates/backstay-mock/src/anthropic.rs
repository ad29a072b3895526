//! Anthropic's messages: documents, events and errors
//! (<https://docs.anthropic.com/en/api/messages-streaming>).

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::handler::Call;
use crate::plan::{Document, Events};
use crate::reply::Fault;

pub(crate) fn message(call: &Call<'_>) -> Document {
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
    document["stop_reason"] = stop_reason(call).into();
    document["usage"]["output_tokens"] = output_tokens(call, &content).into();
    Document {
        status: call.reply.status,
        body: document.to_string().into(),
        tokens: content.len() + call.reply.reasoning.len(),
    }
}

pub(crate) fn events(call: &Call<'_>) -> Events {
    let content = call.content();
    let mut blocks = Blocks::default();
    if !call.reply.reasoning.is_empty() {
        blocks.open(&json!({"type": "thinking", "thinking": "", "signature": ""}));
        for token in &call.reply.reasoning {
            blocks.delta(&json!({"type": "thinking_delta", "thinking": token}));
        }
        blocks.aside(&json!({"type": "signature_delta", "signature": SIGNATURE}));
    }
    if !content.is_empty() || call.reply.tool_calls.is_empty() {
        blocks.open(&json!({"type": "text", "text": ""}));
        for token in &content {
            blocks.delta(&json!({"type": "text_delta", "text": token}));
        }
    }
    for (index, (name, arguments)) in call.reply.tool_calls.iter().enumerate() {
        blocks.open(&tool_use(call, index, name));
        blocks.delta(&json!({"type": "input_json_delta", "partial_json": arguments}));
    }
    let message_start = event(
        "message_start",
        &json!({
            "type": "message_start",
            "message": envelope(call),
        }),
    );
    let (first_block, tokens, last_stop) = blocks.close();
    let message_delta = event(
        "message_delta",
        &json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(call), "stop_sequence": null},
            "usage": {"output_tokens": output_tokens(call, &content)},
        }),
    );
    let ping = event("ping", &json!({"type": "ping"}));
    let code = match &call.reply.fault {
        Fault::ErrorInBand(_, code) => Some(code.as_str()),
        _ => None,
    };
    Events {
        start: vec![message_start, first_block, ping.clone()],
        tokens,
        finish: vec![last_stop, message_delta],
        marker: event("message_stop", &json!({"type": "message_stop"})),
        ping,
        error: event("error", &error(StatusCode::INTERNAL_SERVER_ERROR, code)),
    }
}

/// `{"type": "error", ..}` with the type that goes with the status, unless another one is given
/// (<https://docs.anthropic.com/en/api/errors>).
pub(crate) fn error(status: StatusCode, kind: Option<&str>) -> Value {
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
        "error": {"type": kind.unwrap_or(usual), "message": "scripted by the mock"},
        "request_id": null,
    })
}

const SIGNATURE: &str = "bW9jaw==";

/// Content blocks being rendered. A token's bytes carry the block boundaries before it along, so that a
/// token stays one event for whoever counts.
#[derive(Default)]
struct Blocks {
    opened: usize,
    first: Bytes,
    boundary: Vec<u8>,
    tokens: Vec<Bytes>,
}

// === impl Blocks ===

impl Blocks {
    fn open(&mut self, block: &Value) {
        let index = self.opened;
        let start = event(
            "content_block_start",
            &json!({
                "type": "content_block_start",
                "index": index,
                "content_block": block,
            }),
        );
        if index == 0 {
            self.first = start;
        } else {
            self.boundary.extend_from_slice(&stop(index - 1));
            self.boundary.extend_from_slice(&start);
        }
        self.opened += 1;
    }

    fn delta(&mut self, delta: &Value) {
        let mut bytes = std::mem::take(&mut self.boundary);
        bytes.extend_from_slice(&self.render(delta));
        self.tokens.push(bytes.into());
    }

    /// A delta that is no token.
    fn aside(&mut self, delta: &Value) {
        let bytes = self.render(delta);
        self.boundary.extend_from_slice(&bytes);
    }

    fn render(&self, delta: &Value) -> Bytes {
        event(
            "content_block_delta",
            &json!({
                "type": "content_block_delta",
                "index": self.opened.saturating_sub(1),
                "delta": delta,
            }),
        )
    }

    fn close(mut self) -> (Bytes, Vec<Bytes>, Bytes) {
        self.boundary
            .extend_from_slice(&stop(self.opened.saturating_sub(1)));
        (self.first, self.tokens, self.boundary.into())
    }
}

fn stop(index: usize) -> Bytes {
    event(
        "content_block_stop",
        &json!({"type": "content_block_stop", "index": index}),
    )
}

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

fn stop_reason(call: &Call<'_>) -> String {
    let usual = match call.reply.tool_calls.is_empty() {
        true => "end_turn",
        false => "tool_use",
    };
    call.reply
        .finish_reason
        .clone()
        .unwrap_or_else(|| usual.to_owned())
}

fn output_tokens(call: &Call<'_>, content: &[String]) -> usize {
    content.len() + call.reply.reasoning.len() + call.reply.tool_calls.len()
}

fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
