//! The request as the caller made it: what every attempt starts from.

use super::{
    head::{Change, Saved},
    plan::{Plan, Route},
};
use crate::{
    body::{ReplayableBody, Segments},
    call::Call,
    error::{Error, ErrorKind, RequestProblem},
    observe::is_encoded,
};
use backstay_dialect::{Dialect, RequestError};
use bytes::Bytes;
use http::{Method, Request, request::Parts, uri::PathAndQuery};
use std::{ops::Range, sync::Arc};

/// The caller's word, in a request's extensions, that sending it twice does no harm.
///
/// Asked for calls of the plain dialect only; methods that are idempotent need no word. A query to a
/// vector database is one that a `POST` hides.
///
/// ```
/// let mut request = http::Request::post("http://127.0.0.1:8000/query").body(()).unwrap();
/// request.extensions_mut().insert(backstay::fallback::Idempotent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idempotent;

/// What every attempt starts from. Dropped at commit, which frees the copy of the body.
pub(super) struct Original<B> {
    content: Content<B>,
    /// Once the first attempt has been given the head itself.
    saved: Option<Saved>,
    dialect: Arc<dyn Dialect>,
    /// The span of the model in the body.
    model: Option<Range<usize>>,
    stream: Option<bool>,
    encoded: bool,
    idempotent: bool,
    is_head: bool,
}

enum Content<B> {
    /// In one piece, where the model was looked for.
    Memory(Bytes),
    /// Over the replay limit: for one attempt.
    Once(Option<Box<B>>),
}

// === impl Original ===

impl<B: ReplayableBody> Original<B> {
    /// A request whose body is in memory.
    pub(super) fn in_memory(
        plan: &Plan,
        call: &Call,
        parts: &Parts,
        segments: Segments,
    ) -> Result<Self, Error> {
        if segments.len() > plan.replay_limit {
            return Self::once(plan, call, parts, B::from_segments(segments));
        }
        let mut original = Self::new(plan, parts, Content::Memory(segments.into_bytes()));
        if original.encoded {
            return original.unread(plan, call, RequestProblem::Encoded);
        }
        original.read(plan, call, parts)?;
        Ok(original)
    }

    /// A request whose body is over the replay limit, as far as it was read.
    pub(super) fn once(plan: &Plan, call: &Call, parts: &Parts, body: B) -> Result<Self, Error> {
        let content = Content::Once(Some(Box::new(body)));
        Self::new(plan, parts, content).unread(plan, call, RequestProblem::TooLarge)
    }

    fn new(plan: &Plan, parts: &Parts, content: Content<B>) -> Self {
        let dialect = plan.dialect(&parts.uri).clone();
        Self {
            content,
            saved: None,
            is_head: parts.method == Method::HEAD,
            model: None,
            stream: None,
            encoded: is_encoded(&parts.headers),
            idempotent: dialect.carries_model()
                || parts.method.is_idempotent()
                || parts.extensions.get::<Idempotent>().is_some(),
            dialect,
        }
    }

    /// Nothing is known of the body. That is an error if the first target needs it rewritten; those after
    /// it are passed over.
    fn unread(self, plan: &Plan, call: &Call, problem: RequestProblem) -> Result<Self, Error> {
        match plan.routes.first() {
            Some(route) if route.model.is_some() => {
                Err(Error::of(call, ErrorKind::Request(problem)))
            }
            _ => Ok(self),
        }
    }

    fn read(&mut self, plan: &Plan, call: &Call, parts: &Parts) -> Result<(), Error> {
        let Content::Memory(whole) = &self.content else {
            return Ok(());
        };
        let dialect = &*self.dialect;
        match dialect.read_request(path_and_query(parts), whole) {
            Ok(facts) => {
                self.model = facts.model;
                self.stream = dialect.carries_model().then_some(facts.stream);
                Ok(())
            }
            Err(error) if plan.names_models => Err(problem(error, call)),
            // No target changes the body: the rest is for the upstream to judge.
            Err(_) => Ok(()),
        }
    }

    /// Whether the request can be sent to this target as far as its body goes.
    pub(super) fn suits(&self, route: &Route) -> bool {
        route.model.is_none() || self.model.is_some() && !self.encoded
    }

    /// Whether there can be a second attempt.
    pub(super) fn is_replayable(&self) -> bool {
        matches!(self.content, Content::Memory(_))
    }

    /// Whether what may have been processed may be sent again.
    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Whether the call asks for a stream; `None` where the dialect does not tell.
    pub(super) fn stream(&self) -> Option<bool> {
        self.stream
    }

    pub(super) fn dialect(&self) -> &Arc<dyn Dialect> {
        &self.dialect
    }

    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// The request for one target. The first attempt is given the caller's own head.
    pub(super) fn attempt(
        &mut self,
        plan: &Plan,
        route: &Route,
        call: &Call,
        head: Option<Parts>,
    ) -> Result<Request<B>, Error> {
        let problem = |problem| Error::of(call, ErrorKind::Request(problem));
        let gone = || problem(RequestProblem::TooLarge);
        let mut rewritten = None;
        let body = match &mut self.content {
            Content::Memory(whole) => match (&route.model, &self.model) {
                (Some(model), Some(span)) if whole.get(span.clone()) != Some(&*model.literal) => {
                    let body = Segments::splice(whole, span.clone(), model.literal.clone());
                    rewritten = Some(body.len());
                    B::from_segments(body)
                }
                _ => B::from_segments(whole.clone().into()),
            },
            Content::Once(body) => *body.take().ok_or_else(gone)?,
        };
        let mut parts = match (head, &self.saved) {
            (Some(head), _) => {
                if self.is_replayable() {
                    self.saved = Some(Saved::of(&head));
                }
                head
            }
            (None, Some(saved)) => saved.restore(call),
            (None, None) => return Err(gone()),
        };
        Change::new(plan, route, &*self.dialect, rewritten)
            .apply(&mut parts)
            .map_err(problem)?;
        Ok(Request::from_parts(parts, body))
    }
}

fn path_and_query(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

fn problem(error: RequestError, call: &Call) -> Error {
    let problem = match error {
        RequestError::NotAnObject => RequestProblem::NotAnObject,
        RequestError::NoModel => RequestProblem::NoModel,
        RequestError::SecondModel => RequestProblem::SecondModel,
        RequestError::ModelNotAString => RequestProblem::ModelNotAString,
        _ => RequestProblem::Malformed,
    };
    Error::of(call, ErrorKind::Request(problem)).with_source(error)
}
