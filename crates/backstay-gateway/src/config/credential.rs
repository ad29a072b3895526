//! Where a key comes from, and the key itself, which is never shown.

use super::{ConfigError, error::Source};
use http::HeaderValue;
use serde::{Deserialize, Deserializer, de::Error};
use std::{
    fmt,
    ops::{Deref, Range},
};
use subtle::ConstantTimeEq;

/// A key. Its `Debug` form shows nothing of it, its length neither.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

/// What may hold a key, for all that is known. Its `Debug` form shows nothing of it.
#[derive(Clone)]
pub(crate) struct Hidden<T>(pub(crate) T);

/// The settings that name a key: exactly one of them.
pub(crate) struct KeySource {
    pub(crate) key_env: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) key_inline_insecure: Option<Secret>,
}

/// The longest key that is read from a file, in bytes.
const MAX_KEY: usize = 16 * 1024;

// === impl Secret ===

impl Secret {
    pub(crate) fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that tells nothing but the length.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own complaint about another type repeats what is written.
        String::deserialize(deserializer)
            .map(Self)
            .map_err(|_| D::Error::custom("the key is no text: write it in quotes"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

// === impl Hidden ===

impl<T> Deref for Hidden<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

// === impl KeySource ===

impl KeySource {
    /// Reads the key; `None` when none is named.
    pub(crate) fn read(
        &self,
        source: Source<'_>,
        at: Range<usize>,
    ) -> Result<Option<Secret>, ConfigError> {
        let named = [
            self.key_env.is_some(),
            self.key_file.is_some(),
            self.key_inline_insecure.is_some(),
        ];
        if named.iter().filter(|named| **named).count() > 1 {
            return Err(source.error(
                at,
                "the key is named more than once",
                "keep one of `key_env`, `key_file`, `key_inline_insecure`",
            ));
        }
        let key = if let Some(variable) = &self.key_env {
            std::env::var(variable).map_err(|_| {
                if !is_name(variable) {
                    // It may be the key itself.
                    return source.error(
                        at.clone(),
                        "`key_env` names no environment variable that is set",
                        "write the name of a variable, like \"OPENAI_API_KEY\", that holds the key",
                    );
                }
                source.error(
                    at.clone(),
                    format!("the environment variable {variable} is not set"),
                    "set it where the gateway is started, or name another with `key_env`",
                )
            })?
        } else if let Some(file) = &self.key_file {
            let unusable = |why: String| {
                source.error(
                    at.clone(),
                    format!("the key file {file} cannot be used: {why}"),
                    "check `key_file`; the file holds the key and nothing else",
                )
            };
            let bytes = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
            if bytes.len() > MAX_KEY {
                return Err(unusable("it is too long for a key".to_owned()));
            }
            String::from_utf8(bytes).map_err(|_| unusable("it is not text".to_owned()))?
        } else if let Some(key) = &self.key_inline_insecure {
            key.0.clone()
        } else {
            return Ok(None);
        };
        let key = key.trim();
        if key.is_empty() || HeaderValue::from_str(key).is_err() {
            return Err(source.error(
                at,
                "the key is empty, or has characters that no header can carry",
                "write the key alone, on one line",
            ));
        }
        Ok(Some(Secret::new(key)))
    }
}

/// POSIX, base definitions, section 8.1.
fn is_name(variable: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !variable.is_empty() && variable.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let secret = Secret::new("sk-very-secret");
        assert!(secret.is(b"sk-very-secret"));
        assert!(!secret.is(b"sk-very-secreT"));
        assert!(!secret.is(b""));
        assert!(!format!("{secret:?}").contains("sk-"));
    }
}
