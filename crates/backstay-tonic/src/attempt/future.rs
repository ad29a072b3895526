//! The future: to a head whose status is known.

use super::{
    GrpcAttemptBody,
    hold::{Hold, HoldEnd},
    layer::HoldBounds,
};
use crate::{
    code,
    dialect::code_of,
    methods::Reply,
    status::{drop_broken_details, find},
    wire::GRPC_STATUS,
};
use backstay::{
    BoxError, Call, Error, ErrorKind,
    dialect::Failure,
    trail::{Note, Outcome},
    transport::{Delivery, SendFailure},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Duration, Instant, Sleep, sleep_until};
use tonic::{Code, ConnectError, Status, TimeoutExpired};

pin_project! {
    /// The response future of [`GrpcAttemptService`](super::GrpcAttemptService).
    #[must_use = "futures do nothing unless polled"]
    pub struct GrpcAttemptFuture<F, R> {
        // Dropped as soon as its answer is there.
        #[pin]
        inner: Option<F>,
        holding: Option<Hold<R>>,
        late: Option<Late>,
        call: Option<Call>,
        reply: Reply,
        limit: Option<Instant>,
        bounds: HoldBounds,
    }
}

/// The channel's own timer went off, a moment before the deadline that it was set by.
struct Late {
    error: Option<BoxError>,
    sleep: Pin<Box<Sleep>>,
    yielded: bool,
}

/// How much earlier than the limit the channel's timer can go off: the header is rounded down to a
/// microsecond below 100 s, to a millisecond above, and timers have a resolution of one.
const ROUNDING: Duration = Duration::from_millis(3);
/// How long after the limit somebody else is given to say that it passed.
const GRACE: Duration = Duration::from_millis(5);

// === impl GrpcAttemptFuture ===

impl<F, R> GrpcAttemptFuture<F, R> {
    pub(super) fn new(
        inner: F,
        call: Option<Call>,
        reply: Reply,
        limit: Option<Instant>,
        bounds: HoldBounds,
    ) -> Self {
        Self {
            inner: Some(inner),
            holding: None,
            late: None,
            call,
            reply,
            limit,
            bounds,
        }
    }
}

impl<F, R, E> Future for GrpcAttemptFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<GrpcAttemptBody<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            let result = ready!(inner.poll(cx));
            this.inner.set(None);
            match result {
                Ok(response) => match judge(response, *this.reply, this.call.as_ref()) {
                    Judged::Answer(response) => return Poll::Ready(Ok(response)),
                    Judged::Held(hold) => *this.holding = Some(hold),
                },
                Err(error) => {
                    let error = error.into();
                    match late(&*error, *this.limit) {
                        Some(sleep) => {
                            *this.late = Some(Late {
                                error: Some(error),
                                sleep,
                                yielded: false,
                            });
                        }
                        None => return Poll::Ready(Err(delivery(error))),
                    }
                }
            }
        }
        if let Some(late) = this.late {
            ready!(late.poll(cx));
            let error = late.error.take();
            *this.late = None;
            return match error {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            };
        }
        let Some(hold) = this.holding else {
            // Polled again after its end, which no future must be.
            return Poll::Pending;
        };
        let end = ready!(hold.poll(cx, *this.bounds));
        let Some(hold) = this.holding.take() else {
            return Poll::Pending;
        };
        let Hold {
            mut parts,
            body,
            frames,
            ..
        } = hold;
        Poll::Ready(match end {
            HoldEnd::Pass | HoldEnd::Whole | HoldEnd::Bound => {
                if let (HoldEnd::Bound, Some(call)) = (&end, &*this.call) {
                    call.note_attempt(Note::HoldBound);
                }
                let body = (!matches!(end, HoldEnd::Whole)).then_some(body);
                let body = GrpcAttemptBody::watched(frames, body, this.call.take());
                Ok(Response::from_parts(parts, body))
            }
            HoldEnd::Failed(trailers) => {
                // As a server sends a failure that it knows at once: all of it in the head.
                parts.headers.extend(trailers);
                Ok(failed(parts, this.call.as_ref()))
            }
            HoldEnd::Truncated => Err(truncated(this.call.as_ref())),
            HoldEnd::Broke(error) => Err(error),
        })
    }
}

