//! Readers of each dialect's stream, written from the providers' descriptions and sharing no line with
//! the mock: its frames are taken apart here with a decoder and a checksum of their own.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A streamed endpoint: which dialect the log must tell, where it is, and what is sent there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken {
    pub(crate) dialect: &'static str,
    pub(crate) path: &'static str,
    reader: fn(&mut Seen, &[u8]) -> Option<()>,
}

/// What a caller makes of a stream.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) texts: Vec<String>,
    pub(crate) reasoning: Vec<String>,
    pub(crate) tools: usize,
    pub(crate) finish: Option<String>,
    /// Output tokens.
    pub(crate) usage: Option<u64>,
    pub(crate) error: Option<String>,
    /// The dialect's end evidence was there.
    pub(crate) ended: bool,
    /// Events or frames in all.
    pub(crate) events: usize,
}

/// Every streamed dialect, with a model `m`.
pub(crate) const ALL: &[Spoken] = &[
    Spoken::new("openai", "/v1/chat/completions", openai_chat),
    Spoken::new(
        "azure",
        "/openai/deployments/m/chat/completions?api-version=2024-10-21",
        openai_chat,
    ),
    Spoken::new(
        "azure",
        "/openai/v1/chat/completions?api-version=preview",
        openai_chat,
    ),
    Spoken::new("mistral", "/mistral/v1/chat/completions", openai_chat),
    Spoken::new("groq", "/openai/v1/chat/completions", openai_chat),
    Spoken::new("openrouter", "/api/v1/chat/completions", openai_chat),
    Spoken::new("llama.cpp", "/llama.cpp/v1/chat/completions", openai_chat),
    Spoken::new("vllm", "/vllm/v1/chat/completions", openai_chat),
    Spoken::new("sglang", "/sglang/v1/chat/completions", openai_chat),
    Spoken::new("tgi", "/tgi/v1/chat/completions", openai_chat),
    Spoken::new("ollama", "/ollama/v1/chat/completions", openai_chat),
    Spoken::new("openai-responses", "/v1/responses", responses),
    Spoken::new("azure-responses", "/openai/v1/responses", responses),
    Spoken::new("anthropic", "/v1/messages", anthropic),
    Spoken::new(
        "vertex-anthropic",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict",
        anthropic,
    ),
    Spoken::new(
        "gemini",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        gemini_sse,
    ),
    Spoken::new(
        "gemini",
        "/v1beta/models/m:streamGenerateContent",
        gemini_array,
    ),
    Spoken::new("bedrock", "/model/m/converse-stream", converse),
    Spoken::new(
        "bedrock-invoke",
        "/model/m/invoke-with-response-stream",
        invoke,
    ),
    Spoken::new("cohere", "/v2/chat", cohere),
];

// === impl Spoken ===

impl Spoken {
    const fn new(
        dialect: &'static str,
        path: &'static str,
        reader: fn(&mut Seen, &[u8]) -> Option<()>,
    ) -> Self {
        Self {
            dialect,
            path,
            reader,
        }
    }

    pub(crate) fn of(dialect: &str) -> Self {
        *ALL.iter().find(|it| it.dialect == dialect).unwrap()
    }

    pub(crate) fn request(&self) -> Vec<u8> {
        let body = json!({"model": "m", "stream": true, "messages": []});
        super::request("POST", self.path, &body.to_string())
    }

    /// `None` for what cannot be read.
    pub(crate) fn read(&self, body: &[u8]) -> Option<Seen> {
        let mut seen = Seen::default();
        (self.reader)(&mut seen, body)?;
        Some(seen)
    }
}

/// Name and data of each event that was ended by an empty line.
pub(crate) fn sse(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?.replace("\r\n", "\n");
    let mut events = Vec::new();
    let whole = &text[..text.rfind("\n\n").map_or(0, |at| at + 1)];
    for event in whole.split("\n\n") {
        let mut fields = BTreeMap::<&str, String>::new();
        for line in event.lines().filter(|line| !line.starts_with(':')) {
            let (name, value) = line.split_once(':')?;
            fields.insert(name, value.trim_start_matches(' ').to_owned());
        }
        if let Some(data) = fields.remove("data") {
            events.push((fields.remove("event").unwrap_or_default(), data));
        }
    }
    Some(events)
}

