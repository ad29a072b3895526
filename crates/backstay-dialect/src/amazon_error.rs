//! Errors of Amazon's services: an exception's name, and what it means at Bedrock.
//!
//! Sources: Smithy's `restJson1` protocol (operation error serialization), the Bedrock Runtime API
//! reference (errors of `Converse` and `InvokeModel`), and its common errors.

use std::borrow::Cow;

use http::StatusCode;

use crate::failure::narrow;
use crate::json::{Cursor, Stopped};
use crate::{Answer, Event, Failure, FailureClass, Hint};

/// What an error says about itself.
#[derive(Default)]
pub(crate) struct AmazonError<'a> {
    /// The exception, as it is spelled: `ThrottlingException`, in a stream `throttlingException`.
    name: Cow<'a, [u8]>,
    /// Read for the few facts that are told in no other way; never kept.
    message: Option<Cow<'a, [u8]>>,
}

// === impl AmazonError ===

impl<'a> AmazonError<'a> {
    /// What a failed answer says. The header names the exception; where there is none, the body does.
    pub(crate) fn of_answer(answer: &Answer<'a>) -> Self {
        let mut error = Self::default();
        // The prefix may end anywhere, or be no JSON at all: what was understood counts.
        let _ = error.read(&mut Cursor::new(answer.body));
        if let Some(named) = answer.headers.get("x-amzn-errortype") {
            error.name = Cow::Borrowed(bare(named.as_bytes()));
        }
        error
    }

    /// What an exception frame of a stream says.
    pub(crate) fn of_frame(event: &Event<'a>) -> Self {
        let mut error = Self::default();
        let _ = error.read(&mut Cursor::new(event.data));
        if !event.name.is_empty() {
            error.name = Cow::Borrowed(event.name);
        }
        error
    }

    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| {
            match key {
                b"__type" | b"code" => {
                    self.name = match cursor.text()? {
                        Some(Cow::Borrowed(name)) => Cow::Borrowed(bare(name)),
                        Some(Cow::Owned(name)) => Cow::Owned(bare(&name).to_vec()),
                        None => return Ok(()),
                    };
                }
                b"message" | b"Message" => self.message = cursor.text()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    /// What an answer with this status means.
    pub(crate) fn classify(&self, answer: &Answer<'_>) -> Failure {
        let base = of_status(answer.status);
        Failure::new(narrow(answer.status, base, self.class()))
            .with_code(&self.name)
            .with_hint(Hint::of(answer))
    }

    /// What an exception inside of a stream means. One that says nothing known is the server's: it had
    /// accepted the request.
    pub(crate) fn in_band(&self) -> Failure {
        Failure::new(self.class().unwrap_or(FailureClass::Server)).with_code(&self.name)
    }

    fn class(&self) -> Option<FailureClass> {
        let class = of_name(&self.name)?;
        let message = self.message.as_deref().unwrap_or_default();
        Some(match class {
            FailureClass::Caller | FailureClass::RateLimit => of_message(message).unwrap_or(class),
            _ => class,
        })
    }
}

/// The exception's name without the namespace before it and the address behind it.
fn bare(name: &[u8]) -> &[u8] {
    let end = memchr::memchr(b':', name).unwrap_or(name.len());
    let start = memchr::memchr(b'#', &name[..end]).map_or(0, |at| at + 1);
    name[start..end].trim_ascii()
}

fn of_status(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        404 => FailureClass::ModelGone,
        413 => FailureClass::ContextTooLong,
        // The model failed behind a request that was right.
        424 => FailureClass::Server,
        _ => FailureClass::of_status(status),
    }
}

/// What an exception means. A stream spells them with a small first letter.
fn of_name(name: &[u8]) -> Option<FailureClass> {
    use FailureClass::{
        Authentication, Caller, ModelGone, Overloaded, Quota, RateLimit, Server, Timeout,
    };
    const NAMES: [(&str, FailureClass); 25] = [
        ("ThrottlingException", RateLimit),
        ("TooManyRequestsException", RateLimit),
        ("ServiceQuotaExceededException", Quota),
        // The model is being loaded.
        ("ModelNotReadyException", Overloaded),
        ("ServiceUnavailableException", Overloaded),
        ("ServiceUnavailable", Overloaded),
        ("ModelTimeoutException", Timeout),
        ("ModelErrorException", Server),
        ("ModelStreamErrorException", Server),
        ("InternalServerException", Server),
        ("InternalFailure", Server),
        ("AccessDeniedException", Authentication),
        ("ExpiredTokenException", Authentication),
        ("IncompleteSignature", Authentication),
        ("IncompleteSignatureException", Authentication),
        ("InvalidClientTokenId", Authentication),
        ("InvalidSignatureException", Authentication),
        ("MissingAuthenticationToken", Authentication),
        ("MissingAuthenticationTokenException", Authentication),
        ("NotAuthorized", Authentication),
        ("OptInRequired", Authentication),
        ("UnrecognizedClientException", Authentication),
        ("ResourceNotFoundException", ModelGone),
        ("ValidationException", Caller),
        ("ValidationError", Caller),
    ];
    NAMES
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        .map(|&(_, class)| class)
}

/// These facts have no exception of their own. Only the start is compared, because what follows may quote
/// the request; of a model's own message the start is what the model says.
fn of_message(message: &[u8]) -> Option<FailureClass> {
    const OF_THE_MODEL: &[u8] = b"The model returned the following errors: ";
    const STARTS: [(&[u8], FailureClass); 5] = [
        (b"Input is too long", FailureClass::ContextTooLong),
        (b"prompt is too long", FailureClass::ContextTooLong),
        (
            b"input length and `max_tokens` exceed context limit",
            FailureClass::ContextTooLong,
        ),
        (
            b"The provided model identifier is invalid",
            FailureClass::ModelGone,
        ),
        // A quota of a day, which comes as a ThrottlingException.
        (b"Too many tokens per day", FailureClass::Quota),
    ];
    let message = message.strip_prefix(OF_THE_MODEL).unwrap_or(message);
    STARTS
        .iter()
        .find(|(start, _)| message.starts_with(start))
        .map(|&(_, class)| class)
}
