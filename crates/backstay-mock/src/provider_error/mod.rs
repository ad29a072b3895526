//! What providers say to their failures: a table of status, headers and body, by provider and name.
//!
//! The codes, fields and headers are the providers' own; of the messages only what is known to be looked
//! for is.

mod anthropic;
mod bedrock;
mod google;
mod openai;
mod others;

use std::fmt;

use crate::dialect::Dialect;
use crate::reply::Reply;

/// One failure of one provider, as it is on the wire. [`Reply::provider_error`] finds it by name.
///
/// | provider | names |
/// |---|---|
#[doc = include_str!("table.md")]
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ProviderError {
    /// Whose it is: `openai`, `anthropic`, `proxy`.
    pub provider: &'static str,
    /// Which it is, unique for its provider.
    pub name: &'static str,
    /// The status it comes with.
    pub status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

/// The row of this name.
pub(crate) fn find(provider: &str, name: &str) -> Option<&'static ProviderError> {
    ProviderError::all().find(|row| row.provider == provider && row.name == name)
}

/// The row of this name of whoever speaks `dialect`.
pub(crate) fn of_dialect(dialect: Dialect, name: &str) -> Option<&'static ProviderError> {
    let provider = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::OpenAiEmbeddings => "openai",
        Dialect::AzureChat | Dialect::AzureResponses => "azure",
        Dialect::Anthropic | Dialect::VertexAnthropic => "anthropic",
        Dialect::BedrockConverse | Dialect::BedrockInvoke => "bedrock",
        other => other.as_str(),
    };
    find(provider, name)
}

/// A row of a provider's table.
const fn row(
    provider: &'static str,
    name: &'static str,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> ProviderError {
    ProviderError {
        provider,
        name,
        status,
        headers,
        body,
    }
}

// === impl ProviderError ===

impl ProviderError {
    /// Every row, provider by provider.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        openai::ROWS
            .iter()
            .chain(anthropic::ROWS)
            .chain(google::ROWS)
            .chain(bedrock::ROWS)
            .chain(others::ROWS)
    }

    /// The reply that says it.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let html = self.body.starts_with('<');
        let reply = Reply::status(self.status).body(self.body);
        let reply = match html {
            true => reply.header("content-type", "text/html"),
            false => reply,
        };
        self.headers
            .iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value))
    }

    /// What its body says.
    #[must_use]
    pub fn body(&self) -> &'static str {
        self.body
    }
}

impl fmt::Debug for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderError")
            .field("provider", &self.provider)
            .field("name", &self.name)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

// === impl Reply ===

impl Reply {
    /// What a provider really says to one of its failures: status, headers and body. `None` for names that
    /// are not in [its table](ProviderError).
    ///
    /// ```
    /// use backstay_mock::Reply;
    ///
    /// let spent = Reply::provider_error("openai", "insufficient_quota");
    /// assert!(spent.is_some());
    /// ```
    #[must_use]
    pub fn provider_error(provider: &str, name: &str) -> Option<Self> {
        find(provider, name).map(ProviderError::reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};

    #[test]
    fn every_name_is_one_rows_own() {
        let mut seen = HashSet::new();
        for row in ProviderError::all() {
            assert!(seen.insert((row.provider, row.name)), "{row:?}");
        }
        assert!(find("openai", "no such thing").is_none());
    }

    #[test]
    fn every_body_is_json_or_html() {
        for row in ProviderError::all() {
            let json = serde_json::from_str::<serde_json::Value>(row.body);
            assert!(json.is_ok() || row.body.starts_with('<'), "{row:?}");
        }
    }

    #[test]
    fn the_documented_table_is_the_table() {
        let mut by_provider: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for row in ProviderError::all() {
            let names = by_provider.entry(row.provider).or_default();
            names.push(format!("`{}` ({})", row.name, row.status));
        }
        let table: String = by_provider
            .iter()
            .map(|(provider, names)| format!("| `{provider}` | {} |\n", names.join(", ")))
            .collect();
        assert_eq!(
            include_str!("table.md"),
            table,
            "table.md should be:\n{table}"
        );
    }
}
