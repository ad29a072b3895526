//! Outages: for a while, or until told, everything fails the same way, whatever the scripts say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::doors::Doors;
use crate::reply::Reply;

/// What fails, how, and for how long. [`Mock::outage`](crate::Mock::outage) begins it.
///
/// It goes before every script, and takes none of their steps: afterwards they go on where they were. Of
/// several outages that fit a request, the last one begun counts. It also fails health and lists of models,
/// unless it is one [model's](Self::of_model) or [path's](Self::of_path).
///
/// ```
/// use std::time::Duration;
/// use backstay_mock::{Outage, Reply};
///
/// let a_bad_minute = Outage::new(Reply::status(503)).lasting(Duration::from_secs(60));
/// let one_model = Outage::new(Reply::never_answer()).of_model("gpt-4o").requests(20);
/// let host_down = Outage::refuse_connections();
/// # let _ = (a_bad_minute, one_model, host_down);
/// ```
#[derive(Clone, Debug)]
pub struct Outage {
    failure: Failure,
    scope: Scope,
    after: Duration,
    lasting: Option<Duration>,
    requests: Option<usize>,
}

/// Every outage of a mock that is not over.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    /// The last one begun is the last one here.
    running: Vec<Arc<Course>>,
}

#[derive(Clone, Debug)]
enum Failure {
    Reply(Box<Reply>),
    Refuse,
    Drop,
}

#[derive(Clone, Debug)]
enum Scope {
    All,
    Model(String),
    Path(String),
}

/// An outage and how far it has come.
#[derive(Debug)]
pub(crate) struct Course {
    outage: Outage,
    from: Instant,
    until: Option<Instant>,
    hits: AtomicUsize,
    recovered: AtomicBool,
}

// === impl Outage ===

impl Outage {
    /// Every request gets `reply`.
    #[must_use]
    pub fn new(reply: impl Into<Reply>) -> Self {
        Self::of(Failure::Reply(Box::new(reply.into())))
    }

    /// A hard outage: every connection is reset, and the port is closed, so that connecting is refused
    /// (`ECONNREFUSED`). It is of the whole mock: no model, no path, and no count of requests limits it.
    #[must_use]
    pub fn refuse_connections() -> Self {
        Self::of(Failure::Refuse)
    }

    /// A hard outage: every connection is reset, and new ones are accepted and reset at once. It is of the
    /// whole mock: no model and no path limits it, and [`requests`](Self::requests) are connections.
    #[must_use]
    pub fn drop_connections() -> Self {
        Self::of(Failure::Drop)
    }

    /// Limits it to requests for `model`.
    #[must_use]
    pub fn of_model(mut self, model: impl Into<String>) -> Self {
        self.scope = Scope::Model(model.into());
        self
    }

    /// Limits it to requests whose path ends with `suffix`.
    #[must_use]
    pub fn of_path(mut self, suffix: impl Into<String>) -> Self {
        self.scope = Scope::Path(suffix.into());
        self
    }

    /// Begins it this much later. Default: at once.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// Ends it by itself, this long after its beginning. Default: when told.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.lasting = Some(duration);
        self
    }

    /// Ends it by itself when it has failed so many requests. Default: when told.
    #[must_use]
    pub fn requests(mut self, requests: usize) -> Self {
        self.requests = Some(requests);
        self
    }

    fn of(failure: Failure) -> Self {
        Self {
            failure,
            scope: Scope::All,
            after: Duration::ZERO,
            lasting: None,
            requests: None,
        }
    }

    fn is_of(&self, model: Option<&str>, path: &str) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Model(name) => model == Some(name),
            Scope::Path(suffix) => path.ends_with(suffix.as_str()),
        }
    }

    fn doors(&self) -> Doors {
        match self.failure {
            Failure::Reply(_) => Doors::Open,
            Failure::Refuse => Doors::Refusing,
            Failure::Drop => Doors::Dropping,
        }
    }
}

// === impl Outages ===

impl Outages {
    pub(crate) fn begin(&mut self, outage: Outage, now: Instant) -> Arc<Course> {
        let from = later(now, outage.after);
        let course = Arc::new(Course {
            from: from.unwrap_or(now),
            until: from.and_then(|from| later(from, outage.lasting?)),
            // One that begins never has no course to run.
            recovered: AtomicBool::new(from.is_none()),
            hits: AtomicUsize::new(0),
            outage,
        });
        self.running.push(Arc::clone(&course));
        course
    }

    /// What a request gets from an outage that is on.
    pub(crate) fn reply(&mut self, model: Option<&str>, path: &str, now: Instant) -> Option<Reply> {
        self.on(now)
            .find_map(|course| match &course.outage.failure {
                Failure::Reply(reply) if course.outage.is_of(model, path) => {
                    course.hits.fetch_add(1, Ordering::AcqRel);
                    Some(reply.as_ref().clone())
                }
                _ => None,
            })
    }

    /// How the doors should stand.
    pub(crate) fn doors(&mut self, now: Instant) -> Doors {
        let mut hard = self.on(now).map(|course| course.outage.doors());
        hard.find(|doors| *doors != Doors::Open)
            .unwrap_or(Doors::Open)
    }

    /// Counts a connection that was dropped.
    pub(crate) fn dropped_connection(&mut self, now: Instant) {
        let mut on = self.on(now);
        if let Some(course) = on.find(|course| course.outage.doors() == Doors::Dropping) {
            course.hits.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// When one of them begins or ends by itself next.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let edges = self
            .running
            .iter()
            .flat_map(|course| [Some(course.from), course.until]);
        edges.flatten().filter(|edge| *edge > now).min()
    }

    pub(crate) fn recover(&mut self) {
        for course in self.running.drain(..) {
            course.recover();
        }
    }

    /// Those that are on, the last one begun first.
    fn on(&mut self, now: Instant) -> impl Iterator<Item = &Arc<Course>> {
        self.running.retain(|course| !course.is_over(now));
        let on = self.running.iter().rev();
        on.filter(move |course| course.from <= now)
    }
}

// === impl Course ===

impl Course {
    pub(crate) fn outage(&self) -> &Outage {
        &self.outage
    }

    pub(crate) fn recover(&self) {
        self.recovered.store(true, Ordering::Release);
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::Acquire)
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.recovered.load(Ordering::Acquire)
            || self.until.is_some_and(|until| until <= now)
            || self.outage.requests.is_some_and(|most| self.hits() >= most)
    }
}

/// `None`: never.
fn later(instant: Instant, duration: Duration) -> Option<Instant> {
    instant.checked_add(duration)
}
