//! A hint is read without touching the heap.

use std::alloc::System;
use std::time::{Duration, SystemTime};

use backstay_dialect::{Answer, Hint};
use http::{HeaderMap, HeaderValue, StatusCode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

// One test only: another one beside it would be counted too.
#[test]
fn reading_one_costs_no_allocation() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("retry-after", "Mon, 01 Jan 2024 00:00:30 UTC"),
        ("x-should-retry", "true"),
        ("x-ratelimit-reset-requests", "1h2m3.5s"),
        ("x-ratelimit-remaining-requests", "0"),
        ("anthropic-ratelimit-tokens-reset", "2024-01-01T00:02:00Z"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let body = br#"{"\u0065rror":{"details":[{"\u0040type":"google.rpc.RetryInfo","retryDelay":"\u0033s"}]}}"#;
    let answer = Answer {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: &headers,
        body,
        now: SystemTime::UNIX_EPOCH,
    };

    // The test harness has a thread of its own, which allocates when it likes: the turn that it left alone counts.
    let turns = (0..20).map(|_| {
        let region = Region::new(GLOBAL);
        let hint = Hint::of(&answer).with_retry_info(body);
        let allocations = region.change().allocations;
        assert_eq!(hint.after, Some(Duration::from_millis(3_723_500)));
        allocations
    });
    assert_eq!(turns.min(), Some(0));
}
