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
    call::{Call, Claim, Held, Moment, Phase},
    error::{BoxError, Error, ErrorKind, RequestProblem, Upstream},
    timeout::Clock,
    trail::Outcome,
};
use backstay_dialect::{Answer, Failure, FailureClass};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, request, response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
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
        // The attempt under way; dropped before anything is written about its end.
        #[pin]
        calling: Option<S::Future>,
        // Until the head is returned, or an error.
        call: Option<Held>,
        rest: Rest<S, B, R>,
    }

    impl<S, B, R> PinnedDrop for FallbackFuture<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        B: ReplayableBody,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(call) = this.call.take() {
                this.rest.course.abandoned(&call, Instant::now());
            }
        }
    }
}

/// All that is not the attempt under way. What waits has a place in here only while it waits: nothing is
/// moved that is ready.
struct Rest<S, B, R> {
    service: S,
    course: Course<B>,
    stage: Stage<B, R>,
    /// For the waits; and for the attempt's limit, where no timeouts layer keeps it.
    alarm: Alarm,
    commit: Option<Commit>,
    /// The attempt under way was sent a second time.
    resent: bool,
    /// What the first target said last: the caller's own choice speaks when all is exhausted.
    first_word: Option<Box<LastWord<R>>>,
}

enum Stage<B, R> {
    /// Not polled yet.
    Start(Option<Request<B>>),
    /// The body is read into memory.
    Reading(Box<Reading<B>>),
    /// An attempt is to be opened.
    Next,
    /// The service is made ready for it.
    Readying(Option<Request<B>>),
    /// It is on its way.
    Calling,
    /// A 2xx answer is held back.
    Holding(Box<Hold<R>>),
    /// An answer that says that it failed is read.
    Failing(Option<Box<FailedAnswer<R>>>),
    /// Between two attempts.
    Waiting(Instant),
}

struct Reading<B> {
    parts: request::Parts,
    body: B,
    read: BytesMut,
}

/// How an attempt ended, as the caller would see it.
enum LastWord<R> {
    Answer(response::Parts, Bytes, Option<R>),
    Error(BoxError),
}

/// What follows in the loop.
enum Step<B, R> {
    Go(Stage<B, R>),
    /// Send this, once the service is ready.
    Send(Request<B>),
    /// Let this answer through; `true` when it is all there.
    Commit(Hold<R>, bool),
    /// The call ends with this.
    Word(LastWord<R>),
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
            calling: None,
            call: Some(call),
            rest: Rest {
                service,
                course: Course::new(plan),
                alarm: Alarm::default(),
                commit: request.extensions().get::<Commit>().copied(),
                resent: false,
                first_word: None,
                stage: Stage::Start(Some(request)),
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
        let rest = this.rest;
        loop {
            let Some(call) = this.call.as_ref() else {
                // Polled again after its end, which no future must be.
                return Poll::Pending;
            };
            let mut step = match &mut rest.stage {
                Stage::Calling => {
                    let Some(calling) = this.calling.as_mut().as_pin_mut() else {
                        return Poll::Pending;
                    };
                    let polled = calling.poll(cx);
                    let limit = match &polled {
                        Poll::Ready(_) => None,
                        Poll::Pending => match rest.poll_limit(cx, call) {
                            Some(error) => Some(error),
                            None => return Poll::Pending,
                        },
                    };
                    // Before anything else is done: its drop lets go of the connection.
                    this.calling.set(None);
                    match polled {
                        Poll::Ready(Ok(response)) => rest.head_came(cx, call, response),
                        Poll::Ready(Err(error)) => rest.send_failed(call, error.into()),
                        Poll::Pending => match limit {
                            Some(error) => rest.attempt_failed(call, error.into()),
                            None => return Poll::Pending,
                        },
                    }
                }
                _ => ready!(rest.poll_waiting(cx, call)),
            };
            // The service is ready as a rule: then the request goes from hand to hand.
            while let Step::Send(request) = step {
                step = match rest.service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {
                        call.set_phase(Phase::Headers);
                        this.calling.set(Some(rest.service.call(request)));
                        Step::Go(Stage::Calling)
                    }
                    Poll::Ready(Err(error)) => rest.unready(call, error.into()),
                    Poll::Pending => {
                        rest.stage = Stage::Readying(Some(request));
                        match rest.poll_limit(cx, call) {
                            Some(error) => rest.attempt_failed(call, error.into()),
                            None => return Poll::Pending,
                        }
                    }
                };
            }
            match step {
                Step::Go(stage) => rest.stage = stage,
                Step::Commit(hold, ended) => {
                    rest.commit(call, ended);
                    let held = this.call.take();
                    return Poll::Ready(Ok(let_through(hold, ended, held)));
                }
                Step::Word(word) => {
                    call.end(Instant::now());
                    let held = this.call.take();
                    return Poll::Ready(word.speak(held));
                }
                Step::Send(_) => {}
            }
        }
    }
}

