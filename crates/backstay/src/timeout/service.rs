//! The service.

use super::{
    Clock, Streaming, Timeouts, TimeoutsBody, TimeoutsFuture, alone::Alone, limits::Limits,
};
use crate::{
    call::{Call, Claim, Held, Phase},
    error::{BoxError, Error, ErrorKind, RequestProblem},
    spoken::Spoken,
};
use backstay_dialect::detect;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower_service::Service;

/// Puts the clocks around each attempt. See the [module](super).
#[derive(Clone, Debug)]
pub struct TimeoutsService<S> {
    inner: S,
    timeouts: Arc<Timeouts>,
}

// === impl TimeoutsService ===

impl<S> TimeoutsService<S> {
    pub(super) fn new(inner: S, timeouts: Arc<Timeouts>) -> Self {
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
        call.adopt_ambient_if_outermost();
        let of_request = request.extensions().get::<Timeouts>().copied();
        if of_request.is_some_and(|of_request| of_request.check().is_err()) {
            let problem = ErrorKind::Request(RequestProblem::ZeroDuration);
            return TimeoutsFuture::refused(Error::of(&call, problem));
        }
        // An attempt that has its clocks already is one that somebody between the layers repeats.
        let (started, alone) = match call.attempt_started() {
            Some(started) if call.claim(Claim::Clocks) => (started, None),
            _ => {
                let started = begin_alone(&call, &request);
                call.claim(Claim::Clocks);
                (started, Some(Alone::new(call.clone())))
            }
        };
        let stream = call.stream().unwrap_or_else(|| is_stream(&request));
        let limits = |timeouts: &Timeouts| {
            let clocks = timeouts.clocks(stream);
            call.set_connect_limit(clocks.limit(Clock::Connect));
            Limits::new(clocks, started, call.attempt_limit())
        };
        let limits = if of_request.is_none() && !call.is_claimed(Claim::TargetClocks) {
            limits(&self.timeouts)
        } else {
            let of_target = call.with_state(|state| state.target_timeouts.clone());
            let mut timeouts = of_request.unwrap_or_default();
            if let Some(of_target) = of_target {
                timeouts = timeouts.or(*of_target);
            }
            limits(&timeouts.or(*self.timeouts))
        };
        TimeoutsFuture::new(self.inner.call(request), call, limits, alone)
    }
}

/// Without a fallback layer outside nobody has said what the call is.
fn begin_alone<B>(call: &Held, request: &Request<B>) -> Instant {
    // The service may have been waited for since the call began, and that is on no clock.
    let now = Instant::now();
    let host = request.uri().host();
    let target = host.unwrap_or("upstream");
    let known = detect(host.unwrap_or_default(), request.uri().path());
    call.begin_attempt((Arc::from(target), None), now, None, |state| {
        state.dialect.get_or_insert(Spoken::Known(known));
    });
    call.set_phase(Phase::Headers);
    now
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
