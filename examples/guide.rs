//! The pages of `docs/guide/`, so that their Rust is compiled with the tests; and what in there stands for the
//! reader's own code.

#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../docs/guide/timeout.md")]
    mod timeout {}
    #[doc = include_str!("../docs/guide/fallback.md")]
    mod fallback {}
    #[doc = include_str!("../docs/guide/cancellation.md")]
    mod cancellation {}
    #[doc = include_str!("../docs/guide/parallel.md")]
    mod parallel {}
    #[doc = include_str!("../docs/guide/batch.md")]
    mod batch {}
    #[doc = include_str!("../docs/guide/shutdown.md")]
    mod shutdown {}
    #[doc = include_str!("../docs/guide/services.md")]
    mod services {}
    #[doc = include_str!("../docs/guide/errors.md")]
    mod errors {}
}

use backstay::BoxError;

/// Asks a model.
pub async fn generate(prompt: &str) -> Result<String, BoxError> {
    Ok(prompt.to_owned())
}

/// Asks a source.
pub async fn search(_source: &str, question: String) -> Result<String, BoxError> {
    Ok(question)
}

/// Puts a draft where the answer will be.
pub async fn write_draft() -> Result<(), BoxError> {
    Ok(())
}

/// Takes it away.
pub async fn delete_draft() {}

/// Keeps an answer.
pub async fn save(_text: &str) -> Result<(), BoxError> {
    Ok(())
}

/// Answers a request of the reader's service.
pub async fn answer(question: String) -> String {
    question
}