fn let_through<R>(hold: Hold<R>, ended: bool, held: Option<Held>) -> Response<FallbackBody<R>>
where
    R: Body<Data = Bytes> + Unpin + Send + 'static,
{
    let Hold {
        mut parts,
        body,
        observer,
        content,
        frames,
        ..
    } = hold;
    if let Some(held) = &held {
        held.leave_trail(&mut parts.extensions);
    }
    let body = (!ended).then_some(body);
    let body = FallbackBody::live(frames, body, observer, content, held);
    Response::from_parts(parts, body)
}

// === impl LastWord ===

impl<R> LastWord<R> {
    fn speak(self, held: Option<Held>) -> Output<R> {
        match self {
            Self::Answer(mut parts, read, rest) => {
                if let Some(held) = &held {
                    held.leave_trail(&mut parts.extensions);
                }
                Ok(Response::from_parts(
                    parts,
                    FallbackBody::answer(read, rest),
                ))
            }
            Self::Error(error) => Err(error),
        }
    }
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
    /// Whatever stage there is but the call itself.
    fn poll_waiting(&mut self, cx: &mut Context<'_>, call: &Call) -> Poll<Step<B, R>> {
        Poll::Ready(match &mut self.stage {
            Stage::Start(request) => {
                call.adopt_ambient_deadline();
                match request.take() {
                    Some(request) => self.start(call, request),
                    None => return Poll::Pending,
                }
            }
            Stage::Reading(reading) => {
                let plan = &self.course.plan;
                let (parts, original) = ready!(reading.poll(cx, call, plan));
                self.read(call, parts, original)
            }
            Stage::Next => self.begin(call, None),
            Stage::Readying(request) => {
                // The attempt counts from when it can begin.
                match (self.service.poll_ready(cx), request.take()) {
                    (Poll::Ready(Ok(())), Some(request)) => {
                        call.restart_attempt(Instant::now());
                        Step::Send(request)
                    }
                    (Poll::Ready(Ok(())), None) => return Poll::Pending,
                    (Poll::Ready(Err(error)), _) => self.unready(call, error.into()),
                    (Poll::Pending, waiting) => {
                        *request = waiting;
                        match self.poll_limit(cx, call) {
                            Some(error) => self.attempt_failed(call, error.into()),
                            None => return Poll::Pending,
                        }
                    }
                }
            }
            Stage::Calling => return Poll::Pending,
            Stage::Holding(hold) => {
                let polled = hold.poll(cx, call, self.course.dialect(), &self.course.plan.hold);
                let end = match polled {
                    Poll::Ready(end) => end,
                    Poll::Pending => match self.poll_limit(cx, call) {
                        Some(error) => HoldEnd::Failed(error.into()),
                        None => return Poll::Pending,
                    },
                };
                match std::mem::replace(&mut self.stage, Stage::Next) {
                    Stage::Holding(hold) => self.held(call, *hold, end),
                    _ => return Poll::Pending,
                }
            }
            Stage::Failing(slot) => {
                let Some(answer) = slot else {
                    return Poll::Pending;
                };
                ready!(answer.poll_prefix(cx));
                match slot.take() {
                    Some(answer) => self.answer_failed(call, *answer),
                    None => return Poll::Pending,
                }
            }
            Stage::Waiting(until) => {
                let until = *until;
                ready!(self.alarm.poll(cx, Some(until)));
                self.begin(call, None)
            }
        })
    }

    fn start(&mut self, call: &Call, request: Request<B>) -> Step<B, R> {
        let (parts, body) = request.into_parts();
        let plan = &self.course.plan;
        let original = match body.segments() {
            Some(segments) => Original::in_memory(plan, call, &parts, segments),
            // It would be read for nothing.
            None if body.size_hint().lower() > plan.replay_limit as u64 => {
                Original::once(plan, call, &parts, body)
            }
            None => {
                return Step::Go(Stage::Reading(Box::new(Reading {
                    parts,
                    body,
                    read: BytesMut::new(),
                })));
            }
        };
        self.read(call, parts, original)
    }

    fn read(
        &mut self,
        call: &Call,
        parts: request::Parts,
        original: Result<Original<B>, Error>,
    ) -> Step<B, R> {
        match original {
            Ok(original) => {
                self.course.original = Some(original);
                self.begin(call, Some(parts))
            }
            Err(error) => Step::Word(LastWord::Error(error.into())),
        }
    }

