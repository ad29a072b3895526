//! tower's stack with tower-http's layers for the body: what comes nearest to backstay's promises.

use super::{CALL, HEADERS, IDLE, tower::Attempts};
use crate::{case::Prompt, subject::Subject, upstream::Upstream};
use bytes::Bytes;
use http::{Request, response::Parts};
use http_body_util::Full;
use std::{hint::black_box, rc::Rc};
use tokio::runtime::Runtime;
use tower::ServiceBuilder;
use tower_http::{
    on_early_drop::{OnBodyDropFn, OnEarlyDropLayer},
    timeout::{ResponseBodyDeadlineLayer, ResponseBodyTimeoutLayer},
};

pub(super) fn subject(runtime: &Rc<Runtime>, prompt: &Prompt, upstream: Upstream) -> Subject {
    let on_early_drop = OnEarlyDropLayer::builder()
        .on_future_drop(|_: &Request<Full<Bytes>>| hook)
        .on_body_drop(OnBodyDropFn::new(|_: &Request<Full<Bytes>>| {
            |_: &Parts| hook
        }));
    let service = ServiceBuilder::new()
        .layer(on_early_drop)
        .timeout(CALL)
        .layer(ResponseBodyDeadlineLayer::new(CALL))
        .retry(Attempts::default())
        .timeout(HEADERS)
        .layer(ResponseBodyTimeoutLayer::new(IDLE))
        .service(upstream);
    Subject::new::<_, Full<Bytes>, _>(super::TOWER_HTTP, runtime, prompt, service)
}

fn hook() {
    black_box("dropped before its end");
}
