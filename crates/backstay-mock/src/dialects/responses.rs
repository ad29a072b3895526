//! OpenAI's Responses: documents, events and errors
//! (<https://platform.openai.com/docs/api-reference/responses-streaming>).

use bytes::Bytes;
use serde_json::{Value, json};

use super::blocks::{Blocks, Rendered};
use super::openai_chat::CREATED;
use crate::answer::{Document, Events, MESSAGE};
use crate::call::Call;

/// Stands in every event until its place in the stream is known. In a string the quotes would be escaped,
/// so it occurs nowhere else.
const NUMBER: &[u8] = b"\"sequence_number\":-1";

/// The reasons with which an answer is `incomplete`.
const INCOMPLETE: [&str; 2] = ["max_output_tokens", "content_filter"];

pub(super) fn document(call: &Call<'_>) -> Document {
    let content = call.content();
    let document = finished(call, &content);
    call.document(&document, content.len())
}

pub(super) fn events(call: &Call<'_>) -> Events {
    let content = call.content();
    let mut blocks = Blocks::default();
    if !call.reply.reasoning.is_empty() {
        reasoning(call, &mut blocks);
    }
    if !content.is_empty() || call.reply.tool_calls.is_empty() {
        message(call, &content, &mut blocks);
    }
    for index in 0..call.reply.tool_calls.len() {
        function_call(call, index, &mut blocks);
    }
    let Rendered {
        first,
        tokens,
        last,
    } = blocks.close();

    let begun = envelope(call, "in_progress");
    let done = finished(call, &content);
    let end = match done["status"].as_str() {
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    let error = |code: &str, closing: bool| match closing {
        true => event("response.failed", json!({"response": failed(call, code)})),
        false => event(
            "error",
            json!({"code": code, "message": MESSAGE, "param": null}),
        ),
    };
    Events {
        start: vec![
            event("response.created", json!({"response": begun})),
            event("response.in_progress", json!({"response": begun})),
            first,
        ],
        tokens,
        finish: vec![last],
        marker: event(end, json!({"response": done})),
        // Not in OpenAI's reference, but sent while a model is silent: openai/openai-node#1964.
        ping: event("keepalive", json!({})),
        error: call
            .in_band()
            .map_or_else(Bytes::new, |failure| error(failure.code, failure.closing)),
        dress: Some(number),
        ..Events::default()
    }
}

/// A response that failed, as `response.failed` carries it.
pub(super) fn failed(call: &Call<'_>, code: &str) -> Value {
    let mut response = envelope(call, "failed");
    response["error"] = json!({"code": code, "message": MESSAGE});
    response
}

/// What cancelling a background response answers.
pub(crate) fn cancelled(id: &str) -> Value {
    json!({
        "id": id,
        "object": "response",
        "created_at": CREATED,
        "status": "cancelled",
        "background": true,
        "error": null,
        "output": [],
        "usage": null,
    })
}

fn reasoning(call: &Call<'_>, blocks: &mut Blocks) {
    let at = blocks.next();
    let done = reasoning_item(call);
    let id = done["id"].clone();
    let mut begun = done.clone();
    begun["summary"] = json!([]);
    let part = |text: &str| json!({"type": "summary_text", "text": text});
    let place = |mut data: Value| {
        data["item_id"] = id.clone();
        data["output_index"] = at.into();
        data["summary_index"] = 0.into();
        data
    };
    let text = call.reply.reasoning.concat();
    blocks.open(
        join(&[
            added(at, &begun),
            event(
                "response.reasoning_summary_part.added",
                place(json!({"part": part("")})),
            ),
        ]),
        join(&[
            event(
                "response.reasoning_summary_text.done",
                place(json!({"text": text})),
            ),
            event(
                "response.reasoning_summary_part.done",
                place(json!({"part": part(&text)})),
            ),
            item_done(at, &done),
        ]),
    );
    for token in &call.reply.reasoning {
        let data = place(json!({"delta": token}));
        blocks.token(&event("response.reasoning_summary_text.delta", data));
    }
}

fn message(call: &Call<'_>, content: &[String], blocks: &mut Blocks) {
    let at = blocks.next();
    let done = message_item(call, content);
    let id = done["id"].clone();
    let mut begun = done.clone();
    begun["status"] = "in_progress".into();
    begun["content"] = json!([]);
    let place = |mut data: Value| {
        data["item_id"] = id.clone();
        data["output_index"] = at.into();
        data["content_index"] = 0.into();
        data
    };
    let empty = text_part("");
    blocks.open(
        join(&[
            added(at, &begun),
            event("response.content_part.added", place(json!({"part": empty}))),
        ]),
        join(&[
            event(
                "response.output_text.done",
                place(json!({"text": content.concat(), "logprobs": []})),
            ),
            event(
                "response.content_part.done",
                place(json!({"part": done["content"][0]})),
            ),
            item_done(at, &done),
        ]),
    );
    for token in content {
        let data = place(json!({"delta": token, "logprobs": []}));
        blocks.token(&event("response.output_text.delta", data));
    }
}

fn function_call(call: &Call<'_>, index: usize, blocks: &mut Blocks) {
    let at = blocks.next();
    let done = function_item(call, index);
    let (id, arguments) = (done["id"].clone(), done["arguments"].clone());
    let mut begun = done.clone();
    begun["status"] = "in_progress".into();
    begun["arguments"] = "".into();
    let place = |key: &str| json!({"item_id": id, "output_index": at, key: arguments});
    blocks.open(
        added(at, &begun),
        join(&[
            event("response.function_call_arguments.done", place("arguments")),
            item_done(at, &done),
        ]),
    );
    blocks.token(&event(
        "response.function_call_arguments.delta",
        place("delta"),
    ));
}

/// The response at its end: completed, or incomplete for one of the reasons there are.
fn finished(call: &Call<'_>, content: &[String]) -> Value {
    let reason = call.reply.finish_reason.as_deref();
    let cut_short = reason.filter(|reason| INCOMPLETE.contains(reason));
    let mut response = envelope(
        call,
        if cut_short.is_some() {
            "incomplete"
        } else {
            "completed"
        },
    );
    if let Some(reason) = cut_short {
        response["incomplete_details"] = json!({"reason": reason});
    }
    let mut output = Vec::new();
    if !call.reply.reasoning.is_empty() {
        output.push(reasoning_item(call));
    }
    if !content.is_empty() || call.reply.tool_calls.is_empty() {
        output.push(message_item(call, content));
    }
    output.extend((0..call.reply.tool_calls.len()).map(|index| function_item(call, index)));
    response["output"] = output.into();
    let (input, generated) = (
        call.asked.prompt_tokens(),
        call.output_tokens(content.len()),
    );
    response["usage"] = json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": generated,
        "output_tokens_details": {"reasoning_tokens": call.reply.reasoning.len()},
        "total_tokens": input + generated,
    });
    response
}

