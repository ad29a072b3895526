//! Errors of Google's APIs: `google.rpc.Status` as JSON, for Gemini and all that Vertex serves.
//!
//! Sources: Google's API design guide (errors), `google/rpc/error_details.proto`,
//! `google/api/error_reason.proto`, and the Gemini API's troubleshooting page.

use std::borrow::Cow;

use http::StatusCode;

use crate::failure::narrow;
use crate::json::{Cursor, Stopped};
use crate::{Answer, Failure, FailureClass, Hint};

/// What an error says about itself.
#[derive(Default)]
pub(crate) struct GoogleError<'a> {
    /// The HTTP status, as a number.
    code: Option<Cow<'a, [u8]>>,
    status: Option<Cow<'a, [u8]>>,
    /// Of `google.rpc.ErrorInfo`: finer than the status.
    reason: Option<Cow<'a, [u8]>>,
    /// Read for the one fact that is told in no other way; never kept.
    message: Option<Cow<'a, [u8]>>,
    /// A quota is violated that no short wait refills: one per day, or one of zero.
    used_up: bool,
}

// === impl GoogleError ===

impl<'a> GoogleError<'a> {
    /// What a failed answer says, as far as its prefix goes. The endpoint of streams wraps the document in
    /// an array.
    pub(crate) fn of_answer(body: &'a [u8]) -> Self {
        let mut error = Self::default();
        let mut cursor = Cursor::new(body);
        let _ = match cursor.peek() {
            Some(b'[') => cursor.array(|cursor| error.read_document(cursor)),
            _ => error.read_document(&mut cursor),
        };
        error
    }

    fn read_document(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| match key {
            b"error" => self.read(cursor),
            _ => cursor.skip(),
        })
    }

    /// Reads the value of `error`.
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| {
            match key {
                b"code" => self.code = cursor.digits()?,
                b"status" => self.status = cursor.text()?,
                b"message" => self.message = cursor.text()?,
                b"details" => cursor.array(|cursor| self.read_detail(cursor))?,
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    fn read_detail(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| match key {
            b"reason" => {
                self.reason = cursor.text()?;
                Ok(())
            }
            b"violations" => cursor.array(|cursor| self.read_violation(cursor)),
            _ => cursor.skip(),
        })
    }

    /// `google.rpc.QuotaFailure`. Quotas are named like `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
    /// All that were violated are listed, so that the longest decides.
    fn read_violation(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| {
            match key {
                b"quotaId" => {
                    let id = cursor.text()?.unwrap_or_default();
                    self.used_up |= memchr::memmem::find(&id, b"PerDay").is_some();
                }
                // A 64-bit number is text in JSON; both are taken.
                b"quotaValue" if cursor.peek() == Some(b'"') => {
                    self.used_up |= cursor.text()?.as_deref() == Some(b"0");
                }
                b"quotaValue" => self.used_up |= cursor.number()? == Some(0),
                _ => cursor.skip()?,
            }
            Ok(())
        })
    }

    /// Whether this is an error of Google's, and not one that the model's own maker wrote.
    pub(crate) fn is_googles(&self) -> bool {
        self.status.is_some()
    }

    /// What an answer with this status means.
    pub(crate) fn classify(&self, answer: &Answer<'_>) -> Failure {
        let base = of_status(answer.status);
        Failure::new(narrow(answer.status, base, self.class()))
            .with_code(self.name())
            .with_hint(Hint::of(answer).with_retry_info(answer.body))
    }

    /// What an error inside a 2xx answer means. One that says nothing known is the server's: it had
    /// accepted the request.
    /// `document`: where it stands.
    pub(crate) fn in_band(&self, document: &[u8]) -> Failure {
        let status = self
            .code
            .as_deref()
            .and_then(|code| StatusCode::from_bytes(code).ok())
            .filter(|status| !status.is_success());
        let class = match status {
            Some(status) => narrow(status, of_status(status), self.class()),
            None => self.class().unwrap_or(FailureClass::Server),
        };
        Failure::new(class)
            .with_code(self.name())
            .with_hint(Hint::default().with_retry_info(document))
    }

    fn name(&self) -> &[u8] {
        [&self.reason, &self.status, &self.code]
            .into_iter()
            .find_map(|word| word.as_deref())
            .unwrap_or_default()
    }

    /// What the words mean by themselves. Quota goes first: it comes as a kind of rate limit, but no short
    /// wait helps. Then the reason, which is finer than the status: a bad key is an `INVALID_ARGUMENT`.
    fn class(&self) -> Option<FailureClass> {
        if self.used_up {
            return Some(FailureClass::Quota);
        }
        let of_reason = self.reason.as_deref().and_then(of_reason);
        of_reason.or_else(|| match self.status.as_deref()? {
            b"INVALID_ARGUMENT" => Some(
                self.message
                    .as_deref()
                    .and_then(of_message)
                    .unwrap_or(FailureClass::Caller),
            ),
            status => of_word(status),
        })
    }
}

