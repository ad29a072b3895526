//! The OpenAI-shaped family: where its members differ from each other.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::MESSAGE;
use crate::call::InBand;
use crate::dialect::Dialect;

/// When a stream says what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// In a chunk of its own after the last one, if the request asks for it.
    Asked,
    /// In a chunk of its own, always.
    Always,
    /// In the chunk with the finish reason.
    InFinish,
}

/// What sets one member apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    dialect: Dialect,
    pub(super) usage: Usage,
}

// === impl Family ===

impl Family {
    pub(super) fn of(dialect: Dialect) -> Self {
        let usage = match dialect {
            Dialect::Mistral => Usage::InFinish,
            Dialect::OpenRouter => Usage::Always,
            _ => Usage::Asked,
        };
        Self { dialect, usage }
    }

    /// What a stream starts with, before the chunk with the role.
    pub(super) fn prelude(self) -> Bytes {
        match self.dialect {
            Dialect::OpenRouter => self.comment(),
            // Azure judges the prompt before it says anything.
            Dialect::AzureChat => data(&json!({
                "id": "", "object": "", "created": 0, "model": "", "choices": [],
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
            })),
            _ => Bytes::new(),
        }
    }

    pub(super) fn comment(self) -> Bytes {
        match self.dialect {
            Dialect::OpenRouter => Bytes::from_static(b": OPENROUTER PROCESSING\n\n"),
            Dialect::LlamaCpp => Bytes::from_static(b": ping\n\n"),
            _ => Bytes::from_static(b": still working\n\n"),
        }
    }

    /// The delta of the first chunk.
    pub(super) fn role(self) -> Value {
        match self.dialect {
            Dialect::LlamaCpp => json!({"role": "assistant", "content": null}),
            Dialect::OpenAiChat | Dialect::AzureChat => {
                json!({"role": "assistant", "content": "", "refusal": null})
            }
            _ => json!({"role": "assistant", "content": ""}),
        }
    }

    /// The delta, or the fields of the message, that hold reasoning.
    pub(super) fn reasoning(self, text: &str) -> Value {
        match self.dialect {
            Dialect::Mistral => json!({"content": [thinking(text)]}),
            Dialect::Groq | Dialect::OpenRouter | Dialect::Ollama => json!({"reasoning": text}),
            _ => json!({"reasoning_content": text}),
        }
    }

    /// What a whole message has where there was reasoning before its content.
    pub(super) fn reason(self, message: &mut Value, text: &str) {
        if self.dialect == Dialect::Mistral {
            let said = message["content"].take();
            message["content"] = json!([thinking(text), {"type": "text", "text": said}]);
            return;
        }
        if let (Value::Object(message), Value::Object(fields)) = (message, self.reasoning(text)) {
            message.extend(fields);
        }
    }

    /// What is added to each chunk and document.
    pub(super) fn sign(self, document: &mut Value) {
        match self.dialect {
            Dialect::OpenAiChat | Dialect::AzureChat | Dialect::Groq => {
                document["system_fingerprint"] = "fp_mock".into();
            }
            Dialect::OpenRouter => document["provider"] = "Mock".into(),
            _ => {}
        }
    }

    /// Groq's own field, in the first and in the last chunk.
    pub(super) fn x_groq(self, number: u64, usage: Option<&Value>) -> Option<Value> {
        let mut field = json!({"id": format!("req_mock_{number}")});
        if let Some(usage) = usage {
            field["usage"] = usage.clone();
        }
        (self.dialect == Dialect::Groq).then_some(field)
    }

    pub(super) fn price(self, usage: &mut Value) {
        match self.dialect {
            Dialect::OpenRouter => usage["cost"] = json!(0.000_1),
            Dialect::Groq => usage["total_time"] = json!(0.01),
            _ => {}
        }
    }

