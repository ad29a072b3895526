//! What gRPC says to its failures.

use crate::{
    code,
    wire::{GRPC_STATUS, PREVIOUS_ATTEMPTS, Pushback},
};
use backstay::dialect::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, Framing, Hint, Plain, RequestError,
    RequestFacts,
};
use http::{HeaderMap, HeaderName, header};
use tonic::Code;

/// The dialect of gRPC: the code decides, wherever it stood in the answer, and not the HTTP status.
///
/// A target of the fallback layer names it: `Target::named("primary").dialect(Grpc)`. There is no model in a
/// request, so calls follow the rules of the plain dialect: what may have been done is done again only if the
/// call is [idempotent](crate::Methods::idempotent).
///
/// | code | class | action | may have been done |
/// |---|---|---|---|
/// | `UNAVAILABLE` | `Overloaded` | retry | no: the code to retry on (gRFC A6, AIP-194) |
/// | `RESOURCE_EXHAUSTED` | `RateLimit` | retry, as late as the server asks | no |
/// | `DEADLINE_EXCEEDED` | `Timeout` | retry | yes: "may be returned even if the operation has completed" (`code.proto`) |
/// | `INTERNAL`, `UNKNOWN` | `Server` | retry | yes: raised anywhere in a handler |
/// | `UNAUTHENTICATED`, `PERMISSION_DENIED` | `Authentication` | next target | |
/// | `UNIMPLEMENTED` | `ModelGone` | next target: another server may have the method | |
/// | `CANCELLED`, `DATA_LOSS` | `Unknown` | next target | |
/// | `INVALID_ARGUMENT`, `NOT_FOUND`, `ALREADY_EXISTS`, `FAILED_PRECONDITION`, `OUT_OF_RANGE` | `Caller` | stop | |
/// | `ABORTED` | `Caller` | stop: "retry at a higher level" (`code.proto`) | |
///
/// `grpc-retry-pushback-ms` (gRFC A6) says when to come back; a negative or unreadable one says not to: then
/// the next target is tried, if there is one. Without it the `Retry-After` family counts, which servers send
/// as metadata. An answer without a code, of a proxy say, is classified by its HTTP status.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc;

// === impl Grpc ===

impl Dialect for Grpc {
    fn name(&self) -> &'static str {
        "grpc"
    }

    fn provider(&self) -> &'static str {
        ""
    }

    fn carries_model(&self) -> bool {
        false
    }

    /// Never fails: the body is the codec's.
    fn read_request(&self, path: &str, body: &[u8]) -> Result<RequestFacts, RequestError> {
        Plain.read_request(path, body)
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        static PORTABLE: [HeaderName; 6] = [
            header::TE,
            HeaderName::from_static("grpc-encoding"),
            HeaderName::from_static("grpc-accept-encoding"),
            HeaderName::from_static("grpc-message-type"),
            HeaderName::from_static("grpc-timeout"),
            PREVIOUS_ATTEMPTS,
        ];
        &PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        Plain.credential_headers()
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        let Some(code) = code_of(answer.headers) else {
            return Plain.classify(answer);
        };
        let mut hint = Hint::read(answer.headers, answer.now);
        match Pushback::of(answer.headers) {
            Some(Pushback::Never) => hint.should_retry = Some(false),
            // It moves the retry of a code that is retried, and makes no other code one. Of no wait the
            // back-off decides.
            Some(Pushback::After(wait)) => hint.after = (!wait.is_zero()).then_some(wait),
            None => {}
        }
        Failure::new(code::class(code))
            .with_code(code::name(code).as_bytes())
            .with_hint(hint)
    }

    /// Messages are no events: nothing is known of them but their bytes.
    fn framing(&self, _headers: &HeaderMap, _streamed: bool) -> Option<Framing> {
        None
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        Plain.read_event(event)
    }

    fn read_answer(&self, _body: &[u8]) -> AnswerFacts {
        AnswerFacts::default()
    }
}

/// The code of an answer, if it has one. A number that is none is `Unknown`, as tonic has it.
pub(crate) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(GRPC_STATUS)
        .map(|value| Code::from_bytes(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstay::dialect::{Action, FailureClass};
    use http::{HeaderValue, StatusCode};
    use std::time::{Duration, SystemTime};

    fn classify(status: u16, headers: &[(&'static str, &'static str)]) -> Failure {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        Grpc.classify(&Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &map,
            body: b"",
            now: SystemTime::now(),
        })
    }

    #[test]
    fn the_code_counts_and_not_the_status() {
        let failure = classify(200, &[("grpc-status", "14")]);
        assert_eq!(failure.class, FailureClass::Overloaded);
        assert_eq!(failure.code.as_deref(), Some("UNAVAILABLE"));
        let failure = classify(502, &[]);
        assert_eq!(failure.class, FailureClass::Server);
        assert_eq!(failure.code, None);
    }

    #[test]
    fn a_pushback_is_a_hint() {
        let after = |value| {
            classify(
                503,
                &[("grpc-status", "14"), ("grpc-retry-pushback-ms", value)],
            )
            .hint
        };
        assert_eq!(after("250").after, Some(Duration::from_millis(250)));
        assert_eq!(after("-1").should_retry, Some(false));
        assert_eq!(after("x").should_retry, Some(false));
        assert_eq!(after("0"), Hint::default());
        // It makes no retry of a code that is not retried (gRFC A6).
        let asked = classify(
            404,
            &[("grpc-status", "5"), ("grpc-retry-pushback-ms", "5")],
        );
        assert_eq!(asked.class.action(), Action::Stop);
        assert_eq!(asked.hint.should_retry, None);
    }

    #[test]
    fn retry_after_in_the_metadata_is_a_hint() {
        let failure = classify(429, &[("grpc-status", "8"), ("retry-after", "2")]);
        assert_eq!(failure.class, FailureClass::RateLimit);
        assert_eq!(failure.hint.after, Some(Duration::from_secs(2)));
    }
}
