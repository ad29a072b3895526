//! The request as the caller made it: what every attempt starts from.

use super::{
    head::{Change, Saved},
    plan::{Plan, Route},
};
use crate::{
    body::{ReplayableBody, Segments},
    call::Call,
    error::{Error, ErrorKind, RequestProblem},
};
use backstay_dialect::{Dialect, RequestError, RequestFacts};
use bytes::Bytes;
use http::{Request, header, request::Parts};
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
    head: Head,
    content: Content<B>,
    dialect: Arc<dyn Dialect>,
    /// The span of the model in the body, and whether it is the one that a route wants.
    model: Option<Range<usize>>,
    encoded: bool,
    idempotent: bool,
}

enum Head {
    /// As it came: given to the first attempt.
    Whole(Parts),
    Saved(Saved),
    /// Given away for good: there is no second attempt.
    Gone,
}

enum Content<B> {
    Memory {
        segments: Segments,
        /// The same in one piece, where the model is looked for.
        whole: Bytes,
    },
    /// Over the replay limit: for one attempt.
    Once(Option<B>),
}

// === impl Original ===

impl<B: ReplayableBody> Original<B> {
    /// A request whose body is in memory.
    pub(super) fn in_memory(
        plan: &Plan,
        call: &Call,
        parts: Parts,
        segments: Segments,
    ) -> Result<Self, Error> {
        let mut original = Self::new(plan, parts, None);
        if segments.len() > plan.replay_limit {
            original.content = Content::Once(Some(B::from_segments(segments)));
            return original.unread(plan, call, RequestProblem::TooLarge);
        }
        let whole = segments.to_bytes();
        original.content = Content::Memory { segments, whole };
        if original.encoded {
            return original.unread(plan, call, RequestProblem::Encoded);
        }
        original.read(plan, call)?;
        Ok(original)
    }

    /// A request whose body is over the replay limit, as far as it was read.
    pub(super) fn once(plan: &Plan, call: &Call, parts: Parts, body: B) -> Result<Self, Error> {
        Self::new(plan, parts, Some(body)).unread(plan, call, RequestProblem::TooLarge)
    }

    fn new(plan: &Plan, parts: Parts, body: Option<B>) -> Self {
        let dialect = plan.dialect(parts.uri.path()).clone();
        Self {
            encoded: parts
                .headers
                .get(header::CONTENT_ENCODING)
                .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")),
            idempotent: dialect.carries_model()
                || parts.method.is_idempotent()
                || parts.extensions.get::<Idempotent>().is_some(),
            head: Head::Whole(parts),
            content: Content::Once(body),
            dialect,
            model: None,
        }
    }

    /// Nothing is known of the body. That is an error if the first target needs it rewritten; those after
    /// it are passed over.
    fn unread(self, plan: &Plan, call: &Call, problem: RequestProblem) -> Result<Self, Error> {
        call.with_state(|state| state.dialect = Some(self.dialect.clone()));
        match plan.routes.first() {
            Some(route) if route.model.is_some() => {
                Err(Error::of(call, ErrorKind::Request(problem)))
            }
            _ => Ok(self),
        }
    }

    fn read(&mut self, plan: &Plan, call: &Call) -> Result<(), Error> {
        let (Content::Memory { whole, .. }, Head::Whole(parts)) = (&self.content, &self.head)
        else {
            return Ok(());
        };
        let facts = match self.dialect.read_request(parts.uri.path(), whole) {
            Ok(facts) => facts,
            Err(error) if plan.names_models => return Err(problem(error, call)),
            // No target changes the body: the rest is for the upstream to judge.
            Err(_) => RequestFacts::default(),
        };
        self.model = facts.model;
        call.with_state(|state| {
            state.dialect = Some(self.dialect.clone());
            if self.dialect.carries_model() {
                state.stream.get_or_insert(facts.stream);
            }
        });
        Ok(())
    }

    /// Whether the request can be sent to this target as far as its body goes.
    pub(super) fn suits(&self, route: &Route) -> bool {
        route.model.is_none() || self.model.is_some() && !self.encoded
    }

    /// Whether there can be a second attempt.
    pub(super) fn is_replayable(&self) -> bool {
        matches!(self.content, Content::Memory { .. })
    }

    /// Whether what may have been processed may be sent again.
    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(super) fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    /// The request for one target.
    pub(super) fn attempt(
        &mut self,
        plan: &Plan,
        route: &Route,
        call: &Call,
    ) -> Result<Request<B>, Error> {
        let problem = |problem| Error::of(call, ErrorKind::Request(problem));
        let (body, rewritten) = match &mut self.content {
            Content::Memory { segments, whole } => match (&route.model, &self.model) {
                (Some(model), Some(span)) if whole.get(span.clone()) != Some(&*model.literal) => {
                    let literal = model.literal.clone();
                    (Segments::splice(whole, span.clone(), literal), true)
                }
                _ => (segments.clone(), false),
            },
            Content::Once(body) => {
                let body = body
                    .take()
                    .ok_or_else(|| problem(RequestProblem::TooLarge))?;
                let parts = match std::mem::replace(&mut self.head, Head::Gone) {
                    Head::Whole(parts) => parts,
                    Head::Saved(saved) => saved.restore(call),
                    Head::Gone => return Err(problem(RequestProblem::TooLarge)),
                };
                let change = Change::new(plan, route, &*self.dialect, None);
                let parts = change.apply(parts).map_err(problem)?;
                return Ok(Request::from_parts(parts, body));
            }
        };
        let length = Some(body.len()).filter(|_| rewritten);
        let change = Change::new(plan, route, &*self.dialect, length);
        let parts = match std::mem::replace(&mut self.head, Head::Gone) {
            Head::Whole(parts) => {
                self.head = Head::Saved(Saved::of(&parts));
                parts
            }
            Head::Saved(saved) => {
                let parts = saved.restore(call);
                self.head = Head::Saved(saved);
                parts
            }
            Head::Gone => return Err(problem(RequestProblem::TooLarge)),
        };
        let parts = change.apply(parts).map_err(problem)?;
        Ok(Request::from_parts(parts, B::from_segments(body)))
    }
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
