//! One request, from its head to its answer's head.

mod body;
mod events;
mod gather;
mod head;
mod local;
mod upload;

pub(crate) use self::body::AnswerBody;

use self::body::Passing;
use crate::{
    config::{Family, Listener},
    front::{self, Told},
    leash::Held,
    refusal::Refusal,
    routes::{Api, Line},
    shared::{Live, Shared},
    trails::{Ending, Entry},
};
use backstay::{Body, Deadline, dialect::model_name};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::time::{Duration, Instant};
use tower::{Service, ServiceExt};

/// How long anything may take that is no call: a page, a refusal.
const LOCAL: Duration = Duration::from_secs(30);

/// Answers a request that came to the listener at this place. Never fails: what goes wrong is an answer.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    place: usize,
    held: Held,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let live = shared.live();
    let Some(listener) = live.config.listeners.get(place) else {
        // A reload keeps the listeners: there is one for every place.
        return refused(&Refusal::busy("reloading", "try again"), Family::Plain);
    };
    let family = family(request.uri().path(), request.headers());
    let origin = front::listed_origin(request.headers(), listener).cloned();
    let answered = admitted(&shared, &live, listener, &held, request).await;
    let mut response = answered.unwrap_or_else(|refusal| refused(&refusal, family));
    if let Some(origin) = origin {
        head::share_with(response.headers_mut(), origin);
    }
    response.body_mut().hold(held);
    response
}

async fn admitted(
    shared: &Arc<Shared>,
    live: &Live,
    listener: &Listener,
    held: &Held,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Refusal> {
    let started = Instant::now();
    held.until(started.checked_add(LOCAL));
    front::check(&request, listener)?;
    if let Some(response) = local::open(shared, &request) {
        return Ok(response);
    }
    let caller = front::admit(request.headers(), &live.config)?;
    let path = request.uri().path();
    let line = live.routes.of_path(path);
    let api = Api::of(path).filter(|_| line.is_none());
    if line.is_none() && api.is_none() {
        return local::page(shared, live, &request);
    }
    if line.is_some() && head::climbs(path) {
        return Err(Refusal::bad(
            "bad_path",
            "the path holds `..`, which could lead out of what its route allows: write it without",
        ));
    }
    if api.is_some() && request.method() != Method::POST {
        return Err(Refusal::method("POST"));
    }
    if matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    ) {
        front::json(request.headers())?;
    }
    if shared.leaving.drain.is_draining() {
        return Err(Refusal::busy("draining", "the gateway is shutting down"));
    }
    let counted = shared.calls.enter().ok_or_else(|| {
        Refusal::busy(
            "too_many_calls",
            "as many calls are under way as `limits.calls` allows",
        )
    })?;

    let told = Told::read(request.headers(), &listener.deadline_headers);
    let line = line.cloned();
    let (parts, body) = request.into_parts();
    let limits = &live.config.limits;
    // Its own limit is looked at in there; this one is for a caller who does not read the complaint.
    held.until(started.checked_add(limits.body_time.saturating_add(LOCAL)));
    // Its stack is under the drain too. Whoever comes there after the drain has begun is refused: nothing has
    // been sent, and another gateway can take it.
    let upload = upload::read(shared, limits, &parts.headers, body).await?;
    held.request_read();

    let line = match (line, api) {
        (Some(line), _) => line,
        (None, Some(api)) => of_model(live, api, &parts, &upload.bytes)?,
        (None, None) => {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "no such path",
            ));
        }
    };
    let budget = told.whole.map_or(line.budget, |told| told.min(line.budget));
    let deadline = started.checked_add(budget);
    held.until(deadline);
    let path = api.map_or("path route", Api::path);
    let entry = shared.trails.begin(path, line.route.clone(), caller);
    let key = line
        .takes_key
        .then(|| front::callers_key(&parts.headers, &live.config))
        .flatten();
    let mut passing = Box::new(Passing::new(entry.clone(), line.family, api, counted));
    let request =
        match head::for_stack(&line, &entry, parts, upload.bytes, deadline, told.read, key) {
            Ok(request) => request,
            Err(refusal) => return Ok(passing.refuse(&refusal)),
        };
    let mut stack = line.stack.clone();
    let answered = match stack.ready().await {
        Ok(ready) => ready.call(request).await,
        Err(error) => Err(error),
    };
    let response = match answered {
        Ok(response) if response.status().is_redirection() => {
            return Ok(passing.refuse(&Refusal::new(
                StatusCode::BAD_GATEWAY,
                "upstream_redirected",
                "the upstream answered with a redirect, which is not followed: correct `base_url`",
            )));
        }
        // Nobody asked for another protocol; what follows such a head is no answer.
        Ok(response) if response.status().is_informational() => {
            return Ok(passing.refuse(&Refusal::new(
                StatusCode::BAD_GATEWAY,
                "upstream_switched",
                "the upstream switched to another protocol, which was not asked for: correct `base_url`",
            )));
        }
        Ok(response) => response,
        Err(error) => return Ok(passing.refuse(&Refusal::of_error(&error))),
    };
    // Whatever may still be sent again is held by the stack; the rest of the bytes are free.
    drop(upload.reserved);
    let (mut parts, body) = response.into_parts();
    passing.begin(&mut parts, body);
    head::from_stack(&mut parts, &entry);
    entry.head(parts.status);
    Ok(Response::from_parts(parts, AnswerBody::passing(passing)))
}

