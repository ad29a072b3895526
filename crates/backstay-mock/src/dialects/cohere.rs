//! Cohere's chat, version 2 (<https://docs.cohere.com/v2/reference/chat-stream>).

use bytes::Bytes;
use serde_json::{Value, json};

use super::blocks::{Blocks, Rendered};
use crate::answer::{Document, Events, MESSAGE};
use crate::call::Call;

pub(super) fn document(call: &Call<'_>) -> Document {
    let content = call.content();
    let mut blocks = Vec::new();
    if !call.reply.reasoning.is_empty() {
        blocks.push(json!({"type": "thinking", "thinking": call.reply.reasoning.concat()}));
    }
    if !content.is_empty() {
        blocks.push(json!({"type": "text", "text": content.concat()}));
    }
    let tools = call.reply.tool_calls.iter().enumerate();
    let tools: Vec<Value> = tools
        .map(|(index, (name, arguments))| tool_call(call, index, name, arguments))
        .collect();
    let mut message = json!({"role": "assistant", "content": blocks});
    if !tools.is_empty() {
        message["tool_calls"] = tools.into();
    }
    let document = json!({
        "id": id(call),
        "message": message,
        "finish_reason": call.finish_reason("COMPLETE", "TOOL_CALL"),
        "usage": usage(call, content.len()),
    });
    call.document(&document, content.len())
}

pub(super) fn events(call: &Call<'_>) -> Events {
    let content = call.content();
    let mut blocks = Blocks::default();
    let mut text = |kind: &str, tokens: &[String]| {
        let block = json!({"type": kind, kind: ""});
        open(&mut blocks, "content", Some(&json!({"content": block})));
        for token in tokens {
            let delta = delta(&blocks, "content-delta", &json!({"content": {kind: token}}));
            blocks.token(&delta);
        }
    };
    if !call.reply.reasoning.is_empty() {
        text("thinking", &call.reply.reasoning);
    }
    if !content.is_empty() {
        text("text", &content);
    }
    for (index, (name, arguments)) in call.reply.tool_calls.iter().enumerate() {
        let head = tool_call(call, index, name, "");
        open(&mut blocks, "tool-call", Some(&json!({"tool_calls": head})));
        let rest = json!({"tool_calls": {"function": {"arguments": arguments}}});
        let delta = delta(&blocks, "tool-call-delta", &rest);
        blocks.token(&delta);
    }
    let Rendered {
        first,
        tokens,
        last,
    } = blocks.close();
    let message = json!({
        "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [],
    });
    let message_start =
        json!({"id": id(call), "type": "message-start", "delta": {"message": message}});
    let message_end = |reason: &str, error: Option<&str>| {
        let mut delta = json!({"finish_reason": reason, "usage": usage(call, content.len())});
        if let Some(error) = error {
            delta["error"] = error.into();
        }
        event(&json!({"type": "message-end", "delta": delta}))
    };
    Events {
        start: vec![event(&message_start), first],
        tokens,
        finish: vec![last],
        marker: message_end(&call.finish_reason("COMPLETE", "TOOL_CALL"), None),
        ping: event(&json!({"type": "debug", "prompt": null})),
        error: call.in_band().map_or_else(Bytes::new, |failure| {
            message_end("ERROR", Some(failure.code))
        }),
        ..Events::default()
    }
}

/// Cohere's errors have a message and no code.
pub(super) fn error() -> Value {
    json!({"id": "mock-error", "message": MESSAGE})
}

fn open(blocks: &mut Blocks, family: &str, message: Option<&Value>) {
    let index = blocks.next();
    let start = json!({
        "type": format!("{family}-start"), "index": index, "delta": {"message": message},
    });
    let end = json!({"type": format!("{family}-end"), "index": index});
    blocks.open(event(&start), event(&end));
}

fn delta(blocks: &Blocks, kind: &str, message: &Value) -> Bytes {
    event(&json!({"type": kind, "index": blocks.index(), "delta": {"message": message}}))
}

fn tool_call(call: &Call<'_>, index: usize, name: &str, arguments: &str) -> Value {
    json!({
        "id": format!("{name}_mock_{}_{index}", call.number),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    })
}

fn id(call: &Call<'_>) -> String {
    format!("cohere-mock-{}", call.number)
}

fn usage(call: &Call<'_>, content: usize) -> Value {
    let (input, output) = (call.asked.prompt_tokens(), call.output_tokens(content));
    json!({
        "billed_units": {"input_tokens": input, "output_tokens": output},
        "tokens": {"input_tokens": input, "output_tokens": output},
    })
}

/// Cohere names each event twice.
fn event(data: &Value) -> Bytes {
    let name = data["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}
