//! The service.

use super::{Streaming, Timeouts, TimeoutsBody, TimeoutsFuture, limits::Limits};
use crate::{
    call::{Call, Claim},
    error::{BoxError, Error, ErrorKind, RequestProblem},
    trail::Attempt,
};
use backstay_dialect::{AnthropicMessages, Dialect, OpenAiChat, Plain, detect};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// Puts the clocks around each attempt. See the [module](super).
#[derive(Clone, Debug)]
pub struct TimeoutsService<S> {
    inner: S,
    timeouts: Timeouts,
}

// === impl TimeoutsService ===

impl<S> TimeoutsService<S> {
    pub(super) fn new(inner: S, timeouts: Timeouts) -> Self {
        Self { inner, timeouts }
    }

    define_inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for TimeoutsService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<TimeoutsBody<R>>;
    type Error = BoxError;
    type Future = TimeoutsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::find_or_begin(&mut request);
        let now = call.now();
        let own = match request.extensions().get::<Timeouts>() {
            Some(of_request) if of_request.check().is_err() => {
                let problem = ErrorKind::Request(RequestProblem::ZeroDuration);
                return TimeoutsFuture::refused(Error::of(&call, problem));
            }
            Some(of_request) => of_request.or(self.timeouts),
            None => self.timeouts,
        };
        if call.attempt() == 0 {
            begin_alone(&call, &request, now);
        }
        call.claim(Claim::Clocks);
        let limits = call.with_state(|state| {
            let timeouts = match &state.target_timeouts {
                Some(of_target) => match request.extensions().get::<Timeouts>() {
                    Some(of_request) => of_request.or(**of_target).or(self.timeouts),
                    None => of_target.or(own),
                },
                None => own,
            };
            let stream = state.stream.unwrap_or_else(|| is_stream(&request));
            let clocks = timeouts.clocks(stream);
            state.connect_limit = clocks.limit(super::Clock::Connect);
            Limits::new(clocks, now)
        });
        let limits = limits.within(call.attempt_limit());
        TimeoutsFuture::new(self.inner.call(request), call, limits)
    }
}

/// Without a fallback layer outside this is the only attempt of the call, and nobody has said what the
/// call is.
fn begin_alone<B>(call: &Call, request: &Request<B>, now: tokio::time::Instant) {
    let target = request
        .uri()
        .authority()
        .map_or("upstream", |authority| authority.host());
    let attempt = Attempt::new(Arc::from(target), None, call.since_start(now));
    let dialect = shared(detect(request.uri().path()));
    call.begin_attempt(attempt, None, |state| {
        state.dialect.get_or_insert(dialect);
    });
}

fn shared(detected: &dyn Dialect) -> Arc<dyn Dialect> {
    match detected.name() {
        "openai-chat" => Arc::new(OpenAiChat),
        "anthropic-messages" => Arc::new(AnthropicMessages),
        _ => Arc::new(Plain),
    }
}

fn is_stream<B>(request: &Request<B>) -> bool {
    match request.extensions().get::<Streaming>() {
        Some(Streaming(word)) => *word,
        None => request
            .headers()
            .get(header::ACCEPT)
            .is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream")),
    }
}