    fn begin(&mut self, call: &Call, head: Option<request::Parts>) -> Step<B, R> {
        self.resent = false;
        let now = Instant::now();
        match self.course.begin(call, head, now) {
            Some(Ok(request)) => Step::Send(request),
            // Only the first target's own request can be at fault here: nothing has been sent.
            Some(Err(error)) => Step::Word(LastWord::Error(error.into())),
            None => self.last_word(call, now),
        }
    }

    fn head_came(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        response: Response<R>,
    ) -> Step<B, R> {
        let status = response.status();
        if call.headers_at().is_none() {
            call.head_came(Instant::now(), status);
        }
        if let Some(request_id) = request_id(&response) {
            call.with_attempt(|attempt| attempt.request_id = Some(request_id));
        }
        if status.is_client_error() || status.is_server_error() {
            let answer = FailedAnswer::new(response, Instant::now());
            return Step::Go(Stage::Failing(Some(Box::new(answer))));
        }
        let (parts, body) = response.into_parts();
        let point = self
            .commit
            .or(self.course.route().commit)
            .or(self.course.plan.commit);
        let mut hold = Hold::new(parts, body, call, point);
        let bodiless = matches!(status.as_u16(), 204 | 205) || self.course.asks_for_head_only();
        if bodiless || !status.is_success() {
            hold.has_no_content();
        } else if !self.course.could_follow_an_answer() {
            hold.commit_at_head();
        }
        match hold.poll(cx, call, self.course.dialect(), &self.course.plan.hold) {
            Poll::Ready(end) => self.held(call, hold, end),
            Poll::Pending => Step::Go(Stage::Holding(Box::new(hold))),
        }
    }

    fn held(&mut self, call: &Call, hold: Hold<R>, end: HoldEnd) -> Step<B, R> {
        let kind = match &end {
            HoldEnd::Committed { ended } => return Step::Commit(hold, *ended),
            HoldEnd::Failed(_) => ErrorKind::Transport,
            HoldEnd::InBand => ErrorKind::InBand(in_band(call).class),
            HoldEnd::Truncated => ErrorKind::Truncated,
            HoldEnd::Empty => ErrorKind::Empty,
        };
        // Its bytes are counted, and its connection is let go, before what follows is decided.
        drop(hold);
        let failure;
        let failing = match end {
            HoldEnd::Failed(error) => return self.attempt_failed(call, error),
            HoldEnd::InBand => {
                failure = in_band(call);
                Failing::in_band(&failure)
            }
            HoldEnd::Truncated => Failing::truncated(),
            HoldEnd::Empty | HoldEnd::Committed { .. } => Failing::empty(),
        };
        let error = Error::of(call, kind);
        let now = Instant::now();
        let first = self.course.is_at_first_target();
        let verdict = self.course.failed(call, &failing, now);
        self.follow(call, verdict, first, LastWord::Error(error.into()), now)
    }

    fn commit(&mut self, call: &Call, ended: bool) {
        // A body that is all there was read a moment ago; else the head came just now, or the event that
        // is committed at did.
        if ended {
            let now = Instant::now();
            call.mark(Moment::Commit, now);
            call.mark(Moment::Complete, now);
            call.end(now);
        } else {
            let at = call.last_moment();
            call.mark(Moment::Commit, at.unwrap_or_else(Instant::now));
        }
        tracing::trace!(attempt.target = &*self.course.route().name, "committed");
        self.course.plan.budget.deposit();
        self.course.original = None;
    }

