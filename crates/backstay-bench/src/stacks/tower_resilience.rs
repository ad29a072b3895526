//! `time limiter > retry > time limiter` of tower-resilience.

use super::{BACKOFF, CALL, HEADERS, RETRIES};
use crate::{
    case::{Bare, Prompt},
    subject::Subject,
    upstream::Upstream,
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::rc::Rc;
use tokio::runtime::Runtime;
use tower::{BoxError, ServiceBuilder};
use tower_resilience::{
    retry::RetryLayer,
    timelimiter::{TimeLimiterError, TimeLimiterLayer},
};

pub(super) fn subject(runtime: &Rc<Runtime>, prompt: &Prompt, upstream: Upstream) -> Subject {
    let retry = RetryLayer::<Request<Full<Bytes>>, Bare, TimeLimiterError<BoxError>>::builder()
        .max_attempts(RETRIES as usize + 1)
        .exponential_backoff(BACKOFF)
        .retry_on_response(|response: &Bare| response.status().is_server_error())
        .build();
    let service = ServiceBuilder::new()
        .layer(TimeLimiterLayer::builder().timeout_duration(CALL).build())
        .layer(retry)
        .layer(
            TimeLimiterLayer::builder()
                .timeout_duration(HEADERS)
                .build(),
        )
        .service(upstream);
    Subject::new::<_, Full<Bytes>, _>("tower-resilience", runtime, prompt, service)
}