pub(crate) fn of_status(status: StatusCode) -> FailureClass {
    match status.as_u16() {
        404 => FailureClass::ModelGone,
        413 => FailureClass::ContextTooLong,
        // Somebody on the way hung up. Not we: we are reading the answer.
        499 => FailureClass::Server,
        _ => FailureClass::of_status(status),
    }
}

/// `google.api.ErrorReason`, as far as it says more than the status.
fn of_reason(reason: &[u8]) -> Option<FailureClass> {
    Some(match reason {
        b"API_KEY_INVALID"
        | b"API_KEY_EXPIRED"
        | b"API_KEY_SERVICE_BLOCKED"
        | b"API_KEY_HTTP_REFERRER_BLOCKED"
        | b"API_KEY_IP_ADDRESS_BLOCKED"
        | b"API_KEY_ANDROID_APP_BLOCKED"
        | b"API_KEY_IOS_APP_BLOCKED"
        | b"ACCESS_TOKEN_EXPIRED"
        | b"ACCESS_TOKEN_SCOPE_INSUFFICIENT"
        | b"ACCESS_TOKEN_TYPE_UNSUPPORTED"
        | b"ACCOUNT_STATE_INVALID"
        | b"CREDENTIALS_MISSING"
        | b"CONSUMER_INVALID"
        | b"CONSUMER_SUSPENDED"
        | b"IAM_PERMISSION_DENIED"
        | b"SERVICE_DISABLED"
        | b"USER_PROJECT_DENIED" => FailureClass::Authentication,
        b"BILLING_DISABLED" | b"RESOURCE_QUOTA_EXCEEDED" => FailureClass::Quota,
        b"RATE_LIMIT_EXCEEDED" => FailureClass::RateLimit,
        _ => return None,
    })
}

/// `google.rpc.Code`.
fn of_word(status: &[u8]) -> Option<FailureClass> {
    Some(match status {
        b"OUT_OF_RANGE" => FailureClass::Caller,
        // The Gemini API: the country, or the account, has no free tier, and billing is off.
        b"FAILED_PRECONDITION" => FailureClass::Authentication,
        b"UNAUTHENTICATED" | b"PERMISSION_DENIED" => FailureClass::Authentication,
        b"NOT_FOUND" => FailureClass::ModelGone,
        b"RESOURCE_EXHAUSTED" => FailureClass::RateLimit,
        b"UNAVAILABLE" => FailureClass::Overloaded,
        b"DEADLINE_EXCEEDED" => FailureClass::Timeout,
        b"INTERNAL" | b"UNKNOWN" | b"DATA_LOSS" | b"ABORTED" | b"CANCELLED" => FailureClass::Server,
        _ => return None,
    })
}

/// That a prompt is too long has no word of its own. Only the start is compared, because what follows may
/// quote the request.
fn of_message(message: &[u8]) -> Option<FailureClass> {
    const STARTS: [&[u8]; 2] = [
        b"The input token count",
        b"Unable to submit request because the input token count",
    ];
    STARTS
        .iter()
        .any(|start| message.starts_with(start))
        .then_some(FailureClass::ContextTooLong)
}