    fn answer_failed(&mut self, call: &Call, answer: FailedAnswer<R>) -> Step<B, R> {
        let status = answer.parts.status;
        let failure = self.classify(status, &answer.parts.headers, answer.legible());
        let cause = Cause::Status {
            status,
            headers: &answer.parts.headers,
            body: answer.legible(),
            failure: &failure,
        };
        let idempotent = self.course.is_idempotent();
        let now = Instant::now();
        let first = self.course.is_at_first_target();
        let failing = Failing::status(cause, status, idempotent);
        match self.course.failed(call, &failing, now) {
            Verdict::Over if first => {
                let (parts, read, rest) = answer.into_parts();
                Step::Word(LastWord::Answer(parts, read, rest))
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

    fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        self.course.dialect().classify(&Answer {
            status,
            headers,
            body,
            now: SystemTime::now(),
        })
    }

    fn unready(&mut self, call: &Call, error: BoxError) -> Step<B, R> {
        let now = Instant::now();
        let first = self.course.is_at_first_target();
        let verdict = self.course.failed(call, &Failing::unready(&*error), now);
        let error = told_with_trail(call, error);
        self.follow(call, verdict, first, LastWord::Error(error), now)
    }

    /// No byte of a response came. Once for each attempt, a request that met a dying connection is sent
    /// again at once.
    fn send_failed(&mut self, call: &Call, error: BoxError) -> Step<B, R> {
        if !self.resent {
            match self.course.resend(call, &*error) {
                Some(Ok(request)) => {
                    self.resent = true;
                    return Step::Send(request);
                }
                Some(Err(error)) => return Step::Word(LastWord::Error(error.into())),
                None => {}
            }
        }
        self.attempt_failed(call, error)
    }

    fn attempt_failed(&mut self, call: &Call, error: BoxError) -> Step<B, R> {
        let now = Instant::now();
        let known = Error::find(&*error);
        let failure;
        // A status layer further in may have made an error of an answer: it is classified as one.
        let failing = match known.and_then(Error::upstream) {
            Some(Upstream {
                status,
                headers,
                body,
                ..
            }) => {
                failure = self.classify(*status, headers, body);
                let cause = Cause::Status {
                    status: *status,
                    headers,
                    body,
                    failure: &failure,
                };
                Some(Failing::status(cause, *status, self.course.is_idempotent()))
            }
            None => Failing::error(&*error),
        };
        let Some(failing) = failing else {
            let at = call.since_start(now);
            call.with_attempt(|attempt| attempt.end(Outcome::Cancelled, at));
            return Step::Word(LastWord::Error(error));
        };
        let first = self.course.is_at_first_target();
        let verdict = self.course.failed(call, &failing, now);
        let error = told_with_trail(call, error);
        self.follow(call, verdict, first, LastWord::Error(error), now)
    }

    fn follow(
        &mut self,
        call: &Call,
        verdict: Verdict,
        first: bool,
        word: LastWord<R>,
        now: Instant,
    ) -> Step<B, R> {
        if first || self.first_word.is_none() {
            self.first_word = Some(Box::new(word));
        }
        match verdict {
            Verdict::Again(wait) if wait.is_zero() => Step::Go(Stage::Next),
            Verdict::Again(wait) => {
                call.set_phase(Phase::Backoff);
                // The timer may still stand at the limit of the attempt before.
                self.alarm = Alarm::default();
                // A wait fits the deadline, so that the sum does not overflow; if it did, nothing waits.
                Step::Go(Stage::Waiting(now.checked_add(wait).unwrap_or(now)))
            }
            Verdict::Over => self.last_word(call, now),
        }
    }

    fn last_word(&mut self, call: &Call, now: Instant) -> Step<B, R> {
        Step::Word(match self.first_word.take() {
            Some(word) => *word,
            None => LastWord::Error(Error::deadline(call, call.deadline(), now).into()),
        })
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
        let started = call.attempt_started().unwrap_or(at);
        let limit = at.saturating_duration_since(started);
        let elapsed = Instant::now().saturating_duration_since(started);
        Some(Error::timeout(call, Clock::Attempt, limit, elapsed))
    }
}

// === impl Reading ===

impl<B> Reading<B>
where
    B: ReplayableBody,
    B::Error: Into<BoxError>,
{
    /// Ready at the end of the body, or when the replay limit is passed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        call: &Call,
        plan: &Plan,
    ) -> Poll<(request::Parts, Result<Original<B>, Error>)> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                    if self.read.len() > plan.replay_limit {
                        let (parts, body, read) = self.take();
                        let body = B::resume(read, body);
                        let original = Original::once(plan, call, &parts, body);
                        return Poll::Ready((parts, original));
                    }
                }
                Some(Err(error)) => {
                    let problem = ErrorKind::Request(RequestProblem::Unreadable);
                    let error = Error::of(call, problem).with_source(error);
                    return Poll::Ready((self.take().0, Err(error)));
                }
                None => {
                    let (parts, _, read) = self.take();
                    let original = Original::in_memory(plan, call, &parts, read);
                    return Poll::Ready((parts, original));
                }
            }
        }
    }

    fn take(&mut self) -> (request::Parts, B, Segments) {
        let parts = std::mem::replace(&mut self.parts, Request::new(()).into_parts().0);
        let body = std::mem::replace(&mut self.body, B::from_segments(Segments::default()));
        (
            parts,
            body,
            Segments::from(std::mem::take(&mut self.read).freeze()),
        )
    }
}

/// What is backstay's own keeps its type; anything else is told with the trail.
fn told_with_trail(call: &Call, error: BoxError) -> BoxError {
    if Error::find(&*error).is_some() {
        return error;
    }
    Error::of(call, ErrorKind::Transport)
        .with_source(error)
        .into()
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
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
