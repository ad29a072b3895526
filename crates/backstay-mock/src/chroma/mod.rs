//! A vector store with Chroma's v2 REST interface (<https://docs.trychroma.com/reference/overview>).
//!
//! Shapes, statuses and error names are those of a Chroma 1.x server. Any tenant and database exists.
//! The search is exact.

mod filter;
mod record;
mod refusal;
mod request;
mod space;
mod store;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use self::refusal::Refusal;
use self::request::{Add, Create, Delete, Get, Include, Query, Update, parse};
use self::store::Collection;
pub(crate) use self::store::Store;
pub use self::store::{MAX_COLLECTIONS, MAX_RECORDS};

/// What Chroma's own server said to the same question.
const VERSION: &str = "1.0.0";
const MAX_BATCH: usize = 5461;

pub(crate) type Answer = Result<(StatusCode, Value), Refusal>;

/// Answers a request below `/api/v2`. `Null` stands for no body.
pub(crate) fn answer(
    store: &mut Store,
    method: &Method,
    path: &str,
    body: &[u8],
) -> (StatusCode, Value) {
    let path = path.trim_start_matches("/api/v2").trim_matches('/');
    let segments: Vec<&str> = path.split('/').collect();
    let answered = match (method.as_str(), segments.as_slice()) {
        (_, ["tenants", tenant, "databases", database, rest @ ..]) if !rest.is_empty() => {
            collections(store, method, (tenant, database), rest, body)
        }
        (method, segments) => server(method, segments),
    };
    answered.unwrap_or_else(|refusal| {
        let name = match refusal.status {
            StatusCode::METHOD_NOT_ALLOWED => return (refusal.status, Value::Null),
            StatusCode::NOT_FOUND if refusal.message.is_empty() => {
                return (refusal.status, Value::Null);
            }
            status => name(status),
        };
        (
            refusal.status,
            json!({"error": name, "message": refusal.message}),
        )
    })
}

/// An error that a script asked for.
pub(crate) fn error(status: StatusCode, code: Option<&str>) -> Value {
    json!({"error": code.unwrap_or(name(status)), "message": "scripted by the mock"})
}

fn name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "InvalidArgumentError",
        404 => "NotFoundError",
        500 => "InternalError",
        _ => "ChromaError",
    }
}

fn server(method: &str, segments: &[&str]) -> Answer {
    if method != "GET" {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ""));
    }
    ok(match segments {
        // Chroma gives the clock here; the mock's answers are the same every time.
        [""] | ["heartbeat"] => json!({"nanosecond heartbeat": 1_700_000_000_000_000_000_u64}),
        ["healthcheck"] => json!({"is_executor_ready": true, "is_log_client_ready": true}),
        ["version"] => VERSION.into(),
        ["pre-flight-checks"] => {
            json!({"max_batch_size": MAX_BATCH, "supports_base64_encoding": true})
        }
        ["auth", "identity"] => {
            json!({"user_id": "", "tenant": "default_tenant", "databases": ["default_database"]})
        }
        ["tenants", tenant] => json!({"name": tenant, "resource_name": null}),
        ["tenants", tenant, "databases", database] => json!({
            "id": "00000000-0000-0000-0000-000000000000",
            "name": database,
            "tenant": tenant,
        }),
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "")),
    })
}

fn collections(
    store: &mut Store,
    method: &Method,
    place: (&str, &str),
    segments: &[&str],
    body: &[u8],
) -> Answer {
    match (method.as_str(), segments) {
        ("GET", ["collections_count"]) => ok(store.of(place).count().into()),
        ("GET", ["collections"]) => ok(store.of(place).map(Collection::describe).collect()),
        ("POST", ["collections"]) => {
            let create: Create = parse(body)?;
            ok(store.create(place, create)?.describe())
        }
        ("GET", ["collections", name]) => ok(store.by_name(place, name)?.describe()),
        ("DELETE", ["collections", name]) => {
            store.delete(place, name)?;
            ok(json!({}))
        }
        ("GET", ["collections", id, "count"]) => ok(store.by_id(id)?.records().len().into()),
        ("POST", ["collections", id, operation]) => operate(store.by_id(id)?, operation, body),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "")),
    }
}

fn operate(collection: &mut Collection, operation: &str, body: &[u8]) -> Answer {
    match operation {
        "add" => {
            let add: Add = parse(body)?;
            collection.add(add, false)?;
            Ok((StatusCode::CREATED, json!({})))
        }
        "upsert" => {
            let add: Add = parse(body)?;
            collection.add(add, true)?;
            ok(json!({}))
        }
        "update" => {
            let update: Update = parse(body)?;
            collection.update(update)?;
            ok(json!({}))
        }
        "delete" => {
            let delete: Delete = parse(body)?;
            ok(json!({"deleted": collection.remove(&delete)?}))
        }
        "get" => get(collection, &parse(body)?),
        "query" => query(collection, &parse(body)?),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "")),
    }
}

fn get(collection: &Collection, get: &Get) -> Answer {
    let mut found = Vec::new();
    for record in collection.records() {
        if get.filter.accepts(record)? {
            found.push(record);
        }
    }
    let include = get.include.as_deref().unwrap_or(Include::GET);
    let records = found
        .into_iter()
        .skip(get.offset.unwrap_or(0))
        .take(get.limit.unwrap_or(usize::MAX))
        .map(|record| (record, 0.0))
        .collect::<Vec<_>>();
    let mut columns = store::columns(&records, include);
    // Without a query there is nothing to be distant from.
    columns.remove("distances");
    ok(Value::Object(columns))
}

fn query(collection: &Collection, query: &Query) -> Answer {
    let include = query.include.as_deref().unwrap_or(Include::QUERY);
    let mut answer = Map::new();
    for name in [
        "ids",
        "embeddings",
        "documents",
        "uris",
        "metadatas",
        "distances",
    ] {
        answer.insert(name.to_owned(), Value::Null);
    }
    for vector in &query.query_embeddings {
        let vector = vector.floats()?;
        let nearest = collection.nearest(&vector, query.n_results.unwrap_or(10), &query.filter)?;
        for (name, column) in store::columns(&nearest, include) {
            match answer.get_mut(&name) {
                Some(Value::Array(all)) => all.push(column),
                Some(all) if column.is_array() => *all = json!([column]),
                _ => {}
            }
        }
    }
    if query.query_embeddings.is_empty() {
        answer.insert("ids".to_owned(), json!([]));
    }
    answer.insert(
        "include".to_owned(),
        include.iter().map(|i| i.name()).collect(),
    );
    ok(Value::Object(answer))
}

fn ok(document: Value) -> Answer {
    Ok((StatusCode::OK, document))
}
