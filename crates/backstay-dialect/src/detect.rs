//! The choice of a dialect by host and path.

use std::sync::{Arc, LazyLock};

use crate::{
    AnthropicMessages, AzureOpenAi, BedrockAnthropic, BedrockConverse, CohereChat, Dialect, Gemini,
    Groq, Mistral, OpenAiChat, OpenAiCompatible, OpenAiResponses, OpenRouter, Plain,
    VertexAnthropic, VertexGemini,
};

/// The dialect that is spoken at a host, on a path. The path tells the wire format:
/// `…/chat/completions`, `…/v1/responses`, `…/messages`, `…/v2/chat`, Google's
/// `…/models/{model}:generateContent`, Bedrock's `…/model/{id}/converse` and their like, else
/// [`Plain`]. The host tells the provider, if it is a known one; a host that is not known says
/// nothing. A port and a query are ignored.
///
/// ```
/// use backstay_dialect::detect;
///
/// assert_eq!(detect("", "/openai/v1/chat/completions?trace=1").name(), "openai-chat");
/// assert_eq!(detect("api.groq.com", "/openai/v1/chat/completions").name(), "groq");
/// assert_eq!(detect("api.anthropic.com", "/v1/messages").name(), "anthropic-messages");
/// assert_eq!(detect("", "/collections/docs/points/query").name(), "plain");
/// ```
#[must_use]
pub fn detect(host: &str, path: &str) -> &'static Arc<dyn Dialect> {
    let host = without_port(host);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    let known = &*KNOWN;
    known
        .rows
        .iter()
        .find(|row| fits(row.host, host) && fits(row.path, path))
        .map_or(&known.plain, |row| &row.dialect)
}

/// The dialects that are found by host and path, shared so that whoever keeps one need not make it.
struct Known {
    rows: Vec<Row>,
    /// For what no row fits.
    plain: Arc<dyn Dialect>,
}

