//! OpenAI's chat completions, and the many who copy them: documents and chunks
//! (<https://platform.openai.com/docs/api-reference/chat>).

use bytes::Bytes;
use serde_json::{Value, json};

use super::family::{Family, Usage, data};
use crate::answer::{Document, Events};
use crate::call::Call;
use crate::dialect::Dialect;
use crate::names;

/// The same in every answer, so that answers can be compared.
pub(super) const CREATED: u64 = 1_700_000_000;
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

pub(super) fn completion(dialect: Dialect, call: &Call<'_>) -> Document {
    let family = Family::of(dialect);
    let content = call.content();
    let tool_calls: Vec<Value> = call
        .reply
        .tool_calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| tool_call(call, index, name, arguments))
        .collect();
    let mut message = json!({"role": "assistant", "content": content.concat(), "refusal": null});
    if !tool_calls.is_empty() {
        if content.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = tool_calls.into();
    }
    if !call.reply.reasoning.is_empty() {
        family.reason(&mut message, &call.reply.reasoning.concat());
    }
    let mut document = json!({
        "id": id(dialect, call),
        "object": "chat.completion",
        "created": CREATED,
        "model": call.asked.model(),
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": call.finish_reason("stop", "tool_calls"),
        }],
        "usage": usage(family, call, content.len()),
    });
    family.sign(&mut document);
    if let Some(field) = family.x_groq(call.number, None) {
        document["x_groq"] = field;
    }
    call.document(&document, content.len())
}

pub(super) fn events(dialect: Dialect, call: &Call<'_>) -> Events {
    let family = Family::of(dialect);
    let content = call.content();
    let used = usage(family, call, content.len());
    let asked = call.asked.body["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value| {
        let mut chunk = json!({
            "id": id(dialect, call),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": call.asked.model(),
            "choices": choices,
        });
        family.sign(&mut chunk);
        if asked && family.usage == Usage::Asked {
            chunk["usage"] = Value::Null;
        }
        chunk
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let delta = |delta: Value| data(&chunk(choice(delta, Value::Null)));

    let mut tokens = Vec::new();
    for token in &call.reply.reasoning {
        tokens.push(delta(family.reasoning(token)));
    }
    for token in &content {
        tokens.push(delta(json!({"content": token})));
    }
    for (index, (name, arguments)) in call.reply.tool_calls.iter().enumerate() {
        let mut head = tool_call(call, index, name, "");
        head["index"] = index.into();
        tokens.push(delta(json!({"tool_calls": [head]})));
        let rest = json!({"index": index, "function": {"arguments": arguments}});
        tokens.push(delta(json!({"tool_calls": [rest]})));
    }

    let mut role = chunk(choice(family.role(), Value::Null));
    if let Some(field) = family.x_groq(call.number, None) {
        role["x_groq"] = field;
    }
    let reason = call.finish_reason("stop", "tool_calls");
    let mut last = chunk(choice(json!({}), reason.into()));
    if family.usage == Usage::InFinish {
        last["usage"] = used.clone();
    }
    if let Some(field) = family.x_groq(call.number, Some(&used)) {
        last["x_groq"] = field;
    }
    let mut finish = vec![data(&last)];
    if family.usage == Usage::Always || (asked && family.usage == Usage::Asked) {
        let mut chunk = chunk(json!([]));
        chunk["usage"] = used;
        finish.push(data(&chunk));
    }
    Events {
        start: vec![family.prelude(), data(&role)],
        tokens,
        finish,
        marker: DONE,
        ping: delta(json!({"content": ""})),
        comment: family.comment(),
        error: call.in_band().map_or_else(Bytes::new, |failure| {
            family.in_band(&failure, |reason| {
                chunk(choice(json!({"content": ""}), reason))
            })
        }),
        ..Events::default()
    }
}

pub(crate) fn models() -> Value {
    let model =
        |id: &&str| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "mock"});
    let plain = [
        "gpt-4o",
        "gpt-4o-mini",
        "claude-sonnet-4-5",
        "text-embedding-3-small",
    ];
    let data: Vec<Value> = plain.iter().chain(names::ALL).map(model).collect();
    json!({"object": "list", "data": data})
}

fn id(dialect: Dialect, call: &Call<'_>) -> String {
    match dialect {
        Dialect::OpenRouter => format!("gen-mock-{}", call.number),
        _ => format!("chatcmpl-mock-{}", call.number),
    }
}

fn tool_call(call: &Call<'_>, index: usize, name: &str, arguments: &str) -> Value {
    json!({
        "id": format!("call_mock_{}_{index}", call.number),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    })
}

fn usage(family: Family, call: &Call<'_>, content: usize) -> Value {
    let prompt = call.asked.prompt_tokens();
    let reasoning = call.reply.reasoning.len();
    let mut usage = json!({
        "prompt_tokens": prompt,
        "completion_tokens": content + reasoning,
        "total_tokens": prompt + content + reasoning,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    });
    family.price(&mut usage);
    usage
}
