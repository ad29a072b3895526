//! The time that a connection, or an HTTP/2 stream, may take for what it is doing.
//!
//! hyper ends what is idle or slow only where it reads. An answer that its reader does not take stands in
//! hyper's buffer, and nobody polls the body any more, so that no clock of the stack can act: here the
//! connection itself is ended, shortly after the call's deadline. Over HTTP/2 each stream has a leash of
//! its own, and its siblings go on.

use super::wire::Reader;
use crate::config::Limits;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// How long after a call's deadline its end may take to be written.
const CUT_AFTER_DEADLINE: Duration = Duration::from_millis(250);

/// The limit of what is under way, and what that is.
pub(crate) struct Leash {
    state: Mutex<State>,
    /// How often the task has been polled.
    turn: AtomicU32,
    head_time: Duration,
    idle_time: Duration,
}

struct State {
    stage: Stage,
    limit: Option<Instant>,
    http2: bool,
    calls: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has come since the last answer.
    Idle,
    /// A request's head is coming in.
    Head,
    /// A request is being answered.
    Call,
    /// It has been read to its end: whatever comes now is not part of it.
    Watched,
    /// The answer has ended, and not all of it has been written yet.
    Unwritten,
}

/// A request on its way through a connection. Dropped when its answer is over.
pub(crate) struct Held {
    connection: Arc<Leash>,
    stream: Option<Arc<Leash>>,
}

pin_project! {
    /// A future that ends when its leash does, or when the other side has gone.
    pub(crate) struct Leashed<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Option<Sleep>,
        leash: Arc<Leash>,
        reader: Option<Arc<Reader>>,
    }
}

// === impl Leash ===

impl Leash {
    /// Of a connection that was just accepted: a request is due.
    pub(crate) fn connection(limits: &Limits) -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Head,
                limit: Instant::now().checked_add(limits.head_time),
                http2: false,
                calls: 0,
            }),
            turn: AtomicU32::new(0),
            head_time: limits.head_time,
            idle_time: limits.idle_time,
        }
    }

    /// Of one stream of an HTTP/2 connection: no limit until its call has one.
    pub(crate) fn stream() -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Call,
                limit: None,
                http2: true,
                calls: 0,
            }),
            turn: AtomicU32::new(0),
            head_time: Duration::MAX,
            idle_time: Duration::MAX,
        }
    }

    /// Bytes came in.
    pub(super) fn bytes_came(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Idle && !state.http2 {
            state.stage = Stage::Head;
            state.limit = Instant::now().checked_add(self.head_time);
        }
    }

    /// Whether the other side is to be watched for its going away.
    fn is_watched(&self) -> bool {
        self.state.lock().stage == Stage::Watched
    }

    fn request_came(&self, http2: bool) {
        let mut state = self.state.lock();
        state.http2 = http2;
        state.calls += 1;
        state.stage = Stage::Call;
        // Over HTTP/2 the streams have limits of their own, and this one is looked at again and again.
        state.limit = if http2 {
            Instant::now().checked_add(self.idle_time)
        } else {
            None
        };
    }

    fn request_over(&self) {
        let mut state = self.state.lock();
        state.calls = state.calls.saturating_sub(1);
        if state.calls > 0 {
            return;
        }
        let idle = || Instant::now().checked_add(self.idle_time);
        if state.http2 {
            state.stage = Stage::Idle;
            state.limit = idle();
        } else {
            // The call's own limit stands until its reader has taken the answer.
            state.stage = Stage::Unwritten;
            state.limit = state.limit.or_else(idle);
        }
    }

    /// Nothing waits to be written.
    pub(super) fn written(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Unwritten {
            state.stage = Stage::Idle;
            state.limit = Instant::now().checked_add(self.idle_time);
        }
    }

    fn limit(&self) -> Option<Instant> {
        self.state.lock().limit
    }

    /// The limit has been reached. What is said about it, if anything can be.
    fn expired(&self, now: Instant) -> Expired {
        let mut state = self.state.lock();
        match state.limit {
            Some(limit) if limit > now => Expired::NotYet,
            None => Expired::NotYet,
            Some(_) if state.http2 && state.calls > 0 => {
                state.limit = now.checked_add(self.idle_time);
                Expired::NotYet
            }
            Some(_) if state.stage == Stage::Head && !state.http2 => Expired::SlowHead,
            Some(_) => Expired::Cut,
        }
    }
}

enum Expired {
    NotYet,
    SlowHead,
    Cut,
}

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Leash")
            .field("stage", &state.stage)
            .field("calls", &state.calls)
            .finish_non_exhaustive()
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn new(
        connection: Arc<Leash>,
        stream: Option<Arc<Leash>>,
        version: http::Version,
    ) -> Self {
        connection.request_came(version == http::Version::HTTP_2);
        Self { connection, stream }
    }

    /// The whole answer must be out by then, and a little.
    pub(crate) fn until(&self, deadline: Option<Instant>) {
        let limit = deadline.and_then(|at| at.checked_add(CUT_AFTER_DEADLINE));
        match &self.stream {
            Some(stream) => stream.state.lock().limit = limit,
            None => self.connection.state.lock().limit = limit,
        }
    }

    /// Which turn of its task this is: it changes when others may have run in between.
    pub(crate) fn turn(&self) -> u32 {
        let leash = self.stream.as_ref().unwrap_or(&self.connection);
        leash.turn.load(Relaxed)
    }

    /// The request has been read to its end.
    pub(crate) fn request_read(&self) {
        if self.stream.is_none() {
            self.connection.state.lock().stage = Stage::Watched;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.request_over();
    }
}

