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
    spoken::Spoken,
    timeout::Timeouts,
};
use backstay_dialect::{RequestError, model_name, path_segment};
use bytes::Bytes;
use http::{Method, Request, Uri, uri::PathAndQuery};
use std::{borrow::Cow, ops::Range};

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
pub(super) struct Original {
    /// In one piece, where the model was looked for. `None` over the replay limit: for one attempt.
    whole: Option<Bytes>,
    /// Once the first attempt has been given the request itself.
    saved: Option<Saved>,
    /// In which the call was made.
    native: Spoken,
    /// The dialect of the attempt under way.
    dialect: Spoken,
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

// === impl Original ===

impl Original {
    /// `body` is that of the request, where it is in memory.
    pub(super) fn new<B>(plan: &Plan, request: &Request<B>, body: Option<Segments>) -> Self {
        let body = body.filter(|body| body.len() <= plan.replay_limit);
        let dialect = plan.dialect(request.uri());
        let extensions = request.extensions();
        // The call's own record is always there.
        let more = extensions.len() > 1;
        Self {
            whole: body.map(Segments::into_bytes),
            saved: None,
            is_head: request.method() == Method::HEAD,
            model: None,
            path_model: None,
            stream: None,
            prompt_tokens: extensions
                .get::<PromptTokens>()
                .filter(|_| more)
                .map(|count| count.0),
            conversation: extensions.get::<Conversation>().filter(|_| more).copied(),
            own_clocks: more && extensions.get::<Timeouts>().is_some(),
            encoded: is_encoded(request.headers()),
            idempotent: dialect.carries_model()
                || request.method().is_idempotent()
                || extensions.get::<Idempotent>().is_some(),
            native: dialect.clone(),
            dialect,
        }
    }

    /// Finds the model, and whether a stream is asked for.
    pub(super) fn read(&mut self, plan: &Plan, call: &Call, uri: &Uri) -> Result<(), Error> {
        let whole = match &self.whole {
            None => return self.unread(plan, call, uri, RequestProblem::TooLarge),
            Some(_) if self.encoded => {
                return self.unread(plan, call, uri, RequestProblem::Encoded);
            }
            Some(whole) => whole,
        };
        let dialect = &*self.native;
        match dialect.read_request(path_and_query(uri), whole) {
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

    /// Nothing is known of the body. That is an error if the first target needs it rewritten; those after
    /// it are passed over.
    fn unread(
        &mut self,
        plan: &Plan,
        call: &Call,
        uri: &Uri,
        problem: RequestProblem,
    ) -> Result<(), Error> {
        // The model may be in the path.
        if plan.names_models
            && let Ok(facts) = self.native.read_request(path_and_query(uri), b"{}")
        {
            self.path_model = facts.path_model;
        }
        match plan.routes.first() {
            Some(route) if !self.suits(route) => Err(Error::of(call, ErrorKind::Request(problem))),
            _ => Ok(()),
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
        match &self.whole {
            // Its length is its coding's, not its text's.
            Some(whole) if !self.encoded => window::holds(window, self.prompt_tokens, whole),
            _ => window::holds(window, self.prompt_tokens, &[]),
        }
    }

    /// Whether there can be a second attempt.
    pub(super) fn is_replayable(&self) -> bool {
        self.whole.is_some()
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
    pub(super) fn dialect(&self) -> &Spoken {
        &self.dialect
    }

    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Makes the request for one target. The first attempt is given the caller's own, which stands in `place`:
    /// there it is changed, and moved no more than once.
    pub(super) fn attempt<B: ReplayableBody>(
        &mut self,
        plan: &Plan,
        route: &Route,
        call: &Call,
        place: &mut Option<Request<B>>,
    ) -> Result<(), Error> {
        let rewritten = self.rewritten(route, call)?;
        let request = match place {
            Some(request) => {
                if self.is_replayable() {
                    self.saved = Some(Saved::of(request));
                }
                request
            }
            None => {
                let gone = || Error::of(call, ErrorKind::Request(RequestProblem::TooLarge));
                let (saved, whole) = self
                    .saved
                    .as_ref()
                    .zip(self.whole.as_ref())
                    .ok_or_else(gone)?;
                let body = B::from_segments(whole.clone().into());
                place.insert(saved.restore(call, body))
            }
        };
        let made = self.make(plan, route, call, request, rewritten);
        if made.is_err() {
            // Half of it was changed.
            *place = None;
        }
        made
    }

    fn make<B: ReplayableBody>(
        &mut self,
        plan: &Plan,
        route: &Route,
        call: &Call,
        request: &mut Request<B>,
        rewritten: Option<Segments>,
    ) -> Result<(), Error> {
        let problem = |problem| Error::of(call, ErrorKind::Request(problem));
        let length = rewritten.as_ref().map(Segments::len);
        let place = self.place(route, request.uri(), call)?;
        Change::new(plan, route, &*self.native, length, place)
            .apply(request)
            .map_err(problem)?;
        self.dialect = plan
            .dialect_of(route, &self.native, request.uri())
            .ok_or_else(|| problem(RequestProblem::Dialect))?;
        if route.sign.is_some() {
            let whole = || self.whole.clone().map(Segments::from);
            sign(
                route,
                call,
                request,
                rewritten.clone().or_else(whole).as_ref(),
            )?;
        }
        if let Some(body) = rewritten {
            *request.body_mut() = B::from_segments(body);
        }
        Ok(())
    }

    /// The body for a target, where it is another than the caller's.
    fn rewritten(&self, route: &Route, call: &Call) -> Result<Option<Segments>, Error> {
        let Some(whole) = &self.whole else {
            return Ok(None);
        };
        let splice = match (&route.model, &self.model) {
            (Some(model), Some(span)) if whole.get(span.clone()) != Some(&*model.literal) => {
                Some((span.clone(), model.literal.clone()))
            }
            _ => None,
        };
        let Some(patch) = &route.patch else {
            return Ok(splice.map(|(span, literal)| Segments::splice(whole, span, literal)));
        };
        let mut edits = patch.edits(whole).map_err(|error| problem(error, call))?;
        if let Some((span, literal)) = splice {
            edits.replace(span, literal);
        }
        Ok((!edits.is_empty()).then(|| Segments::edited(whole, &edits)))
    }

    /// What becomes of the model in the path, if anything does.
    fn place<'r>(
        &self,
        route: &'r Route,
        uri: &Uri,
        call: &Call,
    ) -> Result<Option<Place<'r>>, Error> {
        let problem = || Error::of(call, ErrorKind::Request(RequestProblem::ModelInPath));
        let old = uri.path();
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
        let segment = match (&self.path_model, &self.model, &self.whole) {
            (Some(span), _, _) => old.get(span.clone()).map(str::to_owned),
            (None, Some(span), Some(whole)) => whole
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

fn sign<B>(
    route: &Route,
    call: &Call,
    request: &mut Request<B>,
    body: Option<&Segments>,
) -> Result<(), Error> {
    let Some(signer) = &route.sign else {
        return Ok(());
    };
    let signature = signer.sign(&Outgoing {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        body,
    });
    let signature = signature.map_err(|error| {
        Error::of(call, ErrorKind::Request(RequestProblem::Unsigned)).with_source(error)
    })?;
    for (name, value) in &signature {
        if !FRAMING.contains(name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            request.headers_mut().insert(name.clone(), value);
        }
    }
    Ok(())
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
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
