//! The agent: it makes a search of the question, and streams an answer, all in its caller's time.

use crate::flags::Upstream;
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use backstay::{
    Body, BoxError, BuildError, Error, ErrorKind, ServiceBuilderExt, Timeouts,
    cancel::CancelService,
    deadline::{DeadlineHeader, DeadlineService},
    drain::Drain,
    fallback::{FallbackService, Target, Targets},
    inbound::{Inbound, InboundLayer},
    outbound::{Outbound, OutboundService},
    status_error::StatusErrorService,
    timeout::TimeoutsService,
};
use backstay_client::Client;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Duration;
use tower::{Service, ServiceBuilder, ServiceExt};

/// What a call passes through, from the outside in.
type Stack = CancelService<
    StatusErrorService<
        DeadlineService<FallbackService<OutboundService<TimeoutsService<Client<Body>>>>>,
    >,
>;

type Answer = <Stack as Service<Request<Body>>>::Response;

/// What is chosen about the service.
pub(crate) struct Settings {
    /// Of a caller who says nothing.
    pub(crate) budget: Duration,
    /// Whether callers are believed.
    pub(crate) believe: bool,
    /// Whether the model's server is told how much time is left.
    pub(crate) tell: bool,
}

/// What a handler needs.
#[derive(Clone)]
struct App {
    llm: Stack,
    upstream: Arc<Upstream>,
    small_model: Arc<str>,
}

/// The most that anybody is granted.
const AT_MOST: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(3);

/// The route, in the time that its caller has, under the drain.
pub(crate) fn router(
    client: Client<Body>,
    upstream: Upstream,
    small_model: String,
    settings: &Settings,
    drain: &Drain,
) -> Result<Router, BuildError> {
    let app = App {
        llm: stack(client, &upstream, settings)?,
        upstream: Arc::new(upstream),
        small_model: small_model.into(),
    };
    let mut inbound = Inbound::new(settings.budget).at_most(AT_MOST);
    if settings.believe {
        inbound = inbound.believe(DeadlineHeader::REQUEST_TIMEOUT);
    }
    Ok(Router::new()
        .route("/ask", post(ask))
        .with_state(app)
        .layer(InboundLayer::new(inbound)?)
        .layer(drain.server_layer())) // outermost
}

fn stack(
    client: Client<Body>,
    upstream: &Upstream,
    settings: &Settings,
) -> Result<Stack, BuildError> {
    let mut targets = Targets::new(Target::named("primary")).retries(1);
    if let Some(model) = &upstream.fallback_model {
        targets = targets.then(Target::model(model.as_str()));
    }
    let mut outbound = Outbound::new();
    if settings.tell {
        let origin = upstream.server.origin();
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        outbound = outbound
            .header(DeadlineHeader::REQUEST_TIMEOUT)
            .to(authority);
    }
    Ok(ServiceBuilder::new()
        .on_cancel(|ended| async move { println!("  hook of a call: {:?}", ended.why) })
        .status_error()
        .deadline(Duration::MAX)? // the request's own, which is around
        .fallback(targets)?
        .outbound(outbound)? // each attempt is told what is left then
        .timeouts(Timeouts::recommended().connect(CONNECT))?
        .service(client))
}

async fn ask(State(app): State<App>, question: String) -> Response {
    match app.ask(&question).await {
        Ok(response) => response,
        Err(error) => {
            // The details are for the log, and not for whoever asked.
            eprintln!("{error}");
            status(&error).into_response()
        }
    }
}

// === impl App ===

impl App {
    /// Two calls, one deadline. Nothing of it is handed on: each call finds it around.
    async fn ask(&self, question: &str) -> Result<Response, BoxError> {
        let search = self.search(question).await?;
        let prompt = format!("Answer in two sentences: {question}\nFirst think of: {search}");
        let answer = self.call(&self.upstream.model, &prompt, true).await?;
        let kind = answer.headers().get(CONTENT_TYPE).cloned();
        let mut response = Response::new(axum::body::Body::new(answer.into_body()));
        if let Some(kind) = kind {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    /// What to look for.
    async fn search(&self, question: &str) -> Result<String, BoxError> {
        let prompt = format!("Three words to search for: {question}");
        let answer = self.call(&self.small_model, &prompt, false).await?;
        let document = answer.into_body().collect().await?.to_bytes();
        let document: Value = serde_json::from_slice(&document)?;
        let text = document.pointer("/choices/0/message/content");
        Ok(text.and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    async fn call(&self, model: &str, prompt: &str, stream: bool) -> Result<Answer, BoxError> {
        let document = json!({
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": prompt}],
        });
        let request = self
            .upstream
            .server
            .post("/chat/completions")
            .body(Body::from(document.to_string()))?;
        self.llm.clone().oneshot(request).await
    }
}

/// By the error's kind, and never by its text.
fn status(error: &BoxError) -> StatusCode {
    match Error::find(&**error).map(Error::kind) {
        Some(ErrorKind::Deadline | ErrorKind::Timeout(_)) => StatusCode::GATEWAY_TIMEOUT,
        Some(ErrorKind::Draining | ErrorKind::Cancelled(_)) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    }
}