fn envelope(call: &Call<'_>, status: &str) -> Value {
    json!({
        "id": format!("resp_mock_{}", call.number),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": call.asked.model(),
        "output": [],
        "usage": null,
    })
}

fn reasoning_item(call: &Call<'_>) -> Value {
    json!({
        "id": format!("rs_mock_{}", call.number),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": call.reply.reasoning.concat()}],
    })
}

fn message_item(call: &Call<'_>, content: &[String]) -> Value {
    json!({
        "id": format!("msg_mock_{}", call.number),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [text_part(&content.concat())],
    })
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn function_item(call: &Call<'_>, index: usize) -> Value {
    let (name, arguments) = &call.reply.tool_calls[index];
    json!({
        "id": format!("fc_mock_{}_{index}", call.number),
        "type": "function_call",
        "status": "completed",
        "call_id": format!("call_mock_{}_{index}", call.number),
        "name": name,
        "arguments": arguments,
    })
}

fn added(at: usize, item: &Value) -> Bytes {
    event(
        "response.output_item.added",
        json!({"output_index": at, "item": item}),
    )
}

fn item_done(at: usize, item: &Value) -> Bytes {
    event(
        "response.output_item.done",
        json!({"output_index": at, "item": item}),
    )
}

fn join(events: &[Bytes]) -> Bytes {
    events.concat().into()
}

fn event(name: &str, mut data: Value) -> Bytes {
    data["type"] = name.into();
    data["sequence_number"] = (-1).into();
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Numbers the events of a piece of the stream, `next` being the first one's number.
fn number(next: &mut u64, bytes: Bytes) -> Bytes {
    let mut numbered = Vec::with_capacity(bytes.len() + 8);
    let mut rest = bytes.as_ref();
    while let Some(at) = rest
        .windows(NUMBER.len())
        .position(|window| window == NUMBER)
    {
        numbered.extend_from_slice(&rest[..at]);
        numbered.extend_from_slice(format!("\"sequence_number\":{next}").as_bytes());
        *next += 1;
        rest = &rest[at + NUMBER.len()..];
    }
    numbered.extend_from_slice(rest);
    numbered.into()
}
