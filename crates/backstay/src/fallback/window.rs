//! Whether a request fits the context window of a target.

use memchr::memmem;

/// How many tokens a request's prompt has, as the caller counted them, in its extensions.
///
/// Without it the fallback layer guesses: a prompt has at least one token for each 8 bytes of the body. Texts
/// in English have one for each 4 (OpenAI's rule of thumb), so that a target which is passed over would
/// hardly have taken the request, and one between the two is asked and its provider judges. A body that may
/// carry images, sound or files as data is not guessed at: its bytes say nothing about tokens.
///
/// ```
/// use backstay::fallback::{PromptTokens, Target, Targets};
///
/// let targets = Targets::new(Target::model("small").context_window(8_192))
///     .then(Target::model("large").context_window(1_000_000));
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PromptTokens(20_000));
/// # drop(targets);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptTokens(pub u64);

/// How many bytes of a body are taken for one token, at the most.
const BYTES_PER_TOKEN: u64 = 8;

/// Whether a window of so many tokens may hold this request.
pub(super) fn holds(window: u64, counted: Option<u64>, body: &[u8]) -> bool {
    match counted {
        Some(tokens) => tokens <= window,
        None => body.len() as u64 / BYTES_PER_TOKEN <= window || may_carry_data(body),
    }
}

/// Whether bytes of the body may stand for something else than text: what the providers' formats call a data
/// part. A name in a text is escaped, so that these are keys and values; one too many does no harm.
fn may_carry_data(body: &[u8]) -> bool {
    ["base64", "\"data\"", "\"bytes\"", "\"file_data\""]
        .iter()
        .any(|mark| memmem::find(body, mark.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_goes_before_the_guess() {
        assert!(!holds(10, Some(11), b""));
        assert!(holds(10, Some(10), &[b'x'; 1000]));
    }

    #[test]
    fn only_what_surely_does_not_fit_is_left_out() {
        assert!(holds(10, None, &[b'x'; 87]));
        assert!(!holds(10, None, &[b'x'; 88]));
    }

    #[test]
    fn data_is_not_guessed_at() {
        for part in [
            r#"{"url":"data:image/png;base64,AAAA"}"#,
            r#"{"source":{"type":"base64","data":"AAAA"}}"#,
            r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#,
            r#"{"image":{"source":{"bytes":"AAAA"}}}"#,
            r#"{"file":{"file_data":"AAAA"}}"#,
        ] {
            assert!(holds(1, None, part.as_bytes()), "{part}");
        }
        assert!(!holds(
            1,
            None,
            br#"{"content":"the word \"data\" in a text"}"#
        ));
    }
}
