//! The stages of a call: what it waits for when that is not the attempt under way, and what follows.

use super::{
    Commit, FallbackBody,
    answer::FailedAnswer,
    cool_down::Trial,
    course::Course,
    hold::{Hold, HoldEnd},
    last_word::LastWord,
    reading::Reading,
};
use crate::{
    alarm::Alarm,
    body::{ReplayableBody, Segments},
    call::{Call, Claim, Held, Moment},
    error::{BoxError, Error},
    timeout::Clock,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tower_service::Service;

/// All that is not the attempt under way. What waits has a place in here only while it waits: nothing is
/// moved that is ready.
pub(super) struct Rest<S, B, R> {
    pub(super) service: S,
    pub(super) course: Course,
    /// The caller's own until the first attempt, then that of an attempt until it is sent. It stands here so
    /// that it need not be moved.
    pub(super) request: Option<Request<B>>,
    pub(super) stage: Stage<R>,
    /// For the waits; and for the attempt's limit, where no timeouts layer keeps it.
    pub(super) alarm: Alarm,
    pub(super) commit: Option<Commit>,
    /// The attempt under way was sent a second time.
    pub(super) resent: bool,
    /// What the first target said last: the caller's own choice speaks when all is exhausted.
    pub(super) first_word: Option<Box<LastWord<R>>>,
}

pub(super) enum Stage<R> {
    /// Not polled yet.
    Start,
    /// The body is read into memory.
    Reading(Reading),
    /// An attempt is to be opened.
    Next,
    /// The service is made ready for it.
    Readying,
    /// It is on its way.
    Calling,
    /// A 2xx answer is held back.
    Holding(Box<Hold<R>>),
    /// An answer that says that it failed is read.
    Failing(Option<Box<FailedAnswer<R>>>),
    /// Between two attempts.
    Waiting(Instant),
}

/// What follows in the loop. Small: each function on the way hands it on.
pub(super) enum Step<R> {
    Go(Stage<R>),
    /// Send the request, once the service is ready.
    Send,
    /// Let this answer through; `true` when it is all there.
    Commit(Box<Hold<R>>, bool),
    /// The call ends with this.
    Word(Box<LastWord<R>>),
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
    pub(super) fn poll_waiting(&mut self, cx: &mut Context<'_>, call: &Call) -> Poll<Step<R>> {
        Poll::Ready(match &mut self.stage {
            Stage::Start => {
                call.adopt_ambient();
                self.start(call)
            }
            Stage::Reading(reading) => {
                let Some(request) = &mut self.request else {
                    return Poll::Pending;
                };
                let limit = self.course.plan.replay_limit;
                match ready!(reading.poll(cx, call, limit, request)) {
                    Ok(read) => self.read(call, read),
                    Err(error) => Step::Word(LastWord::error(error)),
                }
            }
            Stage::Next => self.begin(call),
            Stage::Readying => match self.service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    // The attempt counts from when it can begin.
                    call.restart_attempt(Instant::now());
                    Step::Send
                }
                Poll::Ready(Err(error)) => self.unready(call, error.into()),
                Poll::Pending => match self.poll_limit(cx, call) {
                    Some(error) => self.not_ready_in_time(call, error),
                    None => return Poll::Pending,
                },
            },
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
                    Stage::Holding(hold) => self.held(call, hold, end),
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
                self.begin(call)
            }
        })
    }

    fn start(&mut self, call: &Call) -> Step<R> {
        let Some(request) = &self.request else {
            return Step::Go(Stage::Calling);
        };
        let limit = self.course.plan.replay_limit;
        let body = request.body();
        let segments = body.segments();
        // What is too large would be read for nothing.
        if segments.is_none() && body.size_hint().lower() <= limit as u64 && !body.must_stream() {
            return Step::Go(Stage::Reading(Reading::default()));
        }
        self.read(call, segments)
    }

    fn read(&mut self, call: &Call, body: Option<Segments>) -> Step<R> {
        let Some(request) = &self.request else {
            return Step::Go(Stage::Calling);
        };
        match self.course.start(call, request, body) {
            Ok(()) => self.begin(call),
            Err(error) => Step::Word(LastWord::error(error)),
        }
    }

    fn begin(&mut self, call: &Call) -> Step<R> {
        self.resent = false;
        let now = Instant::now();
        match self.course.begin(call, &mut self.request, now) {
            Some(Ok(())) => Step::Send,
            // Only the first target's own request can be at fault here: nothing has been sent.
            Some(Err(error)) => Step::Word(LastWord::error(error)),
            None => self.last_word(call, now),
        }
    }

    /// The head came: the answer, where it can be let through at once, as a unary one that is all there.
    pub(super) fn head_came(
        &mut self,
        cx: &mut Context<'_>,
        held: &mut Option<Held>,
        response: Response<R>,
    ) -> Result<Response<FallbackBody<R>>, Step<R>> {
        let Some(call) = held else {
            return Err(Step::Go(Stage::Calling));
        };
        let status = response.status();
        if call.headers_at().is_none() {
            call.head_came(Instant::now(), status);
        }
        self.course.note_request_id(call, response.headers());
        if status.is_client_error() || status.is_server_error() {
            let answer = FailedAnswer::new(response, Instant::now());
            return Err(Step::Go(Stage::Failing(Some(Box::new(answer)))));
        }
        let point = self
            .commit
            .or(self.course.route().commit)
            .or(self.course.plan.commit);
        let mut hold = Hold::new(response, call, point);
        hold.minds_refusals = self.course.plan.minds_refusals;
        let bodiless = matches!(status.as_u16(), 204 | 205) || self.course.asks_for_head_only();
        if bodiless || !status.is_success() {
            hold.has_no_content();
        } else if !self.course.could_follow_an_answer() {
            hold.commit_at_head();
        }
        match hold.poll(cx, call, self.course.dialect(), &self.course.plan.hold) {
            Poll::Ready(HoldEnd::Committed { ended }) if !hold.is_refusal(call) => {
                // All of it came with the head: no need to look at the clock again.
                let whole = ended.then(|| call.last_moment().unwrap_or_else(Instant::now));
                Ok(self.let_through(held, hold, whole))
            }
            Poll::Ready(end) => Err(self.held(call, Box::new(hold), end)),
            Poll::Pending => Err(Step::Go(Stage::Holding(Box::new(hold)))),
        }
    }

    /// The answer goes to the caller; `whole` is when it was all there, if it is.
    pub(super) fn let_through(
        &mut self,
        held: &mut Option<Held>,
        hold: Hold<R>,
        whole: Option<Instant>,
    ) -> Response<FallbackBody<R>> {
        let trial = match held {
            Some(call) => self.commit(call, &hold, whole),
            None => Trial::default(),
        };
        let Hold {
            mut parts,
            body,
            mut observer,
            content,
            frames,
            ..
        } = hold;
        if let Some(held) = &held {
            held.leave_trail(&mut parts.extensions);
        }
        let body = match held.take() {
            Some(held) if whole.is_none() => {
                FallbackBody::live(frames, body, observer, content, held, trial)
            }
            held => {
                if let (Some(observer), Some(held)) = (&mut observer, &held) {
                    observer.settle(held);
                }
                FallbackBody::whole(frames)
            }
        };
        Response::from_parts(parts, body)
    }

    fn commit(&mut self, call: &Call, hold: &Hold<R>, whole: Option<Instant>) -> Trial {
        // The head or the event that is committed at came just now: no need to look at the clock again.
        if let Some(at) = whole {
            call.mark_whole(at);
        } else {
            let due = hold.is_due_to_the_last_moment(call);
            let at = call.last_moment().filter(|_| due);
            call.mark(Moment::Commit, at.unwrap_or_else(Instant::now));
        }
        tracing::trace!(attempt.target = &*self.course.route().name, "committed");
        self.course.lift_attempt_limit(call);
        self.course.plan.budget.deposit();
        let trial = self
            .course
            .served(whole.is_some() || hold.proves_its_target(call));
        self.course.original = None;
        trial
    }

    /// The limit of the attempt, where no timeouts layer further in keeps it.
    pub(super) fn poll_limit(&mut self, cx: &mut Context<'_>, call: &Call) -> Option<Error> {
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
