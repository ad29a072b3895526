//! What statuses and words mean, to OpenAI and to the servers that copy it.

use http::StatusCode;
use memchr::memmem;

use super::document::Document;
use super::told::Told;
use crate::failure::narrow;
use crate::{Answer, Failure, FailureClass, Hint, OVERLOADED_LEAST_WAIT};

/// What a server means by its statuses and words, where that is not what everybody means by them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    /// Statuses. Those of a page in HTML are some proxy's, and mean what they mean everywhere.
    pub(super) statuses: &'static [(u16, FailureClass)],
    /// Codes, types and parameters.
    pub(super) words: &'static [(&'static str, FailureClass)],
    /// How the messages start that tell what nothing else tells.
    pub(super) messages: &'static [(&'static str, FailureClass)],
    /// What else an error document tells about a status.
    pub(super) refine: fn(StatusCode, &Told<'_>, FailureClass) -> FailureClass,
}

/// How servers that have no code for it say that the request is longer than the window. Only the start is
/// compared, because what follows may quote the request.
const TOO_LONG: &[(&str, FailureClass)] = &[
    // OpenAI's sentence, and with it vLLM's, DeepSeek's and others'.
    (
        "This model's maximum context length is",
        FailureClass::ContextTooLong,
    ),
    // xAI.
    (
        "This model's maximum prompt length is",
        FailureClass::ContextTooLong,
    ),
    // SGLang.
    (
        "Requested token count exceeds the model's maximum context length",
        FailureClass::ContextTooLong,
    ),
    // Text Generation Inference.
    (
        "Input validation error: `inputs` ",
        FailureClass::ContextTooLong,
    ),
    // Ollama.
    ("prompt too long; exceeded", FailureClass::ContextTooLong),
];

// === impl Meaning ===

impl Meaning {
    /// What OpenAI means, and what the servers say that nobody else says differently: for one that is
    /// not known.
    pub(super) const ANY: Self = Self {
        statuses: &[],
        words: &[],
        messages: TOO_LONG,
        refine: |_, _, class| class,
    };

    /// What an answer outside of 2xx means.
    pub(super) fn classify(&self, answer: &Answer<'_>) -> Failure {
        let document = Document::prefix(answer.body);
        let told = document.told();
        let page = answer.body.trim_ascii_start().starts_with(b"<");
        let base = if page {
            of_status(answer.status)
        } else {
            self.of_status(answer.status)
        };
        let class = self.narrow(answer.status, base, told);
        // A proxy that is out of servers has no error document; a provider that sheds load has one.
        let own_words = document.is_failure() || !told.is_empty();
        self.failure(class, told, own_words)
            // Gemini has an endpoint of this shape.
            .with_hint(Hint::of(answer).with_retry_info(answer.body))
    }

    /// What an error inside a 2xx answer means. One that says nothing known is the server's: it had
    /// accepted the request.
    pub(super) fn in_band(&self, told: &Told<'_>) -> Failure {
        let status = told
            .number()
            .and_then(|code| StatusCode::from_bytes(code).ok());
        let class = match (status, self.class_of(told)) {
            (Some(status), _) if !status.is_success() => {
                self.narrow(status, self.of_status(status), told)
            }
            (_, Some(class)) => class,
            (_, None) if told.words().any(|word| word == b"invalid_request_error") => {
                FailureClass::Caller
            }
            (_, None) => FailureClass::Server,
        };
        self.failure(class, told, true)
    }

    fn narrow(&self, status: StatusCode, base: FailureClass, told: &Told<'_>) -> FailureClass {
        let class = narrow(status, base, self.class_of(told));
        (self.refine)(status, told, class)
    }

    fn failure(&self, class: FailureClass, told: &Told<'_>, own_words: bool) -> Failure {
        let failure = Failure::new(class).with_code(told.name());
        match class {
            FailureClass::Overloaded if own_words => failure.with_least_wait(OVERLOADED_LEAST_WAIT),
            _ => failure,
        }
    }

