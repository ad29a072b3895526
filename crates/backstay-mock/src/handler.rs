//! One request from head to head: read it, find its reply, wait, and hand the rest to the body.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::anthropic;
use crate::body::{Act, MockBody};
use crate::chroma;
use crate::connection::Link;
use crate::embedding;
use crate::exchange::Exchange;
use crate::names;
use crate::openai;
use crate::plan::{self, Document, Plan};
use crate::reply::{Fault, Reply};
use crate::route::{Asked, Endpoint};
use crate::server::Shared;

/// How many bytes a request body may have: 32 MiB. Longer ones are answered with 413.
pub const MAX_REQUEST_BODY: usize = 32 * 1024 * 1024;

pub(crate) async fn answer(
    shared: Arc<Shared>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Response<MockBody> {
    let (parts, body) = request.into_parts();
    let mut exchange = Exchange::begin(Arc::clone(&shared), link, &parts);
    let endpoint = Endpoint::of(&parts.method, parts.uri.path());

    let body = match Limited::new(body, MAX_REQUEST_BODY).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let asked = Asked::new(endpoint, &[]);
            return respond(refuse(&asked, StatusCode::PAYLOAD_TOO_LARGE), exchange);
        }
        // The caller left in the middle of its request.
        Err(_) => {
            exchange.left();
            return Response::new(MockBody::new([Act::Cut].into(), exchange));
        }
    };

    let asked = Asked::new(endpoint, &body);
    let path = parts.uri.path();
    let turn = shared
        .book
        .lock()
        .turn(asked.model(), path, endpoint.is_work());
    exchange.read(asked.model(), turn.attempt, &body);
    let reply = turn
        .reply
        .or_else(|| names::reply(asked.model()?, endpoint == Endpoint::Messages, turn.attempt))
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
    } else if asked.stream && reply.status.is_success() && reply.body.is_none() {
        plan::stream(
            &reply,
            match endpoint {
                Endpoint::Messages => anthropic::events(&call),
                _ => openai::events(&call),
            },
        )
    } else {
        let chroma = || chroma::answer(&mut shared.store.lock(), &parts.method, path, &body);
        plan::unary(&reply, document(&call, chroma))
    };
    identify(endpoint, call.number, &mut plan.headers);
    for name in reply.headers.keys() {
        plan.headers.remove(name);
    }
    plan.headers.extend(reply.headers);
    respond(plan, exchange)
}

/// All that an answer is made from.
pub(crate) struct Call<'a> {
    pub(crate) asked: &'a Asked,
    pub(crate) reply: &'a Reply,
    /// The request's number: ids are made from it.
    pub(crate) number: u64,
    pub(crate) seed: u64,
}

fn document(call: &Call<'_>, chroma: impl FnOnce() -> (StatusCode, Value)) -> Document {
    let Call { asked, reply, .. } = call;
    let of = |status, document: Value| Document {
        status,
        body: document.to_string().into(),
        tokens: 0,
    };
    if let Some(body) = &reply.body {
        return Document {
            status: reply.status,
            body: body.clone(),
            tokens: 0,
        };
    }
    if let Fault::ErrorInBand(_, code) = &reply.fault {
        return of(
            reply.status,
            error(
                asked.endpoint,
                StatusCode::INTERNAL_SERVER_ERROR,
                Some(code),
            ),
        );
    }
    if !reply.status.is_success() {
        return of(
            reply.status,
            error(asked.endpoint, reply.status, reply.code.as_deref()),
        );
    }
    match asked.endpoint {
        Endpoint::Chat => openai::completion(call),
        Endpoint::Messages => anthropic::message(call),
        Endpoint::Embeddings => match embedding::answer(&asked.body) {
            Some(document) => of(reply.status, document),
            None => of(
                StatusCode::BAD_REQUEST,
                error(asked.endpoint, StatusCode::BAD_REQUEST, None),
            ),
        },
        Endpoint::Models => of(reply.status, openai::models()),
        Endpoint::Health => of(reply.status, json!({"status": "ok"})),
        Endpoint::Chroma => {
            let (status, mut document) = chroma();
            // An unknown route of Chroma's has no body at all.
            let body = match document.take() {
                Value::Null => Bytes::new(),
                document => document.to_string().into(),
            };
            Document {
                status,
                body,
                tokens: 0,
            }
        }
        Endpoint::Unknown => of(
            StatusCode::NOT_FOUND,
            error(asked.endpoint, StatusCode::NOT_FOUND, None),
        ),
    }
}

fn error(endpoint: Endpoint, status: StatusCode, code: Option<&str>) -> Value {
    match endpoint {
        Endpoint::Messages => anthropic::error(status, code),
        Endpoint::Chroma => chroma::error(status, code),
        _ => openai::error(status, code),
    }
}

/// The mock's own no, which no script can change.
fn refuse(asked: &Asked, status: StatusCode) -> Plan {
    let document = Document {
        status,
        body: error(asked.endpoint, status, None).to_string().into(),
        tokens: 0,
    };
    plan::unary(&Reply::ok(), document)
}

fn identify(endpoint: Endpoint, number: u64, headers: &mut HeaderMap) {
    let name = match endpoint {
        Endpoint::Messages => "request-id",
        Endpoint::Chroma | Endpoint::Health => return,
        _ => "x-request-id",
    };
    if let Ok(id) = HeaderValue::try_from(format!("req_mock_{number}")) {
        headers.insert(name, id);
    }
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