    /// An error in the stream; `chunk` is one with an empty delta and this finish reason.
    pub(super) fn in_band(self, failure: &InBand<'_>, chunk: impl Fn(Value) -> Value) -> Bytes {
        let InBand { code, closing } = *failure;
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        match self.dialect {
            Dialect::Mistral => data(&chunk("error".into())),
            Dialect::OpenRouter => {
                let mut chunk = chunk("error".into());
                chunk["error"] = error_of_openrouter(code)["error"].take();
                data(&chunk)
            }
            Dialect::Groq if !closing => {
                let mut chunk = chunk(Value::Null);
                chunk["x_groq"] = json!({"id": chunk["id"], "error": code});
                data(&chunk)
            }
            // The field of builds before llama.cpp#16109: to a reader of SSE it is an unknown one.
            Dialect::LlamaCpp if closing => {
                let error = error(self.dialect, status, Some(code))["error"].take();
                format!("error: {error}\n\ndata: [DONE]\n\n").into()
            }
            // These say that they are done, after an error too.
            Dialect::Vllm | Dialect::Sglang | Dialect::LlamaCpp => {
                let error = match error(self.dialect, status, Some(code)) {
                    wrapped if wrapped["error"].is_object() => wrapped,
                    bare => json!({"error": bare}),
                };
                format!("data: {error}\n\ndata: [DONE]\n\n").into()
            }
            _ => data(&error(self.dialect, status, Some(code))),
        }
    }
}

/// The error document with what goes with the status, unless another code is given.
pub(super) fn error(dialect: Dialect, status: StatusCode, code: Option<&str>) -> Value {
    let number = status.as_u16();
    match dialect {
        Dialect::AzureChat | Dialect::AzureResponses => {
            let usual = match number {
                404 => "DeploymentNotFound".to_owned(),
                number => number.to_string(),
            };
            json!({"error": {"code": code.map_or(usual, str::to_owned), "message": MESSAGE}})
        }
        Dialect::Mistral if number == 422 => json!({"object": "error", "message": {
            "detail": [{"type": "missing", "loc": ["body", "messages"], "msg": MESSAGE}],
        }, "type": "invalid_request_error", "param": null, "code": null}),
        Dialect::Mistral => {
            let (kind, usual) = kind(number);
            json!({
                "object": "error", "message": MESSAGE, "type": kind, "param": null,
                "code": code.or(usual),
            })
        }
        Dialect::OpenRouter => {
            let metadata = json!({"provider_name": "Mock", "raw": code});
            json!({"error": {"code": number, "message": MESSAGE, "metadata": metadata}})
        }
        Dialect::LlamaCpp => {
            let kind = code.unwrap_or(kind(number).0);
            json!({"error": {"code": number, "message": MESSAGE, "type": kind}})
        }
        Dialect::Vllm => {
            let kind = code.unwrap_or(python_kind(number));
            json!({"error": {"message": MESSAGE, "type": kind, "param": null, "code": number}})
        }
        Dialect::Sglang => {
            let kind = code.unwrap_or(python_kind(number));
            json!({
                "object": "error", "message": MESSAGE, "type": kind, "param": null, "code": number,
            })
        }
        Dialect::Tgi => {
            let kind = code.unwrap_or(match number {
                424 => "generation",
                429 => "overloaded",
                _ => "validation",
            });
            json!({"error": MESSAGE, "error_type": kind})
        }
        _ => {
            let (usual_kind, usual) = kind(number);
            let kind = match code {
                Some("insufficient_quota") => "insufficient_quota",
                _ => usual_kind,
            };
            json!({"error": {
                "message": MESSAGE,
                "type": kind,
                "param": null,
                "code": code.or(usual),
            }})
        }
    }
}

/// OpenRouter's error of a provider behind it: the whole of a 200, or a part of a chunk.
pub(super) fn error_of_openrouter(code: &str) -> Value {
    let number = code.parse::<u16>();
    let code = number.map_or_else(|_| Value::from(code), Value::from);
    let metadata = json!({"provider_name": "Mock", "raw": MESSAGE});
    json!({"error": {"code": code, "message": MESSAGE, "metadata": metadata}})
}

/// OpenAI's type and code for a status.
fn kind(status: u16) -> (&'static str, Option<&'static str>) {
    match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        503 => ("server_error", Some("server_is_overloaded")),
        400..=499 => ("invalid_request_error", None),
        _ => ("server_error", None),
    }
}

fn python_kind(status: u16) -> &'static str {
    match status {
        404 => "NotFoundError",
        400..=499 => "BadRequestError",
        _ => "InternalServerError",
    }
}

fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": [{"type": "text", "text": text}]})
}

pub(super) fn data(event: &Value) -> Bytes {
    format!("data: {event}\n\n").into()
}