    fn of_status(&self, status: StatusCode) -> FailureClass {
        let own = self
            .statuses
            .iter()
            .find(|(own, _)| *own == status.as_u16());
        own.map_or_else(|| of_status(status), |&(_, class)| class)
    }

    /// What the words mean by themselves. Quota goes first: it comes as a kind of rate limit, but no wait
    /// helps.
    fn class_of(&self, told: &Told<'_>) -> Option<FailureClass> {
        let mut found = None;
        for class in told.words().filter_map(|word| self.of_word(word)) {
            if class == FailureClass::Quota {
                return Some(class);
            }
            found = found.or(Some(class));
        }
        found.or_else(|| of_param(told.param())).or_else(|| {
            let starts = |(start, _): &&(&str, _)| told.message().starts_with(start.as_bytes());
            self.messages.iter().find(starts).map(|&(_, class)| class)
        })
    }

    fn of_word(&self, word: &[u8]) -> Option<FailureClass> {
        let own = self.words.iter().find(|(own, _)| own.as_bytes() == word);
        own.map_or_else(|| of_word(word), |&(_, class)| Some(class))
    }
}

fn of_status(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        404 => FailureClass::ModelGone,
        413 => FailureClass::ContextTooLong,
        // Groq: the flex tier has no capacity.
        498 => FailureClass::Overloaded,
        _ => FailureClass::of_status(status),
    }
}

/// vLLM names what was too long; it has no code for it.
fn of_param(param: &[u8]) -> Option<FailureClass> {
    param
        .starts_with(b"input_tokens")
        .then_some(FailureClass::ContextTooLong)
}

/// What a code, a type or a status word of an error means. Words that only repeat the HTTP status, such as
/// `invalid_request_error`, are not here.
fn of_word(word: &[u8]) -> Option<FailureClass> {
    Some(match word {
        b"insufficient_quota"
        | b"credit_balance_exhausted"
        | b"organization_spend_limit_exceeded"
        | b"project_spend_limit_exceeded"
        | b"organization_usage_limit_exceeded"
        | b"billing_hard_limit_reached"
        | b"billing_not_active" => FailureClass::Quota,
        // The last but one is Azure's, behind `content_filter`.
        b"content_policy_violation"
        | b"content_filter"
        | b"invalid_prompt"
        | b"bio_policy"
        | b"moderation_blocked"
        | b"ResponsibleAIPolicyViolation"
        | b"image_content_policy_violation" => FailureClass::ContentPolicy,
        // The second is llama.cpp's.
        b"context_length_exceeded" | b"exceed_context_size_error" => FailureClass::ContextTooLong,
        // The last but one is vLLM's, the last llama.cpp's and Ollama's.
        b"model_not_found"
        | b"model_decommissioned"
        | b"DeploymentNotFound"
        | b"NotFoundError"
        | b"not_found_error" => FailureClass::ModelGone,
        b"rate_limit_exceeded"
        | b"rate_limit_error"
        | b"too_many_requests"
        | b"too_many_requests_error"
        | b"RESOURCE_EXHAUSTED" => FailureClass::RateLimit,
        // The last but one is llama.cpp's while it loads, the last Text Generation Inference's.
        b"slow_down"
        | b"server_is_overloaded"
        | b"overloaded_error"
        | b"engine_overloaded"
        | b"engine_overloaded_error"
        | b"capacity_exceeded"
        | b"UNAVAILABLE"
        | b"unavailable_error"
        | b"overloaded" => FailureClass::Overloaded,
        b"invalid_api_key"
        | b"authentication_error"
        | b"permission_error"
        | b"account_deactivated"
        | b"unsupported_country_region_territory" => FailureClass::Authentication,
        b"timeout" | b"timeout_error" | b"DEADLINE_EXCEEDED" | b"vector_store_timeout" => {
            FailureClass::Timeout
        }
        _ if is_about_an_image(word) => FailureClass::Caller,
        _ => return None,
    })
}

/// Responses has a dozen codes for what can be wrong with an image, and all are the caller's to mend.
fn is_about_an_image(word: &[u8]) -> bool {
    word.starts_with(b"image_") || memmem::find(word, b"_image").is_some()
}
