//! What the gateway answers itself: health, lists of models, trails.

use super::AnswerBody;
use crate::{
    config::Family,
    refusal::Refusal,
    shared::{Live, Shared},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::json;

/// Lets nothing in from elsewhere, and nobody put it into a frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What anybody may ask: health, and whether a listed page may call.
pub(super) fn open<B>(shared: &Shared, request: &Request<B>) -> Option<Response<AnswerBody>> {
    let (status, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n"),
        "/readyz" if shared.leaving.has_begun() => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        "/readyz" => (StatusCode::OK, "ready\n"),
        _ => return preflight(request),
    };
    if !is_read(request.method()) {
        return None;
    }
    let mut response = content(
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    );
    *response.status_mut() = status;
    Some(response)
}

/// A browser asks before it sends JSON or a key. That the origin is listed has been checked.
fn preflight<B>(request: &Request<B>) -> Option<Response<AnswerBody>> {
    let headers = request.headers();
    if request.method() != Method::OPTIONS
        || !headers.contains_key(header::ORIGIN)
        || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return None;
    }
    let mut response = Response::new(AnswerBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    answer.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST"),
    );
    answer.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    Some(response)
}

/// What a caller with a key may ask, apart from calls.
pub(super) fn page<B>(
    shared: &Shared,
    live: &Live,
    request: &Request<B>,
) -> Result<Response<AnswerBody>, Refusal> {
    let path = request.uri().path();
    let response = match path {
        "/v1/models" => content("application/json", models(live, request)),
        "/trails" => content("text/html; charset=utf-8", shared.trails.page()),
        "/trails.json" => content("application/json", shared.trails.json()),
        _ => {
            let one = path
                .strip_prefix("/trails/")
                .and_then(|id| shared.trails.one(id));
            let Some(found) = one else {
                return Err(not_found(path));
            };
            content("application/json", found)
        }
    };
    if is_read(request.method()) {
        Ok(response)
    } else {
        Err(Refusal::method("GET, HEAD"))
    }
}

fn not_found(path: &str) -> Refusal {
    let message = if path.ends_with("/chat/completions") || path.ends_with("/messages") {
        "no such path: the base URL of OpenAI's SDKs ends in /v1 here, that of Anthropic's is the bare address"
    } else {
        "no such path: there are /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/models, \
         /v1/messages, the paths of the configuration, /trails, /healthz, /readyz"
    };
    Refusal::new(StatusCode::NOT_FOUND, "not_found", message)
}

/// The models that have routes, in the shape of the caller's family.
fn models<B>(live: &Live, request: &Request<B>) -> Bytes {
    let listed = live.routes.models().iter();
    let anthropic = request.headers().contains_key("anthropic-version");
    let document = if anthropic {
        let data: Vec<_> = listed
            .filter(|(_, family)| *family == Family::Anthropic)
            .map(|(name, _)| {
                json!({
                    "type": "model",
                    "id": name,
                    "display_name": name,
                    "created_at": "1970-01-01T00:00:00Z",
                })
            })
            .collect();
        let end = |at: Option<&serde_json::Value>| at.map(|model| model["id"].clone());
        json!({
            "first_id": end(data.first()),
            "last_id": end(data.last()),
            "data": data,
            "has_more": false,
        })
    } else {
        let data: Vec<_> = listed
            .map(|(name, _)| {
                json!({"id": name, "object": "model", "created": 0, "owned_by": "backstay"})
            })
            .collect();
        json!({"object": "list", "data": data})
    };
    document.to_string().into()
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn content(kind: &'static str, bytes: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::local(bytes));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
