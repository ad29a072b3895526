//! A prompt is never copied, however often it is sent and whatever model it is sent to.
//!
//! One test only: whatever else ran in this program would be counted too.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{Body, BoxError, fallback::Targets};
use backstay_tests::{
    answer::read,
    ask::{Api, document},
    stack::Setup,
    within,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{alloc::System, sync::Arc};
use tower::service_fn;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PROMPT: usize = 1024 * 1024;
/// All that three attempts and their records may take together: a sixteenth of one copy.
const MOST: usize = 64 * 1024;

/// What reached the upstream in one attempt.
#[derive(Default)]
struct Seen {
    bytes: usize,
    /// How many of them lie where the caller put them.
    shared: usize,
    /// The start of the document, as far as the model goes.
    start: [u8; 16],
}

#[tokio::test]
async fn three_attempts_for_three_models_copy_nothing() {
    let prompt = format!("\"{}\"", "p".repeat(PROMPT));
    let prompt = Bytes::from(document("caller", true).replacen("\"Hello\"", &prompt, 1));
    let callers = prompt.as_ptr_range();
    let callers = callers.start as usize..callers.end as usize;

    let seen = Arc::new(Mutex::new(Vec::with_capacity(3)));
    let upstream = service_fn({
        let seen = seen.clone();
        move |request: Request<Body>| {
            let (seen, callers) = (seen.clone(), callers.clone());
            async move {
                let mut body = request.into_body();
                let mut read = Seen::default();
                while let Some(frame) = body.frame().await {
                    let data = frame?.into_data().unwrap_or_default();
                    for (at, byte) in data.iter().take(16).enumerate() {
                        if let Some(place) = read.start.get_mut(read.bytes + at) {
                            *place = *byte;
                        }
                    }
                    read.bytes += data.len();
                    if callers.contains(&(data.as_ptr() as usize)) {
                        read.shared += data.len();
                    }
                }
                seen.lock().push(read);
                let mut response = Response::new(Full::<Bytes>::default());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Ok::<_, BoxError>(response)
            }
        }
    });
    let models = ["one", "second", "the-3rd"];
    let targets = Targets::new(models[0]).then(models[1]).then(models[2]);
    let stack = Setup::new(targets.retries(0)).over(upstream);
    let request = Api::OpenAi.with("http://upstream.example", prompt.clone());

    let region = Region::new(ALLOCATOR);
    let response = within(stack.call(request)).await.unwrap();
    let change = region.change();

    assert!(change.bytes_allocated < MOST, "{change:?}");
    assert_eq!(read(response).await.attempts().len(), 3);
    for (seen, model) in seen.lock().iter().zip(models) {
        let literal = model.len() + 2;
        assert_eq!(seen.bytes, prompt.len() - "\"caller\"".len() + literal);
        assert_eq!(seen.shared, seen.bytes - literal);
        let start = format!("{{\"model\":\"{model}\",");
        let most = start.len().min(seen.start.len());
        assert_eq!(seen.start[..most], start.as_bytes()[..most]);
    }
    assert_eq!(seen.lock().len(), 3);
}
