//! `timeout > retry > timeout` of tower.

use super::{CALL, HEADERS, RETRIES};
use crate::{case::Prompt, subject::Subject, upstream::Upstream};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::{
    future::{Ready, ready},
    rc::Rc,
};
use tokio::runtime::Runtime;
use tower::{BoxError, ServiceBuilder, retry::Policy};

pub(super) fn subject(runtime: &Rc<Runtime>, prompt: &Prompt, upstream: Upstream) -> Subject {
    let service = ServiceBuilder::new()
        .timeout(CALL)
        .retry(Attempts::default())
        .timeout(HEADERS)
        .service(upstream);
    Subject::new::<_, Full<Bytes>, _>("tower", runtime, prompt, service)
}

/// Tries again after an error and after a 5xx, so and so many times.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    left: u32,
}

// === impl Attempts ===

impl Default for Attempts {
    fn default() -> Self {
        Self { left: RETRIES }
    }
}

impl<B: Clone, R> Policy<Request<B>, Response<R>, BoxError> for Attempts {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<B>,
        result: &mut Result<Response<R>, BoxError>,
    ) -> Option<Ready<()>> {
        let failed = match result {
            Ok(response) => response.status().is_server_error(),
            Err(_) => true,
        };
        self.left = self.left.checked_sub(u32::from(failed))?;
        failed.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}
