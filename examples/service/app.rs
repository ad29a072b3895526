//! The service: it asks a model, and streams the answer through.

use crate::flags::Upstream;
use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use backstay::{
    Body, BoxError, BuildError, Error, ErrorKind, ServiceBuilderExt, Timeouts,
    cancel::CancelService,
    deadline::DeadlineService,
    drain::Drain,
    fallback::{FallbackService, Target, Targets},
    status_error::StatusErrorService,
    timeout::TimeoutsService,
};
use backstay_client::Client;
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use std::sync::Arc;
use tokio::time::Duration;
use tower::{ServiceBuilder, ServiceExt};

/// What a call passes through, from the outside in.
pub(crate) type Stack = CancelService<
    StatusErrorService<DeadlineService<FallbackService<TimeoutsService<Client<Body>>>>>,
>;

/// What a handler needs.
#[derive(Clone)]
struct App {
    llm: Stack,
    upstream: Arc<Upstream>,
    drain: Drain,
}

const CONNECT: Duration = Duration::from_secs(3);

/// The routes. The drain is around those that work; the one that tells a load balancer where things stand
/// goes on answering.
pub(crate) fn router(
    client: Client<Body>,
    upstream: Upstream,
    budget: Duration,
    drain: &Drain,
) -> Result<Router, BuildError> {
    let app = App {
        llm: stack(client, &upstream, budget)?,
        upstream: Arc::new(upstream),
        drain: drain.clone(),
    };
    Ok(Router::new()
        .route("/answer", post(answer))
        .route("/models/{model}/answer", post(answer_of))
        .layer(drain.server_layer())
        .route("/ready", get(ready))
        .with_state(app))
}

fn stack(client: Client<Body>, upstream: &Upstream, budget: Duration) -> Result<Stack, BuildError> {
    let mut targets = Targets::new(Target::named("primary")).retries(1);
    if let Some(model) = &upstream.fallback_model {
        targets = targets.then(Target::model(model.as_str()));
    }
    let timeouts = Timeouts::new()
        .connect(CONNECT)
        .for_streams(|clocks| clocks.first_token(budget.mul_f64(0.3)));
    Ok(ServiceBuilder::new()
        // No drain here: a request that was let in may still make calls while the grace period runs.
        .on_cancel(|ended| async move { println!("  hook of a call: {:?}", ended.why) })
        .status_error()
        .deadline(budget)?
        .fallback(targets)?
        .timeouts(timeouts)?
        .service(client))
}

async fn ready(State(app): State<App>) -> StatusCode {
    if app.drain.is_draining() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

async fn answer(State(app): State<App>, prompt: String) -> Response {
    let model = app.upstream.model.clone();
    app.answer(&model, &prompt).await
}

async fn answer_of(State(app): State<App>, Path(model): Path<String>, prompt: String) -> Response {
    app.answer(&model, &prompt).await
}

// === impl App ===

impl App {
    async fn answer(&self, model: &str, prompt: &str) -> Response {
        match self.ask(model, prompt).await {
            Ok(response) => response,
            Err(error) => {
                // The details are for the log, and not for whoever asked.
                eprintln!("{error}");
                status(&error).into_response()
            }
        }
    }

    /// Asks, and hands the body on as it comes. Whoever drops it, the upstream's connection is closed.
    async fn ask(&self, model: &str, prompt: &str) -> Result<Response, BoxError> {
        let document = json!({
            "model": model,
            "stream": true,
            "messages": [{"role": "user", "content": prompt}],
        });
        let request = self
            .upstream
            .server
            .post("/chat/completions")
            .body(Body::from(document.to_string()))?;
        let answer = self.llm.clone().oneshot(request).await?;
        let kind = answer.headers().get(CONTENT_TYPE).cloned();
        let mut response = Response::new(axum::body::Body::new(answer.into_body()));
        if let Some(kind) = kind {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        Ok(response)
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