/// Headers and payload of each whole frame, checksums checked.
pub(crate) fn frames(mut bytes: &[u8]) -> Option<Vec<(BTreeMap<String, String>, Value)>> {
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?));
    let mut frames = Vec::new();
    while bytes.len() >= 12 {
        let (total, headers) = (number(bytes)? as usize, number(&bytes[4..])? as usize);
        if number(&bytes[8..])? != crc32(&bytes[..8]) {
            return None;
        }
        let Some(frame) = bytes.get(..total) else {
            break;
        };
        if number(&frame[total - 4..])? != crc32(&frame[..total - 4]) {
            return None;
        }
        let (mut head, payload) = frame[12..total - 4].split_at(headers);
        let mut names = BTreeMap::new();
        while let Some((&length, rest)) = head.split_first() {
            let (name, rest) = rest.split_at(usize::from(length));
            assert_eq!(rest[0], 7, "a string");
            let length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
            let (value, rest) = rest[3..].split_at(length);
            names.insert(
                String::from_utf8(name.to_vec()).ok()?,
                String::from_utf8(value.to_vec()).ok()?,
            );
            head = rest;
        }
        frames.push((names, serde_json::from_slice(payload).ok()?));
        bytes = &bytes[total..];
    }
    Some(frames)
}

/// The checksum of gzip and PNG, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (!(crc & 1)).wrapping_add(1))
        })
    })
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn openai_chat(seen: &mut Seen, body: &[u8]) -> Option<()> {
    for (_, data) in sse(body)? {
        seen.events += 1;
        if data == "[DONE]" {
            // Some say so after an error too, which makes it no success.
            seen.ended = seen.error.is_none();
            continue;
        }
        let chunk: Value = serde_json::from_str(&data).ok()?;
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        seen.texts.extend(text(&delta["content"]));
        seen.reasoning.extend(text(&delta["reasoning_content"]));
        seen.reasoning.extend(text(&delta["reasoning"]));
        seen.reasoning
            .extend(text(&delta["content"][0]["thinking"][0]["text"]));
        seen.tools += usize::from(delta["tool_calls"][0]["id"].is_string());
        if let Some(reason) = text(&choice["finish_reason"]) {
            if reason == "error" {
                seen.error = Some(reason);
            } else {
                seen.finish = Some(reason);
            }
        }
        let usage = [&chunk["usage"], &chunk["x_groq"]["usage"]];
        for usage in usage {
            seen.usage = usage["completion_tokens"].as_u64().or(seen.usage);
        }
        for error in [&chunk["error"], &chunk["x_groq"]["error"]] {
            if !error.is_null() {
                seen.error = Some(error.to_string());
            }
        }
    }
    Some(())
}

fn responses(seen: &mut Seen, body: &[u8]) -> Option<()> {
    for (name, data) in sse(body)? {
        let data: Value = serde_json::from_str(&data).ok()?;
        assert_eq!(data["type"], *name);
        assert_eq!(data["sequence_number"], seen.events, "without gaps, from 0");
        seen.events += 1;
        match name.as_str() {
            "response.output_text.delta" => seen.texts.extend(text(&data["delta"])),
            "response.reasoning_summary_text.delta" => seen.reasoning.extend(text(&data["delta"])),
            "response.output_item.added" => {
                seen.tools += usize::from(data["item"]["type"] == "function_call");
            }
            "response.completed" | "response.incomplete" => {
                seen.ended = true;
                seen.finish = text(&data["response"]["status"]);
                seen.usage = data["response"]["usage"]["output_tokens"].as_u64();
            }
            "response.failed" => seen.error = text(&data["response"]["error"]["code"]),
            "error" => seen.error = text(&data["code"]),
            _ => {}
        }
    }
    Some(())
}

fn anthropic(seen: &mut Seen, body: &[u8]) -> Option<()> {
    for (name, data) in sse(body)? {
        let data: Value = serde_json::from_str(&data).ok()?;
        assert_eq!(data["type"], *name);
        message(seen, &data);
    }
    Some(())
}

/// One event of Anthropic's.
fn message(seen: &mut Seen, data: &Value) {
    seen.events += 1;
    match data["type"].as_str().unwrap() {
        "content_block_start" => {
            seen.tools += usize::from(data["content_block"]["type"] == "tool_use");
        }
        "content_block_delta" => {
            seen.texts.extend(text(&data["delta"]["text"]));
            seen.reasoning.extend(text(&data["delta"]["thinking"]));
        }
        "message_delta" => {
            seen.finish = text(&data["delta"]["stop_reason"]);
            seen.usage = data["usage"]["output_tokens"].as_u64();
        }
        "message_stop" => seen.ended = true,
        "error" => seen.error = text(&data["error"]["type"]),
        _ => {}
    }
}

