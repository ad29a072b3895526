//! OpenAI's chat completions: documents, chunks and errors
//! (<https://platform.openai.com/docs/api-reference/chat>).

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::handler::Call;
use crate::names;
use crate::plan::{Document, Events};
use crate::reply::Fault;

/// The same in every answer, so that answers can be compared.
const CREATED: u64 = 1_700_000_000;
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

pub(crate) fn completion(call: &Call<'_>) -> Document {
    let content = call.content();
    let tool_calls: Vec<Value> = call
        .reply
        .tool_calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| tool_call(call, index, name, arguments))
        .collect();
    let mut message = json!({"role": "assistant", "content": content.concat(), "refusal": null});
    if !call.reply.reasoning.is_empty() {
        message["reasoning_content"] = call.reply.reasoning.concat().into();
    }
    if !tool_calls.is_empty() {
        if content.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = tool_calls.into();
    }
    let document = json!({
        "id": id(call),
        "object": "chat.completion",
        "created": CREATED,
        "model": call.asked.model(),
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish_reason(call),
        }],
        "usage": usage(call, content.len()),
        "system_fingerprint": "fp_mock",
    });
    Document {
        status: call.reply.status,
        body: document.to_string().into(),
        tokens: content.len() + call.reply.reasoning.len(),
    }
}

pub(crate) fn events(call: &Call<'_>) -> Events {
    let content = call.content();
    let with_usage = call.asked.body["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": id(call),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": call.asked.model(),
            "system_fingerprint": "fp_mock",
            "choices": choices,
        });
        if with_usage {
            chunk["usage"] = usage;
        }
        data(&chunk)
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let delta = |delta: Value| chunk(choice(delta, Value::Null), Value::Null);

    let mut tokens = Vec::new();
    for token in &call.reply.reasoning {
        tokens.push(delta(json!({"reasoning_content": token})));
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
    let mut finish = vec![chunk(
        choice(json!({}), finish_reason(call).into()),
        Value::Null,
    )];
    if with_usage {
        finish.push(chunk(json!([]), usage(call, content.len())));
    }
    let code = match &call.reply.fault {
        Fault::ErrorInBand(_, code) => Some(code.as_str()),
        _ => None,
    };
    Events {
        start: vec![delta(
            json!({"role": "assistant", "content": "", "refusal": null}),
        )],
        tokens,
        finish,
        marker: DONE,
        ping: delta(json!({"content": ""})),
        error: data(&error(StatusCode::INTERNAL_SERVER_ERROR, code)),
    }
}

/// `{"error": {..}}` with the type and code that go with the status, unless another code is given.
pub(crate) fn error(status: StatusCode, code: Option<&str>) -> Value {
    let (kind, usual) = match status.as_u16() {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        503 => ("server_error", Some("server_is_overloaded")),
        400..=499 => ("invalid_request_error", None),
        _ => ("server_error", None),
    };
    let kind = match code {
        Some("insufficient_quota") => "insufficient_quota",
        _ => kind,
    };
    json!({"error": {
        "message": "scripted by the mock",
        "type": kind,
        "param": null,
        "code": code.or(usual),
    }})
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

fn id(call: &Call<'_>) -> String {
    format!("chatcmpl-mock-{}", call.number)
}

fn tool_call(call: &Call<'_>, index: usize, name: &str, arguments: &str) -> Value {
    json!({
        "id": format!("call_mock_{}_{index}", call.number),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    })
}

fn finish_reason(call: &Call<'_>) -> String {
    let usual = match call.reply.tool_calls.is_empty() {
        true => "stop",
        false => "tool_calls",
    };
    call.reply
        .finish_reason
        .clone()
        .unwrap_or_else(|| usual.to_owned())
}

fn usage(call: &Call<'_>, content: usize) -> Value {
    let prompt = call.asked.prompt_tokens();
    let reasoning = call.reply.reasoning.len();
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": content + reasoning,
        "total_tokens": prompt + content + reasoning,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    })
}

fn data(event: &Value) -> Bytes {
    format!("data: {event}\n\n").into()
}