// === impl Leashed ===

impl<F> Leashed<F> {
    pub(crate) fn new(inner: F, leash: Arc<Leash>, reader: Option<Arc<Reader>>) -> Self {
        Self {
            inner,
            sleep: None,
            leash,
            reader,
        }
    }
}

impl<F: Future<Output = ()>> Future for Leashed<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        this.leash.turn.fetch_add(1, Relaxed);
        if this.inner.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(reader) = this.reader
            && this.leash.is_watched()
            && reader.poll_peer_left(cx).is_ready()
        {
            return Poll::Ready(());
        }
        loop {
            let Some(limit) = this.leash.limit() else {
                return Poll::Pending;
            };
            match this.sleep.as_mut().as_pin_mut() {
                // One that fires too early is armed again then: a limit moves with every call.
                Some(sleep) if sleep.deadline() <= limit => {}
                Some(sleep) => sleep.reset(limit),
                None => this.sleep.set(Some(sleep_until(limit))),
            }
            let Some(mut sleep) = this.sleep.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            ready!(sleep.as_mut().poll(cx));
            match this.leash.expired(Instant::now()) {
                Expired::NotYet => {
                    let Some(limit) = this.leash.limit() else {
                        // Nothing to wait for now; the next limit makes a timer of its own.
                        this.sleep.set(None);
                        return Poll::Pending;
                    };
                    sleep.reset(limit);
                }
                Expired::SlowHead => {
                    if let Some(reader) = this.reader {
                        reader.say_too_slow();
                    }
                    return Poll::Ready(());
                }
                Expired::Cut => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn limits() -> Limits {
        Limits {
            connections: 1,
            calls: 1,
            request_body: 1,
            buffered: 1,
            request_head: 1,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            streams_per_connection: 1,
        }
    }

    async fn lasts(leash: &Arc<Leash>) -> Duration {
        let started = Instant::now();
        Leashed::new(pending(), leash.clone(), None).await;
        Instant::now().saturating_duration_since(started)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_ended_after_the_heads_time() {
        let leash = Arc::new(Leash::connection(&limits()));
        assert_eq!(lasts(&leash).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_ended_after_the_idle_time_and_a_slow_second_head_sooner() {
        let leash = Arc::new(Leash::connection(&limits()));
        drop(Held::new(leash.clone(), None, http::Version::HTTP_11));
        leash.written();
        assert_eq!(lasts(&leash).await, Duration::from_secs(60));
        drop(Held::new(leash.clone(), None, http::Version::HTTP_11));
        leash.written();
        leash.bytes_came();
        assert_eq!(lasts(&leash).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_ended_after_its_deadline_and_not_before() {
        let leash = Arc::new(Leash::connection(&limits()));
        let held = Held::new(leash.clone(), None, http::Version::HTTP_11);
        let second = Duration::from_secs(1);
        held.until(Instant::now().checked_add(second));
        assert_eq!(lasts(&leash).await, second + CUT_AFTER_DEADLINE);
        // A later call may take longer, although the timer stood at the earlier limit.
        held.until(Instant::now().checked_add(100 * second));
        assert_eq!(lasts(&leash).await, 100 * second + CUT_AFTER_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_has_the_time_of_its_call() {
        let leash = Arc::new(Leash::connection(&limits()));
        let held = Held::new(leash.clone(), None, http::Version::HTTP_11);
        let second = Duration::from_secs(1);
        held.until(Instant::now().checked_add(second));
        drop(held);
        assert_eq!(lasts(&leash).await, second + CUT_AFTER_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_deadline_is_not_ended() {
        let leash = Arc::new(Leash::connection(&limits()));
        let held = Held::new(leash.clone(), None, http::Version::HTTP_11);
        held.until(None);
        let long = Duration::from_secs(1_000_000);
        let leashed = Leashed::new(pending(), leash, None);
        assert!(tokio::time::timeout(long, leashed).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_connection_lives_while_a_stream_does() {
        let leash = Arc::new(Leash::connection(&limits()));
        let stream = Arc::new(Leash::stream());
        let held = Held::new(leash.clone(), Some(stream.clone()), http::Version::HTTP_2);
        held.until(Instant::now().checked_add(Duration::from_secs(200)));
        let leashed = Leashed::new(pending(), leash.clone(), None);
        let long = Duration::from_secs(1_000);
        assert!(tokio::time::timeout(long, leashed).await.is_err());
        assert!(lasts(&stream).await <= CUT_AFTER_DEADLINE);
        drop(held);
        assert!(lasts(&leash).await <= Duration::from_secs(60));
    }
}
