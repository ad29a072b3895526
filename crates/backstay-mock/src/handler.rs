//! One request from head to head: read it, find its reply, wait, and hand the rest to the body.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::act::Act;
use crate::answer::Document;
use crate::body::MockBody;
use crate::call::Call;
use crate::chroma;
use crate::connection::Link;
use crate::dialect::Dialect;
use crate::dialects;
use crate::embedding;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::names;
use crate::plan::{self, Plan};
use crate::reply::Reply;
use crate::route::{Asked, Endpoint, Route};
use crate::shared::Shared;

/// How many bytes a request body may have: 32 MiB. Longer ones are answered with 413.
pub const MAX_REQUEST_BODY: usize = 32 * 1024 * 1024;

pub(crate) async fn answer(
    shared: Arc<Shared>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Response<MockBody> {
    let (parts, body) = request.into_parts();
    let route = Route::of(&parts, shared.chat_as);
    let endpoint = route.endpoint;
    let mut exchange = Exchange::begin(Arc::clone(&shared), link, &parts, endpoint.dialect());
    if shared.is_shut() {
        // It came on a connection that the outage is about to end.
        exchange.reset();
        return std::future::pending().await;
    }

    let body = match Limited::new(body, MAX_REQUEST_BODY).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let asked = Asked::new(route, &[]);
            return respond(refuse(&asked, StatusCode::PAYLOAD_TOO_LARGE), exchange);
        }
        // The caller left in the middle of its request.
        Err(_) => {
            exchange.left();
            return Response::new(MockBody::new([Act::Cut].into(), exchange));
        }
    };

    let asked = Asked::new(route, &body);
    let path = parts.uri.path();
    let failing = shared
        .outages
        .lock()
        .reply(asked.model(), path, Instant::now());
    let turn = match &failing {
        // An outage takes no step of the script, which goes on where it was.
        Some(_) => shared.book.lock().pass_over(asked.model(), path),
        None => shared
            .book
            .lock()
            .turn(asked.model(), path, endpoint.is_work()),
    };
    exchange.read(asked.model(), turn.attempt, &body, failing.is_some());
    let reply = failing
        .or(turn.reply)
        .or_else(|| names::reply(asked.model()?, endpoint.dialect()?, turn.attempt))
        .unwrap_or_default();

    if reply.fault == Fault::NeverAnswer {
        return std::future::pending().await;
    }
    if !reply.delay_headers.is_zero() {
        tokio::time::sleep(reply.delay_headers).await;
    }
    if reply.fault == Fault::ResetBeforeHeaders {
        exchange.reset();
        return std::future::pending().await;
    }

    let call = Call {
        asked: &asked,
        reply: &reply,
        number: exchange.number(),
        seed: shared.seed,
    };
    let mut plan = if asked.lacks_model() && reply.body.is_none() {
        refuse(&asked, StatusCode::BAD_REQUEST)
    } else {
        match endpoint {
            Endpoint::Generate(dialect)
                if asked.stream && reply.status.is_success() && reply.body.is_none() =>
            {
                plan::stream(&reply, dialects::events(dialect, &call))
            }
            _ => {
                let chroma =
                    || chroma::answer(&mut shared.store.lock(), &parts.method, path, &body);
                plan::unary(&reply, document(&call, path, chroma))
            }
        }
    };
    if endpoint != Endpoint::Health {
        dialects::identify(endpoint.dialect(), call.number, &mut plan.headers);
    }
    for name in reply.headers.keys() {
        plan.headers.remove(name);
    }
    plan.headers.extend(reply.headers);
    respond(plan, exchange)
}

fn document(call: &Call<'_>, path: &str, chroma: impl FnOnce() -> (StatusCode, Value)) -> Document {
    let Call { asked, reply, .. } = call;
    if let Some(body) = &reply.body {
        return Document {
            status: reply.status,
            headers: HeaderMap::new(),
            body: body.clone(),
            tokens: 0,
        };
    }
    if let Some(failure) = call.in_band() {
        let dialect = asked.endpoint.dialect().unwrap_or(Dialect::OpenAiChat);
        let error = dialects::error_in_200(dialect, call, &failure);
        return Document::new(reply.status, &error);
    }
    if !reply.status.is_success() {
        return error(asked.endpoint, reply.status, reply.code.as_deref());
    }
    match asked.endpoint {
        Endpoint::Generate(dialect) => dialects::document(dialect, call),
        Endpoint::Embeddings => match embedding::answer(&asked.body) {
            Some(document) => Document::new(reply.status, &document),
            None => error(asked.endpoint, StatusCode::BAD_REQUEST, None),
        },
        Endpoint::Cancel => {
            let id = path.rsplit('/').nth(1).unwrap_or_default();
            Document::new(reply.status, &dialects::cancelled(id))
        }
        Endpoint::Models => Document::new(reply.status, &dialects::models()),
        Endpoint::Health => Document::new(reply.status, &json!({"status": "ok"})),
        Endpoint::Chroma => {
            let (status, mut document) = chroma();
            match document.take() {
                // An unknown route of Chroma's has no body at all.
                Value::Null => Document {
                    body: Bytes::new(),
                    ..Document::new(status, &Value::Null)
                },
                document => Document::new(status, &document),
            }
        }
        Endpoint::Unknown => error(asked.endpoint, StatusCode::NOT_FOUND, None),
    }
}

fn error(endpoint: Endpoint, status: StatusCode, code: Option<&str>) -> Document {
    let dialect = endpoint.dialect().unwrap_or(Dialect::OpenAiChat);
    dialects::error(dialect, status, code)
}

/// The mock's own no, which no script can change.
fn refuse(asked: &Asked, status: StatusCode) -> Plan {
    plan::unary(&Reply::ok(), error(asked.endpoint, status, None))
}

fn respond(plan: Plan, exchange: Exchange) -> Response<MockBody> {
    exchange.headers_sent(plan.status.as_u16());
    let mut response = Response::new(MockBody::new(plan.acts, exchange));
    *response.status_mut() = plan.status;
    *response.headers_mut() = plan.headers;
    if let Some(version) = plan.version {
        *response.version_mut() = version;
    }
    response
}
