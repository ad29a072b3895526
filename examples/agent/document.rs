//! One call whose answer is a JSON document.

use crate::stack::Stack;
use backstay::{Body, BoxError, Error, Trail};
use http::Request;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tower::ServiceExt;

/// How a call ended, and the trail that tells of its attempts.
pub(crate) struct Called<T> {
    pub(crate) result: Result<T, BoxError>,
    pub(crate) trail: Option<Trail>,
}

/// The most bytes of an answer.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// Sends a request and reads the whole answer.
pub(crate) async fn fetch(stack: &Stack, request: Request<Body>) -> Called<Value> {
    // A service is cloned for each call; the clones share connections, counts and retry budget.
    let response = match stack.clone().oneshot(request).await {
        Ok(response) => response,
        Err(error) => return Called::failed(error),
    };
    // Each response carries the trail of its call.
    let trail = response.extensions().get::<Trail>().cloned();
    let read = Limited::new(response.into_body(), MAX_DOCUMENT)
        .collect()
        .await;
    let result = read.and_then(|read| Ok(serde_json::from_slice(&read.to_bytes())?));
    Called { result, trail }
}

// === impl Called ===

impl<T> Called<T> {
    /// An error carries the trail too, at whatever depth.
    pub(crate) fn failed(error: BoxError) -> Self {
        Self {
            trail: Error::find(&*error).and_then(Error::trail),
            result: Err(error),
        }
    }
}
