//! What a batch holds is bounded by its window, whatever the length of its input.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{Body, BoxError, batch::Batch};
use bytes::Bytes;
use http::{Request, Response};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::{alloc::System, cell::Cell};
use tower::service_fn;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WINDOW: usize = 16;
const PROMPT: usize = 4096;

// The only test of its process: the counters are the process's.
#[tokio::test]
async fn a_hundred_times_the_input_takes_no_more_memory() {
    // Once for what is made only once.
    peak(100, false).await;
    for in_order in [false, true] {
        let short = peak(100, in_order).await;
        let long = peak(10_000, in_order).await;
        let prompts = WINDOW * PROMPT;
        assert!(
            short > prompts,
            "{short} bytes are less than the prompts in flight"
        );
        assert!(
            long <= short + prompts / 4,
            "{short} bytes for 100, {long} for 10,000"
        );
    }
}

/// The most live bytes that were seen when a request was taken, beyond those at the beginning.
async fn peak(items: usize, in_order: bool) -> usize {
    let (before, peak) = (live(), Cell::new(0));
    let peak = &peak;
    let requests = (0..items).map(|_| {
        let request = Request::new(Body::from(vec![b'x'; PROMPT]));
        peak.set(peak.get().max(live().saturating_sub(before)));
        request
    });
    let service = service_fn(|request: Request<Body>| async {
        // As long as a call takes, its prompt is there.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        drop(request);
        Ok::<_, BoxError>(Response::new(Bytes::from(vec![b'y'; PROMPT])))
    });
    let mut batch = Batch::new(service).window(WINDOW);
    if in_order {
        batch = batch.in_order();
    }
    let mut results = batch
        .run(requests, |response| async {
            Ok::<_, BoxError>(response.into_body())
        })
        .unwrap();
    let mut ended = 0;
    while let Some((_, result)) = results.next().await {
        assert_eq!(result.unwrap().len(), PROMPT);
        ended += 1;
    }
    assert_eq!(ended, items);
    peak.get()
}

fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats
        .bytes_allocated
        .saturating_sub(stats.bytes_deallocated)
}