// === impl Late ===

impl Late {
    /// Once more pending when the time has come: on a busy machine the timer outside is due in that same poll,
    /// and it looks only when nothing is ready in here.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        // From now on it is ready at once, whenever it is polled.
        self.sleep.as_mut().reset(Instant::now());
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

enum Judged<R> {
    Answer(Response<GrpcAttemptBody<R>>),
    Held(Hold<R>),
}

/// What a head says.
fn judge<R>(response: Response<R>, reply: Reply, call: Option<&Call>) -> Judged<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    let (mut parts, body) = response.into_parts();
    drop_broken_details(&mut parts.headers);
    match code_of(&parts.headers) {
        Some(Code::Ok) => {
            let body = GrpcAttemptBody::unwatched(body);
            Judged::Answer(Response::from_parts(parts, body))
        }
        Some(_) => Judged::Answer(failed(parts, call)),
        // A proxy's word: its status is classified as it is.
        None if parts.status != StatusCode::OK => {
            let body = GrpcAttemptBody::unwatched(body);
            Judged::Answer(Response::from_parts(parts, body))
        }
        None if !is_grpc(&parts.headers) => {
            let code = HeaderValue::from(Code::Unknown as i32);
            parts.headers.insert(GRPC_STATUS, code);
            Judged::Answer(failed(parts, call))
        }
        None => Judged::Held(Hold::new(parts, body, reply)),
    }
}

/// "`Content-Type` → "application/grpc" [("+proto" / "+json" / {custom})]"; whoever answers with another one
/// does not speak gRPC (PROTOCOL-HTTP2.md, "Responses"). One that is missing is tolerated, as tonic does.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A failure that the fallback layer can see: its status is that of the code.
fn failed<R>(mut parts: Parts, call: Option<&Call>) -> Response<GrpcAttemptBody<R>> {
    if let Some(code) = code_of(&parts.headers) {
        parts.status = code::http_status(code);
        if let Some(call) = call {
            call.end_attempt(Outcome::Status, Some(&failure(code)));
        }
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, GrpcAttemptBody::empty())
}

/// A code in the words of the trail.
pub(super) fn failure(code: Code) -> Failure {
    Failure::new(code::class(code)).with_code(code::name(code).as_bytes())
}

/// The reply ended, and did not say how the call had.
pub(super) fn truncated(call: Option<&Call>) -> BoxError {
    let status = Status::unavailable("the reply ended without a gRPC status");
    match call {
        Some(call) => {
            call.end_attempt(Outcome::Truncated, None);
            Error::in_call(&call.trail(), ErrorKind::Truncated, status).into()
        }
        None => status.into(),
    }
}

/// When to say that the channel gave up, if it did so for the limit that we had written.
fn late(error: &(dyn StdError + 'static), limit: Option<Instant>) -> Option<Pin<Box<Sleep>>> {
    let limit = limit?;
    find::<TimeoutExpired>(error)?;
    // Else it is a limit of the endpoint's own.
    let near = limit.saturating_duration_since(Instant::now()) <= ROUNDING;
    near.then(|| Box::pin(sleep_until(limit + GRACE)))
}

/// What HTTP/2 and tonic's channel know of a request that failed.
fn delivery(error: BoxError) -> BoxError {
    let unprocessed = find::<ConnectError>(&*error).is_some()
        || find::<h2::Error>(&*error).is_some_and(|error| {
            let reason = error.reason();
            // RFC 9113, section 8.7: both are proof that nothing was done.
            error.is_remote() && !error.is_go_away() && reason == Some(h2::Reason::REFUSED_STREAM)
                || error.is_remote() && error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
        });
    if unprocessed && Delivery::of(&*error) != Delivery::NotSent {
        return SendFailure::new(Delivery::NotSent)
            .with_source(error)
            .into();
    }
    error
}

impl<F, R> fmt::Debug for GrpcAttemptFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcAttemptFuture")
            .field("call", &self.call)
            .field("reply", &self.reply)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