fn gemini_sse(seen: &mut Seen, body: &[u8]) -> Option<()> {
    for (_, data) in sse(body)? {
        candidate(seen, &serde_json::from_str(&data).ok()?);
    }
    Some(())
}

/// The whole elements of an array, whether it is closed or not.
fn gemini_array(seen: &mut Seen, body: &[u8]) -> Option<()> {
    let mut rest = match body {
        [] => return Some(()),
        [b'[', rest @ ..] => rest,
        _ => return None,
    };
    loop {
        let mut elements = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        match elements.next() {
            Some(Ok(element)) => candidate(seen, &element),
            Some(Err(error)) if error.is_eof() => return Some(()),
            Some(Err(_)) => return None,
            None => return Some(()),
        }
        rest = rest[elements.byte_offset()..].trim_ascii_start();
        match rest {
            [b',', more @ ..] => rest = more,
            [b']', ..] | [] => return Some(()),
            _ => return None,
        }
    }
}

/// One chunk of Gemini's.
fn candidate(seen: &mut Seen, chunk: &Value) {
    seen.events += 1;
    let candidate = &chunk["candidates"][0];
    for part in candidate["content"]["parts"]
        .as_array()
        .into_iter()
        .flatten()
    {
        match part["thought"] == true {
            true => seen.reasoning.extend(text(&part["text"])),
            false => seen.texts.extend(text(&part["text"])),
        }
        seen.tools += usize::from(part["functionCall"].is_object());
    }
    if let Some(reason) = text(&candidate["finishReason"]) {
        seen.ended = true;
        seen.finish = Some(reason);
        let usage = &chunk["usageMetadata"];
        let count = |name: &str| usage[name].as_u64().unwrap();
        seen.usage = Some(count("candidatesTokenCount") + count("thoughtsTokenCount"));
    }
    seen.error = text(&chunk["error"]["status"]).or(seen.error.take());
}

fn converse(seen: &mut Seen, body: &[u8]) -> Option<()> {
    for (headers, payload) in frames(body)? {
        seen.events += 1;
        if headers[":message-type"] == "exception" {
            seen.error = Some(headers[":exception-type"].clone());
            continue;
        }
        match headers[":event-type"].as_str() {
            "contentBlockStart" => {
                seen.tools += usize::from(payload["start"]["toolUse"].is_object());
            }
            "contentBlockDelta" => {
                seen.texts.extend(text(&payload["delta"]["text"]));
                seen.reasoning
                    .extend(text(&payload["delta"]["reasoningContent"]["text"]));
            }
            "messageStop" => {
                seen.ended = true;
                seen.finish = text(&payload["stopReason"]);
            }
            "metadata" => seen.usage = payload["usage"]["outputTokens"].as_u64(),
            _ => {}
        }
    }
    Some(())
}

fn invoke(seen: &mut Seen, body: &[u8]) -> Option<()> {
    for (headers, payload) in frames(body)? {
        if headers[":message-type"] == "exception" {
            seen.events += 1;
            seen.error = Some(headers[":exception-type"].clone());
        } else if headers[":event-type"] == "chunk" {
            let bytes = STANDARD.decode(payload["bytes"].as_str()?).ok()?;
            message(seen, &serde_json::from_slice(&bytes).ok()?);
        } else {
            seen.events += 1;
        }
    }
    Some(())
}

fn cohere(seen: &mut Seen, body: &[u8]) -> Option<()> {
    for (name, data) in sse(body)? {
        seen.events += 1;
        let data: Value = serde_json::from_str(&data).ok()?;
        assert_eq!(data["type"], *name);
        let content = &data["delta"]["message"]["content"];
        match name.as_str() {
            "content-delta" => {
                seen.texts.extend(text(&content["text"]));
                seen.reasoning.extend(text(&content["thinking"]));
            }
            "tool-call-start" => seen.tools += 1,
            "message-end" => {
                let delta = &data["delta"];
                seen.error = text(&delta["error"]);
                seen.ended = seen.error.is_none();
                seen.finish = text(&delta["finish_reason"]);
                seen.usage = delta["usage"]["tokens"]["output_tokens"].as_u64();
            }
            _ => {}
        }
    }
    Some(())
}
