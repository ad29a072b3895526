//! Every streamed dialect: where it is spoken, and how a call for it looks.

use backstay::{
    Body,
    dialect::{
        AzureOpenAi, BedrockAnthropic, BedrockConverse, CohereChat, Gemini, Groq, Mistral,
        OpenAiCompatible, OpenAiResponses, OpenRouter, VertexAnthropic,
    },
    fallback::Target,
};
use http::{Request, header::CONTENT_TYPE};
use std::fmt;

/// An endpoint that streams.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Spoken {
    /// What the mock's log calls it.
    pub dialect: &'static str,
    /// Path and query. `{model}` stands for the model.
    path: &'static str,
    body: &'static str,
    /// A target that says whose words these are, where host and path do not.
    told: fn(Target) -> Target,
    /// What the provider says in a stream when it is overloaded, if it has a word for that.
    pub overloaded: Option<&'static str>,
    /// Its stream names the answer.
    pub has_id: bool,
}

/// All of them. Each has its own way to say that it is overloaded, and to end.
pub const SPOKEN: [Spoken; 20] = [
    Spoken::chat("openai", "/v1/chat/completions"),
    Spoken {
        body: r#"{"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#,
        told: |target| target.dialect(AzureOpenAi),
        ..Spoken::chat(
            "azure",
            "/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
        )
    },
    Spoken {
        told: |target| target.dialect(AzureOpenAi),
        ..Spoken::chat("azure", "/openai/v1/chat/completions?api-version=preview")
    },
    Spoken {
        told: |target| target.dialect(Mistral),
        // Its error is a finish reason.
        overloaded: None,
        ..Spoken::chat("mistral", "/mistral/v1/chat/completions")
    },
    Spoken {
        told: |target| target.dialect(Groq),
        // A text, not a word.
        overloaded: None,
        ..Spoken::chat("groq", "/openai/v1/chat/completions")
    },
    Spoken {
        told: |target| target.dialect(OpenRouter),
        overloaded: Some("503"),
        ..Spoken::chat("openrouter", "/api/v1/chat/completions")
    },
    Spoken {
        told: |target| target.dialect(OpenAiCompatible::SELF_HOSTED),
        overloaded: None,
        ..Spoken::chat("llama.cpp", "/llama.cpp/v1/chat/completions")
    },
    Spoken {
        told: |target| target.dialect(OpenAiCompatible::SELF_HOSTED),
        overloaded: None,
        ..Spoken::chat("vllm", "/vllm/v1/chat/completions")
    },
    Spoken {
        told: |target| target.dialect(OpenAiCompatible::SELF_HOSTED),
        overloaded: None,
        ..Spoken::chat("sglang", "/sglang/v1/chat/completions")
    },
    Spoken {
        told: |target| target.dialect(OpenAiCompatible::SELF_HOSTED),
        overloaded: Some("overloaded"),
        ..Spoken::chat("tgi", "/tgi/v1/chat/completions")
    },
    Spoken {
        told: |target| target.dialect(OpenAiCompatible::SELF_HOSTED),
        overloaded: None,
        ..Spoken::chat("ollama", "/ollama/v1/chat/completions")
    },
    Spoken {
        body: RESPONSES,
        told: |target| target.dialect(OpenAiResponses),
        ..Spoken::chat("openai-responses", "/v1/responses")
    },
    Spoken {
        body: RESPONSES,
        told: |target| target.dialect(OpenAiResponses),
        ..Spoken::chat("azure-responses", "/openai/v1/responses")
    },
    Spoken {
        body: r#"{"model":"{model}","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#,
        told: |target| target,
        overloaded: Some("overloaded_error"),
        ..Spoken::chat("anthropic", "/v1/messages")
    },
    Spoken {
        body: MESSAGES_ELSEWHERE,
        told: |target| target.dialect(VertexAnthropic),
        overloaded: Some("overloaded_error"),
        ..Spoken::chat(
            "vertex-anthropic",
            "/v1/projects/p/locations/l/publishers/anthropic/models/{model}:streamRawPredict",
        )
    },
    Spoken {
        body: CONTENTS,
        told: |target| target.dialect(Gemini),
        overloaded: Some("UNAVAILABLE"),
        ..Spoken::chat(
            "gemini",
            "/v1beta/models/{model}:streamGenerateContent?alt=sse",
        )
    },
    Spoken {
        body: CONTENTS,
        told: |target| target.dialect(Gemini),
        overloaded: Some("UNAVAILABLE"),
        ..Spoken::chat("gemini", "/v1beta/models/{model}:streamGenerateContent")
    },
    Spoken {
        body: r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}"#,
        told: |target| target.dialect(BedrockConverse),
        overloaded: Some("serviceUnavailableException"),
        has_id: false,
        ..Spoken::chat("bedrock", "/model/{model}/converse-stream")
    },
    Spoken {
        body: MESSAGES_ELSEWHERE,
        told: |target| target.dialect(BedrockAnthropic),
        overloaded: Some("serviceUnavailableException"),
        has_id: false,
        // The path is one of Anthropic's by the name of the model.
        ..Spoken::chat(
            "bedrock-invoke",
            "/model/{model}/invoke-with-response-stream",
        )
    },
    Spoken {
        body: r#"{"model":"{model}","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#,
        told: |target| target.dialect(CohereChat),
        // It has no codes.
        overloaded: None,
        ..Spoken::chat("cohere", "/v2/chat")
    },
];

const RESPONSES: &str = r#"{"model":"{model}","stream":true,"input":"Hello"}"#;

/// The model is in the path.
const MESSAGES_ELSEWHERE: &str = r#"{"anthropic_version":"x","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;

const CONTENTS: &str = r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#;

// === impl Spoken ===

impl Spoken {
    const fn chat(dialect: &'static str, path: &'static str) -> Self {
        Self {
            dialect,
            path,
            body: r#"{"model":"{model}","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#,
            told: |target| target,
            overloaded: Some("server_is_overloaded"),
            has_id: true,
        }
    }

    /// The one of this name.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn of(dialect: &str) -> Self {
        let found = SPOKEN.into_iter().find(|it| it.dialect == dialect);
        found.expect("a dialect of the table")
    }

    /// The name of a model as it is called here.
    pub fn model(&self, name: &str) -> String {
        match self.dialect {
            "bedrock-invoke" => format!("anthropic.{name}"),
            _ => name.to_owned(),
        }
    }

    /// A target with this model.
    pub fn target(&self, name: &str) -> Target {
        (self.told)(Target::model(self.model(name)).name(name))
    }

    /// Asks a model for a stream. The name stands in the path as it is.
    pub fn request(&self, origin: &str, name: &str) -> Request<Body> {
        let model = self.model(name);
        let path = self.path.replace("{model}", &model);
        Request::post(format!("{origin}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(self.body.replace("{model}", &model).into())
            .unwrap()
    }
}

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.dialect, self.path)
    }
}
