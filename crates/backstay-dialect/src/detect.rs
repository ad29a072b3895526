//! The choice of a dialect by host and path.

use std::sync::{Arc, LazyLock};

use memchr::memchr2;

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
    let end = memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len());
    let mut path = &path.as_bytes()[..end];
    while let Some(shorter) = path.strip_suffix(b"/") {
        path = shorter;
    }
    let known = &*KNOWN;
    known
        .rows
        .iter()
        .find(|row| row.host.fits(host.as_bytes()) && row.path.fits(path))
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
    host: Pattern,
    path: Pattern,
    dialect: Arc<dyn Dialect>,
}

/// A text in which `*` stands for any text, with what turns most others away at once: each call asks.
struct Pattern {
    parts: Vec<&'static [u8]>,
    /// The shortest text that fits.
    least: usize,
    /// In small letters; `None` where the pattern ends with a star.
    last_byte: Option<u8>,
    is_lone_star: bool,
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
            // A job is made, and no answer: sent twice, it is made twice.
            ("*", "*:*batchGenerateContent", &plain),
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
            host: Pattern::new(host),
            path: Pattern::new(path),
            dialect: Arc::clone(dialect),
        });
        Self {
            rows: rows.into(),
            plain,
        }
    }
}

// === impl Pattern ===

impl Pattern {
    fn new(text: &'static str) -> Self {
        let parts: Vec<_> = text.as_bytes().split(|byte| *byte == b'*').collect();
        Self {
            least: parts.iter().map(|part| part.len()).sum(),
            last_byte: parts
                .last()
                .and_then(|part| Some(part.last()?.to_ascii_lowercase())),
            is_lone_star: text == "*",
            parts,
        }
    }

    /// Whether the text fits, letters of either case alike.
    #[inline(always)]
    fn fits(&self, text: &[u8]) -> bool {
        let last = text.last().map_or(0, u8::to_ascii_lowercase);
        let may_fit = text.len() >= self.least && self.last_byte.is_none_or(|byte| byte == last);
        may_fit && (self.is_lone_star || self.fits_in_parts(text))
    }

    #[inline(never)]
    fn fits_in_parts(&self, text: &[u8]) -> bool {
        let Some((last, parts)) = self.parts.split_last() else {
            return false;
        };
        let Some(mut rest) = strip_suffix(text, last) else {
            return false;
        };
        let Some((first, parts)) = parts.split_first() else {
            return rest.is_empty();
        };
        match strip_prefix(rest, first) {
            Some(after) => rest = after,
            None => return false,
        }
        parts.iter().all(|part| {
            let after = (0..=rest.len()).find_map(|at| strip_prefix(&rest[at..], part));
            rest = after.unwrap_or(rest);
            after.is_some()
        })
    }
}

fn without_port(host: &str) -> &str {
    // The usual name has none, and says so with its last letter.
    if !host.ends_with(|last: char| last == ':' || last.is_ascii_digit()) {
        return host;
    }
    match host.rsplit_once(':') {
        // What is left of an address in brackets is no name, and fits no row that has one.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn strip_suffix<'t>(text: &'t [u8], suffix: &[u8]) -> Option<&'t [u8]> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    // A slash, as a rule: most ends differ there.
    let begins = match (end.first(), suffix.first()) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => true,
    };
    (begins && end.eq_ignore_ascii_case(suffix)).then_some(rest)
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
            ("/v1beta/models/m:generateContent", "gemini"),
            ("/v1beta/models/m:streamGenerateContent?alt=sse", "gemini"),
            ("/v1beta/tunedModels/m:streamGenerateContent", "gemini"),
            (
                "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent",
                "vertex-gemini",
            ),
            (
                "/v1/projects/p/locations/l/endpoints/1:streamGenerateContent",
                "vertex-gemini",
            ),
            // Sent twice, they would make two jobs.
            ("/v1beta/models/m:batchGenerateContent", "plain"),
            ("/v1beta/models/m:asyncBatchGenerateContent", "plain"),
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
            ("a*b*a", "aa", false),
            ("a*b*a", "aXbYa", true),
            ("*bc*c", "xbc", false),
        ] {
            let fits = Pattern::new(pattern).fits(text.as_bytes());
            assert_eq!(fits, expected, "{pattern} {text}");
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