/// Where a dialect is spoken.
struct Row {
    host: &'static str,
    path: &'static str,
    dialect: Arc<dyn Dialect>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(Known::new);

// === impl Known ===

impl Known {
    fn new() -> Self {
        let plain: Arc<dyn Dialect> = Arc::new(Plain);
        let anthropic_messages: Arc<dyn Dialect> = Arc::new(AnthropicMessages);
        let openai_chat: Arc<dyn Dialect> = Arc::new(OpenAiChat);
        let openai_responses: Arc<dyn Dialect> = Arc::new(OpenAiResponses);
        let azure_openai: Arc<dyn Dialect> = Arc::new(AzureOpenAi);
        let mistral: Arc<dyn Dialect> = Arc::new(Mistral);
        let groq: Arc<dyn Dialect> = Arc::new(Groq);
        let openrouter: Arc<dyn Dialect> = Arc::new(OpenRouter);
        let together: Arc<dyn Dialect> = Arc::new(OpenAiCompatible::TOGETHER);
        let cerebras: Arc<dyn Dialect> = Arc::new(OpenAiCompatible::CEREBRAS);
        let xai: Arc<dyn Dialect> = Arc::new(OpenAiCompatible::XAI);
        let deepseek: Arc<dyn Dialect> = Arc::new(OpenAiCompatible::DEEPSEEK);
        let vertex_anthropic: Arc<dyn Dialect> = Arc::new(VertexAnthropic);
        let vertex_gemini: Arc<dyn Dialect> = Arc::new(VertexGemini);
        let gemini: Arc<dyn Dialect> = Arc::new(Gemini);
        let bedrock_anthropic: Arc<dyn Dialect> = Arc::new(BedrockAnthropic);
        let bedrock_converse: Arc<dyn Dialect> = Arc::new(BedrockConverse);
        let cohere_chat: Arc<dyn Dialect> = Arc::new(CohereChat);

        // The first row that fits decides. `*` stands for any text, also for none.
        let rows = [
            // OpenAI's assistants had messages too, with no model in the body.
            ("*", "*/threads/*/messages", &plain),
            ("*", "*/messages", &anthropic_messages),
            // A path of many services ends with `/responses`; these are the ones of this shape.
            ("*", "/responses", &openai_responses),
            ("*", "*/v1/responses", &openai_responses),
            ("*", "*/openai/responses", &openai_responses),
            // Chat completions at a provider of its own words, then at any other.
            (
                "*",
                "*/openai/deployments/*/chat/completions",
                &azure_openai,
            ),
            ("*.openai.azure.com", "*/chat/completions", &azure_openai),
            (
                "*.services.ai.azure.com",
                "*/chat/completions",
                &azure_openai,
            ),
            (
                "*.cognitiveservices.azure.com",
                "*/chat/completions",
                &azure_openai,
            ),
            ("*.mistral.ai", "*/chat/completions", &mistral),
            ("api.groq.com", "*/chat/completions", &groq),
            ("openrouter.ai", "*/chat/completions", &openrouter),
            ("*.openrouter.ai", "*/chat/completions", &openrouter),
            ("api.together.xyz", "*/chat/completions", &together),
            ("api.together.ai", "*/chat/completions", &together),
            ("api.cerebras.ai", "*/chat/completions", &cerebras),
            ("*.x.ai", "*/chat/completions", &xai),
            ("api.deepseek.com", "*/chat/completions", &deepseek),
            ("*", "*/chat/completions", &openai_chat),
            // The patterns of Google's verbs fit their streams too.
            (
                "*",
                "*/publishers/anthropic/models/*:*rawPredict",
                &vertex_anthropic,
            ),
            (
                "*",
                "*/publishers/google/models/*:*generateContent",
                &vertex_gemini,
            ),
            ("*", "*/endpoints/*:*generateContent", &vertex_gemini),
            ("*", "*/models/*:*generateContent", &gemini),
            ("*", "*/tunedModels/*:*generateContent", &gemini),
            ("*", "*/model/*/converse", &bedrock_converse),
            ("*", "*/model/*/converse-stream", &bedrock_converse),
            // Other makers' models have bodies of their own.
            ("*", "*/model/*anthropic.*/invoke", &bedrock_anthropic),
            (
                "*",
                "*/model/*anthropic.*/invoke-with-response-stream",
                &bedrock_anthropic,
            ),
            ("*", "*/v2/chat", &cohere_chat),
        ]
        .map(|(host, path, dialect)| Row {
            host,
            path,
            dialect: Arc::clone(dialect),
        });
        Self {
            rows: rows.into(),
            plain,
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // What is left of an address in brackets is no name, and fits no row that has one.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether the text fits the pattern, letters of either case alike.
fn fits(pattern: &str, text: &str) -> bool {
    // The host of most rows.
    if pattern == "*" {
        return true;
    }
    let mut parts = pattern.as_bytes().split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = strip_prefix(text.as_bytes(), first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    // Told from the end at once for nearly every row that does not fit.
    let Some((before, end)) = rest
        .len()
        .checked_sub(last.len())
        .and_then(|at| rest.split_at_checked(at))
    else {
        return false;
    };
    if !end.eq_ignore_ascii_case(last) {
        return false;
    }
    rest = before;
    for part in parts {
        let Some(after) = (0..=rest.len()).find_map(|at| strip_prefix(&rest[at..], part)) else {
            return false;
        };
        rest = after;
    }
    true
}

fn strip_prefix<'t>(text: &'t [u8], prefix: &[u8]) -> Option<&'t [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_chooses_the_dialect() {
        for (path, name) in [
            ("/v1/chat/completions", "openai-chat"),
            ("/v1/chat/completions/", "openai-chat"),
            ("/api/v1/chat/completions?x=/messages", "openai-chat"),
            ("/v1/messages", "anthropic-messages"),
            ("/v1/messages?beta=true", "anthropic-messages"),
            ("/v1/messages/batches", "plain"),
            ("/v1/threads/t_1/messages", "plain"),
            ("/v1/embeddings?next=/chat/completions", "plain"),
            ("", "plain"),
        ] {
            assert_eq!(detect("", path).name(), name, "{path}");
        }
    }

    #[test]
    fn the_host_tells_the_provider() {
        for (host, path, name) in [
            ("api.openai.com", "/v1/chat/completions", "openai-chat"),
            ("api.openai.com", "/v1/responses", "openai-responses"),
            ("api.openai.com", "/v1/responses/resp_1", "plain"),
            ("localhost:8000", "/v1/chat/completions", "openai-chat"),
            ("", "/surveys/7/responses", "plain"),
            (
                "a.openai.azure.com",
                "/openai/deployments/d/chat/completions?api-version=2024-10-21",
                "azure-openai",
            ),
            (
                "A.OpenAI.Azure.com:443",
                "/openai/v1/chat/completions",
                "azure-openai",
            ),
            (
                "a.openai.azure.com",
                "/openai/v1/responses",
                "openai-responses",
            ),
            (
                "a.openai.azure.com",
                "/openai/responses?api-version=2025-04-01-preview",
                "openai-responses",
            ),
            (
                "gateway.example",
                "/x/openai/deployments/d/chat/completions",
                "azure-openai",
            ),
            (
                "a.services.ai.azure.com",
                "/anthropic/v1/messages",
                "anthropic-messages",
            ),
            ("api.mistral.ai", "/v1/chat/completions", "mistral"),
            ("api.groq.com", "/openai/v1/chat/completions", "groq"),
            ("openrouter.ai", "/api/v1/chat/completions", "openrouter"),
            ("api.together.xyz", "/v1/chat/completions", "together"),
            ("api.cerebras.ai", "/v1/chat/completions", "cerebras"),
            ("api.x.ai", "/v1/chat/completions", "xai"),
            ("api.deepseek.com", "/chat/completions", "deepseek"),
            (
                "api.deepseek.com",
                "/anthropic/v1/messages",
                "anthropic-messages",
            ),
            (
                "api.deepseek.com.evil.example",
                "/chat/completions",
                "openai-chat",
            ),
        ] {
            assert_eq!(detect(host, path).name(), name, "{host}{path}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "a", true),
            ("", "", true),
            ("", "a", false),
            ("a", "A", true),
            ("a", "ab", false),
            ("*.b", "a.b", true),
            ("*.b", ".b", true),
            ("*.b", "b", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/c", false),
            ("*/a/*/c", "/x/a/b/c", true),
            ("*/a/*/c", "/x/a/b/d", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_port_is_no_part_of_the_host() {
        assert_eq!(without_port("a.b:443"), "a.b");
        assert_eq!(without_port("a.b"), "a.b");
        assert_eq!(without_port(""), "");
    }

    #[test]
    fn no_header_is_both_portable_and_secret() {
        let known = &*KNOWN;
        for dialect in known.rows.iter().map(|row| &row.dialect) {
            for header in dialect.portable_headers() {
                assert!(!dialect.credential_headers().contains(header), "{header}");
            }
            let authorization = &http::header::AUTHORIZATION;
            assert!(dialect.credential_headers().contains(authorization));
        }
    }
}
