//! What adapters to other protocols build on: a body that must stream, an attempt that they end, an error that
//! they make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use backstay::{
    BoxError, Call, Error, ErrorKind, ServiceBuilderExt, Timeouts, Trail,
    body::{ReplayableBody, Segments},
    dialect::{Failure, FailureClass},
    fallback::{Target, Targets},
    trail::{Next, Outcome, Reason},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::Duration;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// One frame; then it waits for something that only the answer can bring.
struct Chat {
    first: Option<Bytes>,
}

impl Body for Chat {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl ReplayableBody for Chat {
    fn segments(&self) -> Option<Segments> {
        None
    }

    fn must_stream(&self) -> bool {
        true
    }

    fn from_segments(segments: Segments) -> Self {
        Self {
            first: Some(segments.to_bytes()),
        }
    }

    fn resume(_: Segments, rest: Self) -> Self {
        rest
    }
}

fn plain() -> Targets {
    Targets::plain(Target::named("store")).retries(2)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_must_stream_is_sent_at_once_and_once() {
    let inner = service_fn(|mut request: Request<Chat>| async move {
        let frame = request.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "hello");
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, BoxError>(response)
    });
    let service = ServiceBuilder::new()
        .deadline(Duration::from_secs(1))
        .unwrap()
        .fallback(plain())
        .unwrap()
        .service(inner);
    let request = Request::post("http://store/chat")
        .body(Chat {
            first: Some(Bytes::from_static(b"hello")),
        })
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    let attempts = response.extensions().get::<Trail>().unwrap().attempts();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].next, Some(Next::Stop(Reason::NotReplayable)));
}

#[tokio::test(start_paused = true)]
async fn the_first_end_of_an_attempt_stands_and_an_error_of_the_call_has_its_trail() {
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        let call = Call::of(request.extensions()).unwrap();
        assert!(call.attempt_limit().is_some());
        let quota = Failure::new(FailureClass::Quota).with_code(b"SPENT");
        call.end_attempt(Outcome::InBand, Some(&quota));
        call.end_attempt(
            Outcome::Truncated,
            Some(&Failure::new(FailureClass::Server)),
        );
        let kind = ErrorKind::InBand(FailureClass::Quota);
        let error = Error::in_call(&call.trail(), kind, "what the adapter found");
        Err::<Response<Full<Bytes>>, BoxError>(error.into())
    });
    let service = ServiceBuilder::new()
        .deadline(Duration::from_secs(9))
        .unwrap()
        .fallback(
            plain()
                .retries(0)
                .then(Target::named("other").retries(0))
                .reserve(Duration::from_secs(1)),
        )
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(service_fn(move |request: Request<Full<Bytes>>| {
            let first = Call::of(request.extensions()).unwrap().attempt() == 1;
            async move {
                if first {
                    inner.oneshot(request).await
                } else {
                    Ok(Response::new(Full::default()))
                }
            }
        }));
    let mut request = Request::new(Full::<Bytes>::default());
    request
        .extensions_mut()
        .insert(backstay::fallback::Idempotent);
    let response = service.oneshot(request).await.unwrap();
    let attempts = response.extensions().get::<Trail>().unwrap().attempts();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].outcome, Outcome::InBand);
    assert_eq!(attempts[0].class, Some(FailureClass::Quota));
    assert_eq!(attempts[0].code.as_deref(), Some("SPENT"));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_call_is_found_with_its_kind_trail_and_source() {
    let inner = service_fn(|_: Request<Full<Bytes>>| async move {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
    });
    let service = ServiceBuilder::new()
        .deadline(Duration::from_secs(1))
        .unwrap()
        .timeouts(Timeouts::new())
        .unwrap()
        .service(inner);
    let request = Request::get("http://store/").body(Full::default()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    let trail = response.extensions().get::<Trail>().unwrap();
    let error: BoxError = Error::in_call(trail, ErrorKind::Truncated, "cut").into();
    let found = Error::find(&*error).unwrap();
    assert_eq!(found.kind(), ErrorKind::Truncated);
    assert_eq!(found.target(), Some("store"));
    assert_eq!(found.trail().unwrap().attempts().len(), 1);
    assert_eq!(std::error::Error::source(found).unwrap().to_string(), "cut");
}
