//! What a failed answer means, whatever it holds.

#![no_main]

use std::time::{Duration, SystemTime};

use backstay_dialect::{Answer, Event, Failure, FailureClass, Hint, MAX_CODE_BYTES};
use backstay_fuzz::DIALECTS;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;

/// 2024-01-01T00:00:00Z.
const NOW: Duration = Duration::from_secs(1_704_067_200);

/// The most bytes that an answer's id may have.
const MAX_ID_BYTES: usize = 128;

fuzz_target!(|input: &[u8]| {
    let Some((status, head, body)) = split(input) else {
        return;
    };
    let now = SystemTime::UNIX_EPOCH + NOW;
    let headers = headers(head);
    let answer = Answer {
        status,
        headers: &headers,
        body,
        now,
    };
    for dialect in DIALECTS {
        let failure = dialect.classify(&answer);
        let hint = Hint::of(&answer);
        let with_body = hint.with_retry_info(body);
        assert!(
            failure.hint == hint || failure.hint == with_body,
            "{dialect:?}"
        );
        if status.is_server_error() {
            assert_is_the_servers(status, &failure);
        }
        assert_safe_code(Some(&failure));

        // The same bytes inside of a 2xx answer.
        let facts = dialect.read_answer(body);
        assert_safe_code(facts.error.as_ref());
        assert_safe(facts.response_id.as_deref(), MAX_ID_BYTES);
        for name in [&b""[..], b"error", b"message_start"] {
            for exception in [false, true] {
                let facts = dialect.read_event(&Event {
                    name,
                    data: body,
                    exception,
                });
                assert_safe_code(facts.error.as_ref());
                assert_safe(facts.response_id, MAX_ID_BYTES);
            }
        }
    }
});

/// Three digits, a line feed, headers up to an empty line, and the body.
fn split(input: &[u8]) -> Option<(StatusCode, &[u8], &[u8])> {
    let (digits, rest) = input.split_first_chunk::<3>()?;
    let status = StatusCode::from_bytes(digits).ok()?;
    let rest = rest.strip_prefix(b"\n")?;
    if let Some(body) = rest.strip_prefix(b"\n") {
        return Some((status, &[], body));
    }
    let blank = rest.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = rest.split_at(blank?);
    Some((status, head, &body[2..]))
}

fn headers(head: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in head.split(|&byte| byte == b'\n').take(16) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// An outage never looks like somebody else's fault.
fn assert_is_the_servers(status: StatusCode, failure: &Failure) {
    use FailureClass::{Overloaded, RateLimit, Server, Timeout, Unknown};
    let expected = match failure.class {
        RateLimit | Overloaded | Server | Timeout => true,
        // A method or a version that the server does not know.
        Unknown => matches!(status.as_u16(), 501 | 505),
        _ => false,
    };
    assert!(expected, "{status} {}", failure.class);
}

fn assert_safe_code(failure: Option<&Failure>) {
    assert_safe(failure.and_then(|f| f.code.as_deref()), MAX_CODE_BYTES);
}

/// Neither text meant for people nor anything that could break a log line.
fn assert_safe(token: Option<&str>, most: usize) {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if let Some(token) = token {
        assert!(!token.is_empty() && token.len() <= most && token.bytes().all(safe));
    }
}
