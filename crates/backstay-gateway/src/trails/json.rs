//! The entries as JSON, for machines. Times are milliseconds since the call began.

use super::Entry;
use backstay::trail::{Attempt, Next};
use serde_json::{Value, json};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Duration;

pub(super) fn render(entries: &[Arc<Entry>]) -> String {
    let calls: Vec<_> = entries.iter().map(|entry| call(entry)).collect();
    json!({ "calls": calls }).to_string()
}

pub(super) fn one(entry: &Entry) -> String {
    call(entry).to_string()
}

fn call(entry: &Entry) -> Value {
    let began = entry
        .at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (attempts, passed_over) = match entry.trail() {
        Some(trail) => (
            trail.attempts().iter().map(attempt).collect(),
            trail
                .passed_over()
                .iter()
                .map(|passed| {
                    json!({
                        "target": &*passed.target,
                        "at_ms": millis(passed.at),
                        "reason": passed.reason.as_str(),
                    })
                })
                .collect(),
        ),
        None => (Vec::new(), Vec::new()),
    };
    json!({
        "id": entry.id(),
        "began_unix_ms": u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
        "endpoint": entry.path,
        "route": &*entry.route,
        "caller": entry.caller.as_deref(),
        "status": entry.status(),
        "ending": entry.ending().as_str(),
        "took_ms": millis(entry.took()),
        "bytes": entry.bytes(),
        "attempts": attempts,
        "passed_over": passed_over,
    })
}

fn attempt(attempt: &Attempt) -> Value {
    let (next, reason) = match attempt.next {
        Some(Next::Retry) => (Some("retry"), None),
        Some(Next::Skip(reason)) => (Some("skip"), Some(reason.as_str())),
        Some(Next::Stop(reason)) => (Some("stop"), Some(reason.as_str())),
        _ => (None, None),
    };
    json!({
        "number": attempt.number,
        "target": &*attempt.target,
        "model": attempt.model.as_deref(),
        "outcome": attempt.outcome.as_str(),
        "status": attempt.status.map(|status| status.as_u16()),
        "class": attempt.class.map(|class| class.as_str()),
        "code": attempt.code.as_deref(),
        "request_id": attempt.request_id.as_deref(),
        "uncertain": attempt.uncertain,
        "bytes": attempt.bytes,
        "started_ms": millis(attempt.started),
        "headers_ms": attempt.headers.map(millis),
        "first_token_ms": attempt.first_token.map(millis),
        "committed_ms": attempt.committed.map(millis),
        "ended_ms": attempt.ended.map(millis),
        "next": next,
        "reason": reason,
        "wait_ms": attempt.wait.map(|wait| millis(wait.duration)),
        "wait_reason": attempt.wait.map(|wait| wait.reason.as_str()),
    })
}

/// With three digits behind the point.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