/// The line for the model that the body names.
fn of_model(live: &Live, api: Api, parts: &Parts, body: &Bytes) -> Result<Arc<Line>, Refusal> {
    if let Some(line) = live.routes.of_any_model(api) {
        return Ok(line.clone());
    }
    let path = parts.uri.path();
    let facts = api.read_request(path, body).map_err(|error| {
        Refusal::bad(
            "invalid_request",
            format!("the request does not say which model it asks for: {error}"),
        )
    })?;
    let literal = facts.model.and_then(|span| body.get(span));
    let model = model_name(literal.unwrap_or_default());
    live.routes
        .of_model(api, &model)
        .cloned()
        .ok_or_else(|| unknown_model(live, api, &model))
}

fn unknown_model(live: &Live, api: Api, model: &str) -> Refusal {
    let elsewhere = Api::ALL.into_iter().find(|other| {
        other.family() != api.family() && live.routes.of_model(*other, model).is_some()
    });
    let message = match elsewhere {
        Some(other) => format!(
            "this model has a route at {} and none at {}",
            other.path(),
            api.path()
        ),
        None => {
            "there is no route for this model: GET /v1/models lists those that there are".to_owned()
        }
    };
    Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message)
}

/// In whose words a caller is told no.
fn family(path: &str, headers: &HeaderMap) -> Family {
    match Api::of(path) {
        Some(api) => api.family(),
        None if headers.contains_key("anthropic-version") => Family::Anthropic,
        None => Family::OpenAi,
    }
}

fn refused(refusal: &Refusal, family: Family) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::empty());
    *response.status_mut() = refusal.status;
    let document = refusal.write(family, response.headers_mut());
    *response.body_mut() = AnswerBody::local(document);
    response
}

// === impl Passing: an answer of the gateway's own to a call that began ===

impl Passing {
    fn refuse(self, refusal: &Refusal) -> Response<AnswerBody> {
        let mut response = refused(refusal, self.family());
        let entry = self.entry();
        head::tell(response.headers_mut(), entry);
        entry.head(refusal.status);
        entry.end(Ending::Refused);
        response
    }
}

fn deadline_of(at: Option<Instant>) -> Deadline {
    at.map_or(Deadline::NEVER, Deadline::at)
}

type StackRequest = Request<Body>;
type SharedEntry = Arc<Entry>;
