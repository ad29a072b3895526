//! A model's name as part of a path.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The name of a model as one path segment, or as part of one: percent-encoded (RFC 3986, section 2.1),
/// so that it changes nothing of the path but this segment.
///
/// All bytes but `A-Z a-z 0-9 - . _ ~ @` are encoded, the slashes and colons of an ARN and every `%`
/// among them: a name is a name, not something encoded already. Vertex writes the `@` of a version as it
/// is.
///
/// ```
/// use backstay_dialect::path_segment;
///
/// assert_eq!(path_segment("gemini-2.5-pro")?, "gemini-2.5-pro");
/// assert_eq!(path_segment("claude-sonnet-4@20250514")?, "claude-sonnet-4@20250514");
/// assert_eq!(path_segment("arn:aws:bedrock:us-east-1::a/b")?, "arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Aa%2Fb");
/// assert_eq!(path_segment("100%?#")?, "100%25%3F%23");
/// assert!(path_segment("..").is_err());
/// # Ok::<(), backstay_dialect::PathModelError>(())
/// ```
///
/// # Errors
///
/// For a name that no encoding makes safe. URL parsers fold `.` and `..` even when they are written
/// `%2E%2E` (WHATWG URL, section 4.1), and there are servers that decode `%2F` before they fold; so the
/// parts of a name between its slashes are looked at as well.
pub fn path_segment(model: &str) -> Result<String, PathModelError> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if model.is_empty() {
        return Err(PathModelError::Empty);
    }
    if model
        .split(['/', '\\'])
        .any(|part| matches!(part, "." | ".."))
    {
        return Err(PathModelError::Dots);
    }
    let mut segment = String::with_capacity(model.len());
    for &byte in model.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
            segment.push(char::from(byte));
        } else {
            segment.push('%');
            segment.push(char::from(HEX[usize::from(byte >> 4)]));
            segment.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
    Ok(segment)
}

/// The name that a path segment, or a part of one, stands for. A `%` that starts no escape stays as it
/// is, and what is no text becomes U+FFFD.
///
/// ```
/// use backstay_dialect::segment_name;
///
/// assert_eq!(segment_name("meta%2Fllama-3%3A70b"), "meta/llama-3:70b");
/// ```
#[must_use]
pub fn segment_name(segment: &str) -> Cow<'_, str> {
    let bytes = segment.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(segment);
    }
    let mut name = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        match (first, escaped(after)) {
            (b'%', Some(byte)) => {
                name.push(byte);
                rest = &after[2..];
            }
            _ => {
                name.push(first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&name).into_owned())
}

/// Why a model's name cannot be part of a path.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathModelError {
    /// The name is empty: the path would have one segment less, or another meaning.
    Empty,
    /// The name is `.` or `..`, or has such a part between slashes.
    Dots,
}

/// Google's paths: `…/{collection}/{model}:{verb}`. Where the model lies, and the verb.
pub(crate) fn before_verb<'p>(
    path: &'p str,
    collections: &[&str],
) -> Option<(Range<usize>, &'p str)> {
    let path = without_query(path);
    let start = path.rfind('/')? + 1;
    let colon = start + path[start..].rfind(':')?;
    (colon > start && collections.contains(&last_segment(&path[..start - 1])))
        .then(|| (start..colon, &path[colon + 1..]))
}

/// Amazon's paths: `…/{collection}/{model}/{verb}`. Where the model lies, and the verb.
pub(crate) fn before_last<'p>(path: &'p str, collection: &str) -> Option<(Range<usize>, &'p str)> {
    let path = without_query(path);
    let end = path.rfind('/')?;
    let start = path[..end].rfind('/')? + 1;
    (end > start && collection == last_segment(&path[..start - 1]))
        .then(|| (start..end, &path[end + 1..]))
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The path without its query; a slash at its end means nothing.
fn without_query(path: &str) -> &str {
    path[..path.find(['?', '#']).unwrap_or(path.len())].trim_end_matches('/')
}

/// The byte of the two hexadecimal digits that come first.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

// === impl PathModelError ===

impl fmt::Display for PathModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the model's name is empty, and it is part of the path: name a model",
            Self::Dots => {
                "the model's name is or has a part that is `.` or `..`, which would change the path \
                 that it is part of: name the model without"
            }
        })
    }
}

impl std::error::Error for PathModelError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_would_change_the_path_is_refused() {
        for (name, error) in [
            ("", PathModelError::Empty),
            (".", PathModelError::Dots),
            ("..", PathModelError::Dots),
            ("../other", PathModelError::Dots),
            ("a/../b", PathModelError::Dots),
            ("a\\..", PathModelError::Dots),
            ("./a", PathModelError::Dots),
        ] {
            assert_eq!(path_segment(name), Err(error), "{name}");
        }
        for name in ["...", ".a", "a..b", "a/...", "%2E%2E"] {
            assert!(path_segment(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_percent_sign_in_a_name_is_a_percent_sign() {
        assert_eq!(path_segment("%2E%2E").as_deref(), Ok("%252E%252E"));
        assert_eq!(segment_name("%252E%252E"), "%2E%2E");
        for (segment, name) in [
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%+1", "%+1"),
            ("%c3%A9", "\u{e9}"),
            ("%ff", "\u{fffd}"),
            ("a+b", "a+b"),
        ] {
            assert_eq!(segment_name(segment), name, "{segment}");
        }
    }

    #[test]
    fn the_model_lies_before_the_verb() {
        for (path, expected) in [
            (
                "/v1beta/models/m:generateContent",
                Some(("m", "generateContent")),
            ),
            ("/v1/models/m:x?a=/models/n:y", Some(("m", "x"))),
            ("/v1/models/a:b:x#/n:y", Some(("a:b", "x"))),
            ("/v1/models/:x", None),
            ("/v1/models/m", None),
            ("/v1/m:x/models", None),
            ("/v1/files/m:x", None),
            ("models/m:x", Some(("m", "x"))),
            ("m:x", None),
            ("/m:x", None),
            ("", None),
        ] {
            let found = before_verb(path, &["tunedModels", "models"])
                .map(|(model, verb)| (&path[model], verb));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn the_model_lies_before_the_last_segment() {
        for (path, expected) in [
            ("/model/m/converse", Some(("m", "converse"))),
            (
                "/x/model/m%2Fn/invoke?a=/model/o/p",
                Some(("m%2Fn", "invoke")),
            ),
            ("/model/m/converse/?a", Some(("m", "converse"))),
            ("/model/a/b/converse", None),
            ("/model//converse", None),
            ("/model/converse", None),
            ("/models/m/converse", None),
            ("/", None),
            ("", None),
        ] {
            let found = before_last(path, "model").map(|(model, verb)| (&path[model], verb));
            assert_eq!(found, expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_one_segment_and_reads_back(name in "\\PC*|[./\\\\%:?# a]{0,6}") {
            if let Ok(segment) = path_segment(&name) {
                prop_assert!(segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~@%".contains(&byte)));
                prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                prop_assert_eq!(segment_name(&segment), name);
            }
        }

        #[test]
        fn no_path_panics(path in "[/:?#%amodel\u{e9}]{0,20}") {
            let _ = (before_verb(&path, &["model"]), before_last(&path, "model"), segment_name(&path));
        }
    }
}
