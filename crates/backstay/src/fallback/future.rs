//! The future: attempts until one is let through.

use super::{
    Commit, FallbackBody,
    answer::FailedAnswer,
    course::{Course, Failing, Verdict},
    hold::{Hold, HoldEnd},
    original::Original,
    plan::Plan,
    policy::Cause,
};
use crate::{
    alarm::Alarm,
    body::{ReplayableBody, Segments},
    call::{Call, Claim, Held, Phase},
    error::{BoxError, Error, ErrorKind, RequestProblem},
    timeout::Clock,
    trail::Outcome,
};
use backstay_dialect::{Answer, Failure, FailureClass};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, Request, Response, request, response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};
use tokio::time::Instant;
use tower_service::Service;

pin_project! {
    /// The response future of [`FallbackService`](super::FallbackService).
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: ReplayableBody,
    {
        #[pin]
        state: State<S::Future, B, R>,
        rest: Rest<S, B, R>,
    }

    impl<S, B, R> PinnedDrop for FallbackFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: ReplayableBody,
    {
        fn drop(mut this: Pin<&mut Self>) {
            this.as_mut().project().rest.abandoned();
        }
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, R> {
        /// Not polled yet.
        Start { request: Option<Request<B>> },
        /// The body is read into memory.
        Reading { parts: Option<request::Parts>, body: Option<B>, read: BytesMut },
        /// An attempt is to be opened.
        Next,
        /// The service is made ready for it.
        Readying { request: Option<Request<B>> },
        /// It is on its way.
        Calling { #[pin] future: F },
        /// A 2xx answer is held back.
        Holding { hold: Option<Hold<R>> },
        /// An answer that says that it failed is read.
        Failing { answer: Option<FailedAnswer<R>> },
        /// Between two attempts.
        Waiting { until: Instant },
        Done,
    }
}

/// All that is not the attempt under way.
struct Rest<S, B, R> {
    service: S,
    course: Course<B>,
    /// Until the head is returned, or an error.
    call: Option<Held>,
    /// For the waits; and for the attempt's limit, where no timeouts layer keeps it.
    alarm: Alarm,
    commit: Option<Commit>,
    /// The attempt under way was sent a second time.
    resent: bool,
    /// What the first target said last: the caller's own choice speaks when all is exhausted.
    first_word: Option<LastWord<R>>,
}

/// How an attempt ended, as the caller would see it.
enum LastWord<R> {
    Answer(response::Parts, Bytes, Option<R>),
    Error(BoxError),
}

type Output<R> = Result<Response<FallbackBody<R>>, BoxError>;

// === impl FallbackFuture ===

impl<S, B, R> FallbackFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: ReplayableBody,
{
    pub(super) fn new(service: S, plan: Arc<Plan>, request: Request<B>, call: Held) -> Self {
        Self {
            rest: Rest {
                service,
                course: Course::new(plan),
                call: Some(call),
                alarm: Alarm::default(),
                commit: request.extensions().get::<Commit>().copied(),
                resent: false,
                first_word: None,
            },
            state: State::Start {
                request: Some(request),
            },
        }
    }
}

impl<S, B, R> Future for FallbackFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: ReplayableBody,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Output<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output<R>> {
        let mut this = self.project();
        loop {
            let Some(call) = this.rest.call.as_deref().cloned() else {
                // Polled again after its end, which no future must be.
                return Poll::Pending;
            };
            let next = match this.state.as_mut().project() {
                StateProj::Start { request } => {
                    call.adopt_ambient_deadline();
                    match request.take() {
                        Some(request) => this.rest.start(&call, request),
                        None => return Poll::Pending,
                    }
                }
                StateProj::Reading { parts, body, read } => {
                    match this.rest.poll_read(cx, &call, parts, body, read) {
                        Poll::Ready(step) => step,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                StateProj::Next => this.rest.begin(&call),
                StateProj::Readying { request } => match this.rest.service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => match request.take() {
                        Some(request) => {
                            call.set_phase(Phase::Headers);
                            Step::Go(State::Calling {
                                future: this.rest.service.call(request),
                            })
                        }
                        None => return Poll::Pending,
                    },
                    Poll::Ready(Err(error)) => this.rest.attempt_failed(&call, error.into()),
                    Poll::Pending => return Poll::Pending,
                },
                StateProj::Calling { future } => match future.poll(cx) {
                    Poll::Ready(Ok(response)) => this.rest.head_came(&call, response),
                    Poll::Ready(Err(error)) => {
                        // Before anything else is done: dropping the future lets go of its connection.
                        this.state.set(State::Next);
                        this.rest.send_failed(&call, error.into())
                    }
                    Poll::Pending => match this.rest.poll_limit(cx, &call) {
                        Some(error) => {
                            this.state.set(State::Next);
                            this.rest.attempt_failed(&call, error.into())
                        }
                        None => return Poll::Pending,
                    },
                },
                StateProj::Holding { hold } => match this.rest.poll_hold(cx, &call, hold) {
                    Poll::Ready(step) => step,
                    Poll::Pending => return Poll::Pending,
                },
                StateProj::Failing { answer } => match answer {
                    Some(reading) => match reading.poll_prefix(cx) {
                        Poll::Ready(()) => match answer.take() {
                            Some(answer) => this.rest.answer_failed(&call, answer),
                            None => return Poll::Pending,
                        },
                        Poll::Pending => return Poll::Pending,
                    },
                    None => return Poll::Pending,
                },
                StateProj::Waiting { until } => {
                    let until = *until;
                    match this.rest.alarm.poll(cx, Some(until)) {
                        Poll::Ready(()) => Step::Go(State::Next),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                StateProj::Done => return Poll::Pending,
            };
            match next {
                Step::Go(state) => this.state.set(state),
                Step::End(output) => {
                    this.state.set(State::Done);
                    this.rest.call = None;
                    return Poll::Ready(output);
                }
            }
        }
    }
}

/// What follows in the loop.
enum Step<F, B, R> {
    Go(State<F, B, R>),
    End(Output<R>),
}

// === impl Rest ===

impl<S, B, R> Rest<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: ReplayableBody,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    fn start(&mut self, call: &Call, request: Request<B>) -> Step<S::Future, B, R> {
        let (parts, body) = request.into_parts();
        let plan = self.course.plan.clone();
        let original = match body.segments() {
            Some(segments) => Original::in_memory(&plan, call, parts, segments),
            // It would be read for nothing.
            None if body.size_hint().lower() > plan.replay_limit as u64 => {
                Original::once(&plan, call, parts, body)
            }
            None => {
                return Step::Go(State::Reading {
                    parts: Some(parts),
                    body: Some(body),
                    read: BytesMut::new(),
                });
            }
        };
        self.read(original)
    }

    fn read(&mut self, original: Result<Original<B>, Error>) -> Step<S::Future, B, R> {
        match original {
            Ok(original) => {
                self.course.original = Some(original);
                Step::Go(State::Next)
            }
            Err(error) => self.end_with_error(error.into()),
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        parts: &mut Option<request::Parts>,
        body: &mut Option<B>,
        read: &mut BytesMut,
    ) -> Poll<Step<S::Future, B, R>> {
        let plan = self.course.plan.clone();
        loop {
            let Some(reading) = body.as_mut() else {
                return Poll::Pending;
            };
            let ended = match Pin::new(reading).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        read.extend_from_slice(data);
                    }
                    false
                }
                Poll::Ready(Some(Err(error))) => {
                    let problem = ErrorKind::Request(RequestProblem::Unreadable);
                    let error = Error::of(call, problem).with_source(error);
                    return Poll::Ready(self.end_with_error(error.into()));
                }
                Poll::Ready(None) => true,
                Poll::Pending => return Poll::Pending,
            };
            if !ended && read.len() <= plan.replay_limit {
                continue;
            }
            let (Some(parts), Some(rest)) = (parts.take(), body.take()) else {
                return Poll::Pending;
            };
            let segments = Segments::from(std::mem::take(read).freeze());
            let original = if ended {
                Original::in_memory(&plan, call, parts, segments)
            } else {
                Original::once(&plan, call, parts, B::resume(segments, rest))
            };
            return Poll::Ready(self.read(original));
        }
    }

    fn begin(&mut self, call: &Call) -> Step<S::Future, B, R> {
        self.resent = false;
        let now = Instant::now();
        match self.course.begin(call, now) {
            Some(Ok(request)) => Step::Go(State::Readying {
                request: Some(request),
            }),
            Some(Err(error)) => {
                let at = call.since_start(now);
                call.with_attempt(|attempt| attempt.end(Outcome::Transport, at));
                // A target that cannot be called does not hide the failure that led to it.
                match self.first_word.take() {
                    Some(word) => self.end_with(call, word),
                    None => self.end_with_error(error.into()),
                }
            }
            None => match self.first_word.take() {
                Some(word) => self.end_with(call, word),
                None => self.end_with_error(Error::deadline(call, now).into()),
            },
        }
    }

    fn head_came(&mut self, call: &Call, response: Response<R>) -> Step<S::Future, B, R> {
        let status = response.status();
        let request_id = request_id(&response);
        if request_id.is_some() || !call.is_claimed(Claim::Observer) {
            let at = call.since_start(Instant::now());
            call.with_attempt(|attempt| {
                attempt.headers.get_or_insert(at);
                attempt.status = Some(status);
                attempt.request_id = request_id;
            });
        }
        if status.is_client_error() || status.is_server_error() {
            return Step::Go(State::Failing {
                answer: Some(FailedAnswer::new(response, Instant::now())),
            });
        }
        let (parts, body) = response.into_parts();
        let point = self
            .commit
            .or(self.course.route().commit)
            .or(self.course.plan.commit);
        let mut hold = Hold::new(parts, body, call, point);
        if !status.is_success() || !self.course.could_go_on() {
            hold.commit_at_head();
        }
        Step::Go(State::Holding { hold: Some(hold) })
    }

    fn poll_hold(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        slot: &mut Option<Hold<R>>,
    ) -> Poll<Step<S::Future, B, R>> {
        let Some(hold) = slot else {
            return Poll::Pending;
        };
        let end = match hold.poll(cx, call, &self.course.plan.hold) {
            Poll::Ready(end) => end,
            Poll::Pending => match self.poll_limit(cx, call) {
                Some(error) => HoldEnd::Failed(error.into()),
                None => return Poll::Pending,
            },
        };
        let Some(hold) = slot.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match end {
            HoldEnd::Committed { ended } => self.commit(call, hold, ended),
            HoldEnd::Failed(error) => {
                drop(hold);
                self.attempt_failed(call, error)
            }
            HoldEnd::InBand => {
                let failure = in_band(call);
                drop(hold);
                let error = Error::of(call, ErrorKind::InBand(failure.class));
                self.next(
                    call,
                    &Failing::in_band(&failure),
                    LastWord::Error(error.into()),
                )
            }
            HoldEnd::Truncated => {
                drop(hold);
                let error = Error::of(call, ErrorKind::Truncated);
                self.next(call, &Failing::truncated(), LastWord::Error(error.into()))
            }
            HoldEnd::Empty => {
                drop(hold);
                let error = Error::of(call, ErrorKind::Empty);
                self.next(call, &Failing::empty(), LastWord::Error(error.into()))
            }
        })
    }

    fn commit(&mut self, call: &Call, hold: Hold<R>, ended: bool) -> Step<S::Future, B, R> {
        let now = Instant::now();
        let at = call.since_start(now);
        call.with_state(|state| {
            if let Some(attempt) = state.trail.last_mut() {
                attempt.committed = Some(at);
                if ended {
                    attempt.end(Outcome::Complete, at);
                }
            }
            if ended {
                state.trail.end(at);
            }
        });
        tracing::trace!(attempt.target = &*self.course.route().name, "committed");
        self.course.plan.budget.deposit();
        self.course.original = None;
        let Hold {
            parts,
            body,
            observer,
            content,
            frames,
            ..
        } = hold;
        let held = self.call.take();
        let mut response = Response::from_parts(parts, ());
        if let Some(held) = &held {
            held.mark(&mut response);
        }
        let body = (!ended).then_some(body);
        Step::End(Ok(response.map(|()| {
            FallbackBody::live(frames, body, observer, content, held)
        })))
    }

    fn answer_failed(&mut self, call: &Call, answer: FailedAnswer<R>) -> Step<S::Future, B, R> {
        let status = answer.parts.status;
        let (failure, idempotent) = match &self.course.original {
            Some(original) => {
                let failure = original.dialect().classify(&Answer {
                    status,
                    headers: &answer.parts.headers,
                    body: answer.legible(),
                    now: SystemTime::now(),
                });
                (failure, original.is_idempotent())
            }
            None => (Failure::new(FailureClass::of_status(status)), true),
        };
        let cause = Cause::Status {
            status,
            headers: &answer.parts.headers,
            body: answer.legible(),
            failure: &failure,
        };
        let now = Instant::now();
        let first = self.course.is_at_first_target();
        let verdict = self
            .course
            .failed(call, &Failing::status(cause, status, idempotent), now);
        match verdict {
            Verdict::Over if first => {
                let (parts, read, rest) = answer.into_parts();
                self.end_with(call, LastWord::Answer(parts, read, rest))
            }
            // Before any wait, so that the connection is not held while nothing is done with it.
            verdict => {
                let (parts, read) = answer.let_go();
                self.follow(
                    call,
                    verdict,
                    first,
                    LastWord::Answer(parts, read, None),
                    now,
                )
            }
        }
    }

    /// No byte of a response came. Once for each attempt, a request that met a dying connection is sent
    /// again at once.
    fn send_failed(&mut self, call: &Call, error: BoxError) -> Step<S::Future, B, R> {
        if !self.resent {
            match self.course.resend(call, &*error) {
                Some(Ok(request)) => {
                    self.resent = true;
                    return Step::Go(State::Readying {
                        request: Some(request),
                    });
                }
                Some(Err(error)) => return self.end_with_error(error.into()),
                None => {}
            }
        }
        self.attempt_failed(call, error)
    }

    fn attempt_failed(&mut self, call: &Call, error: BoxError) -> Step<S::Future, B, R> {
        let Some(failing) = Failing::error(&*error) else {
            let at = call.since_start(Instant::now());
            call.with_attempt(|attempt| attempt.end(Outcome::Cancelled, at));
            return self.end_with_error(error);
        };
        // The client's error keeps its type; what backstay did not make itself is told with the trail.
        let now = Instant::now();
        let first = self.course.is_at_first_target();
        let verdict = self.course.failed(call, &failing, now);
        let error = if Error::find(&*error).is_some() {
            error
        } else {
            Error::of(call, ErrorKind::Transport)
                .with_source(error)
                .into()
        };
        self.follow(call, verdict, first, LastWord::Error(error), now)
    }

    fn next(
        &mut self,
        call: &Call,
        failing: &Failing<'_>,
        word: LastWord<R>,
    ) -> Step<S::Future, B, R> {
        let now = Instant::now();
        let first = self.course.is_at_first_target();
        let verdict = self.course.failed(call, failing, now);
        self.follow(call, verdict, first, word, now)
    }

    fn follow(
        &mut self,
        call: &Call,
        verdict: Verdict,
        first: bool,
        word: LastWord<R>,
        now: Instant,
    ) -> Step<S::Future, B, R> {
        if first || self.first_word.is_none() {
            self.first_word = Some(word);
        }
        match verdict {
            Verdict::Again(wait) if wait.is_zero() => Step::Go(State::Next),
            Verdict::Again(wait) => {
                call.set_phase(Phase::Backoff);
                // The timer may still stand at the limit of the attempt before.
                self.alarm = Alarm::default();
                Step::Go(State::Waiting { until: now + wait })
            }
            Verdict::Over => match self.first_word.take() {
                Some(word) => self.end_with(call, word),
                None => self.end_with_error(Error::deadline(call, now).into()),
            },
        }
    }

    /// The limit of the attempt, where no timeouts layer further in keeps it.
    fn poll_limit(&mut self, cx: &mut Context<'_>, call: &Call) -> Option<Error> {
        if call.is_claimed(Claim::Clocks) {
            return None;
        }
        let at = call.attempt_limit()?;
        if self.alarm.poll(cx, Some(at)).is_pending() {
            return None;
        }
        let now = Instant::now();
        let started = call.with_state(|state| state.trail.last().map(|attempt| attempt.started));
        let started = started.unwrap_or_default();
        let limit = call.since_start(at).saturating_sub(started);
        let elapsed = call.since_start(now).saturating_sub(started);
        Some(Error::timeout(call, Clock::Attempt, limit, elapsed))
    }

    fn end_with(&mut self, call: &Call, word: LastWord<R>) -> Step<S::Future, B, R> {
        call.end(Instant::now());
        match word {
            LastWord::Answer(parts, read, rest) => {
                let held = self.call.take();
                let mut response = Response::from_parts(parts, ());
                if let Some(held) = &held {
                    held.mark(&mut response);
                }
                Step::End(Ok(response.map(|()| FallbackBody::answer(read, rest, held))))
            }
            LastWord::Error(error) => Step::End(Err(error)),
        }
    }

    fn end_with_error(&mut self, error: BoxError) -> Step<S::Future, B, R> {
        if let Some(call) = &self.call {
            call.end(Instant::now());
        }
        Step::End(Err(error))
    }
}

impl<S, B: ReplayableBody, R> Rest<S, B, R> {
    fn abandoned(&mut self) {
        if let Some(call) = self.call.take() {
            self.course.abandoned(&call, Instant::now());
        }
    }
}

/// The in-band error that the observer saw.
pub(super) fn in_band(call: &Call) -> Failure {
    call.with_state(|state| state.in_band.clone())
        .unwrap_or_else(|| Failure::new(FailureClass::Unknown))
}

/// The provider's id for the request, as `OpenAI` and `Anthropic` name it. Ids are short and plain.
fn request_id<R>(response: &Response<R>) -> Option<Box<str>> {
    const NAMES: [HeaderName; 2] = [
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("request-id"),
    ];
    let id = NAMES.iter().find_map(|name| response.headers().get(name))?;
    backstay_dialect::response_id(id.as_bytes()).map(Into::into)
}

impl<S, B, R> fmt::Debug for FallbackFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: ReplayableBody,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture")
            .field("call", &self.rest.call)
            .finish_non_exhaustive()
    }
}
