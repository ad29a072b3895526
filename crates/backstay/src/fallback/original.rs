//! The request as the caller made it: what every attempt starts from.

use super::{
    Conversation, Outgoing, PromptTokens,
    head::{Change, Place, Saved},
    plan::Plan,
    route::{FRAMING, HOLE, Route},
    window,
};
use crate::{
    body::{ReplayableBody, Segments},
    call::Call,
    error::{Error, ErrorKind, RequestProblem},
    observe::is_encoded,
    timeout::Timeouts,
};
use backstay_dialect::{Dialect, RequestError, model_name, path_segment};
use bytes::Bytes;
use http::{Method, Request, request::Parts, uri::PathAndQuery};
use std::{borrow::Cow, ops::Range, sync::Arc};

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
    /// In which the call was made.
    native: Arc<dyn Dialect>,
    /// The dialect of the attempt under way.
    dialect: Arc<dyn Dialect>,
    /// The span of the model in the body.
    model: Option<Range<usize>>,
    /// The span of the model in the path.
    path_model: Option<Range<usize>>,
    stream: Option<bool>,
    /// As the caller counted them.
    prompt_tokens: Option<u64>,
    pub(super) conversation: Option<Conversation>,
    encoded: bool,
    idempotent: bool,
    is_head: bool,
    /// The caller gave the call clocks of its own.
    pub(super) own_clocks: bool,
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
            return original.unread(plan, call, parts, RequestProblem::Encoded);
        }
        original.read(plan, call, parts)?;
        Ok(original)
    }

    /// A request whose body is over the replay limit, as far as it was read.
    pub(super) fn once(plan: &Plan, call: &Call, parts: &Parts, body: B) -> Result<Self, Error> {
        let content = Content::Once(Some(Box::new(body)));
        Self::new(plan, parts, content).unread(plan, call, parts, RequestProblem::TooLarge)
    }

    fn new(plan: &Plan, parts: &Parts, content: Content<B>) -> Self {
        let dialect = plan.dialect(&parts.uri).clone();
        // The call's own record is always there.
        let more = parts.extensions.len() > 1;
        Self {
            content,
            saved: None,
            is_head: parts.method == Method::HEAD,
            model: None,
            path_model: None,
            stream: None,
            prompt_tokens: parts
                .extensions
                .get::<PromptTokens>()
                .filter(|_| more)
                .map(|count| count.0),
            conversation: parts
                .extensions
                .get::<Conversation>()
                .filter(|_| more)
                .copied(),
            own_clocks: more && parts.extensions.get::<Timeouts>().is_some(),
            encoded: is_encoded(&parts.headers),
            idempotent: dialect.carries_model()
                || parts.method.is_idempotent()
                || parts.extensions.get::<Idempotent>().is_some(),
            native: dialect.clone(),
            dialect,
        }
    }

    /// Nothing is known of the body. That is an error if the first target needs it rewritten; those after
    /// it are passed over.
    fn unread(
        mut self,
        plan: &Plan,
        call: &Call,
        parts: &Parts,
        problem: RequestProblem,
    ) -> Result<Self, Error> {
        // The model may be in the path.
        if plan.names_models
            && let Ok(facts) = self.native.read_request(path_and_query(parts), b"{}")
        {
            self.path_model = facts.path_model;
        }
        match plan.routes.first() {
            Some(route) if !self.suits(route) => Err(Error::of(call, ErrorKind::Request(problem))),
            _ => Ok(self),
        }
    }

    fn read(&mut self, plan: &Plan, call: &Call, parts: &Parts) -> Result<(), Error> {
        let Content::Memory(whole) = &self.content else {
            return Ok(());
        };
        let dialect = &*self.native;
        match dialect.read_request(path_and_query(parts), whole) {
            Ok(facts) => {
                self.model = facts.model;
                self.path_model = facts.path_model;
                self.stream = dialect.carries_model().then_some(facts.stream);
                Ok(())
            }
            Err(error) if plan.names_models => Err(problem(error, call)),
            // No target changes the model: the rest is for the upstream to judge.
            Err(_) => Ok(()),
        }
    }

    /// Whether the request can be sent to this target as far as its body and its model go.
    pub(super) fn suits(&self, route: &Route) -> bool {
        let legible = self.is_replayable() && !self.encoded;
        let placed = route.model.as_ref().is_none_or(|model| {
            let in_path = self.path_model.is_some() && model.segment.is_some();
            in_path || legible && self.model.is_some()
        });
        placed && (route.patch.is_none() || legible)
    }

    /// Whether the target's window may hold the request.
    pub(super) fn fits(&self, route: &Route) -> bool {
        let Some(window) = route.window else {
            return true;
        };
        match &self.content {
            // Its length is its coding's, not its text's.
            Content::Memory(whole) if !self.encoded => {
                window::holds(window, self.prompt_tokens, whole)
            }
            _ => window::holds(window, self.prompt_tokens, &[]),
        }
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

    /// The dialect of the attempt under way.
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
        let body = self.body(route, call)?;
        let rewritten = body
            .as_ref()
            .and_then(|(body, rewritten)| rewritten.then(|| body.len()));
        let (mut parts, replayable) = match (head, &self.saved) {
            (Some(head), _) => (head, self.is_replayable()),
            (None, Some(saved)) => (saved.restore(call), false),
            (None, None) => return Err(gone()),
        };
        if replayable {
            self.saved = Some(Saved::of(&parts));
        }
        let place = self.place(route, &parts, call)?;
        Change::new(plan, route, &*self.native, rewritten, place)
            .apply(&mut parts)
            .map_err(problem)?;
        self.dialect = plan
            .dialect_of(route, &self.native, &parts.uri)
            .ok_or_else(|| problem(RequestProblem::Dialect))?;
        if route.sign.is_some() {
            sign(route, call, &mut parts, body.as_ref().map(|(body, _)| body))?;
        }
        let body = match (body, &mut self.content) {
            (Some((body, _)), _) => B::from_segments(body),
            (None, Content::Once(body)) => *body.take().ok_or_else(gone)?,
            (None, Content::Memory(whole)) => B::from_segments(whole.clone().into()),
        };
        Ok(Request::from_parts(parts, body))
    }

    /// The body for a target, and whether it is another than the caller's. `None` where it is not in memory.
    fn body(&self, route: &Route, call: &Call) -> Result<Option<(Segments, bool)>, Error> {
        let Content::Memory(whole) = &self.content else {
            return Ok(None);
        };
        let splice = match (&route.model, &self.model) {
            (Some(model), Some(span)) if whole.get(span.clone()) != Some(&*model.literal) => {
                Some((span.clone(), model.literal.clone()))
            }
            _ => None,
        };
        let Some(patch) = &route.patch else {
            return Ok(Some(match splice {
                Some((span, literal)) => (Segments::splice(whole, span, literal), true),
                None => (whole.clone().into(), false),
            }));
        };
        let mut edits = patch.edits(whole).map_err(|error| problem(error, call))?;
        if let Some((span, literal)) = splice {
            edits.replace(span, literal);
        }
        Ok(Some((Segments::edited(whole, &edits), !edits.is_empty())))
    }

    /// What becomes of the model in the path, if anything does.
    fn place<'r>(
        &self,
        route: &'r Route,
        parts: &Parts,
        call: &Call,
    ) -> Result<Option<Place<'r>>, Error> {
        let problem = || Error::of(call, ErrorKind::Request(RequestProblem::ModelInPath));
        let old = parts.uri.path();
        if let Some(model) = &route.model {
            // Its own path and query were filled when they were checked.
            let (Some(span), None) = (&self.path_model, &route.path) else {
                return Ok(None);
            };
            let segment = model.segment.as_deref().ok_or_else(problem)?;
            return Ok((old.get(span.clone()) != Some(segment)).then(|| Place {
                span: Some(span.clone()),
                segment: Cow::Borrowed(segment),
            }));
        }
        let has_hole =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(HOLE));
        if !has_hole(&route.path) && !has_hole(&route.query) {
            return Ok(None);
        }
        let segment = match (&self.path_model, &self.model, &self.content) {
            (Some(span), _, _) => old.get(span.clone()).map(str::to_owned),
            (None, Some(span), Content::Memory(whole)) => whole
                .get(span.clone())
                .and_then(|literal| path_segment(&model_name(literal)).ok()),
            _ => None,
        };
        Ok(Some(Place {
            span: None,
            segment: Cow::Owned(segment.ok_or_else(problem)?),
        }))
    }
}

fn sign(
    route: &Route,
    call: &Call,
    parts: &mut Parts,
    body: Option<&Segments>,
) -> Result<(), Error> {
    let Some(signer) = &route.sign else {
        return Ok(());
    };
    let signature = signer.sign(&Outgoing {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        body,
    });
    let signature = signature.map_err(|error| {
        Error::of(call, ErrorKind::Request(RequestProblem::Unsigned)).with_source(error)
    })?;
    for (name, value) in &signature {
        if !FRAMING.contains(name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            parts.headers.insert(name.clone(), value);
        }
    }
    Ok(())
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
        RequestError::ModelInOtherCase => RequestProblem::ModelInOtherCase,
        RequestError::NoModelInPath => RequestProblem::NoModelInPath,
        _ => RequestProblem::Malformed,
    };
    Error::of(call, ErrorKind::Request(problem)).with_source(error)
}
