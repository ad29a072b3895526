//! The vector store says what a Chroma server says. The expected documents were recorded from one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use backstay_mock::{Mock, Reply, embed};
use client::{ask, request};
use serde_json::{Value, json};

const BASE: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";

async fn call(mock: &Mock, method: &str, path: &str, body: &str) -> (u16, Value) {
    let path = if path.starts_with("/api") {
        path.to_owned()
    } else {
        format!("{BASE}{path}")
    };
    let answer = ask(mock, &request(method, &path, body)).await;
    (
        answer.status(),
        serde_json::from_slice(&answer.body()).unwrap_or_default(),
    )
}

async fn post(mock: &Mock, path: &str, body: Value) -> (u16, Value) {
    call(mock, "POST", path, &body.to_string()).await
}

async fn create(mock: &Mock, body: Value) -> String {
    let (status, collection) = post(mock, "", body).await;
    assert_eq!(status, 200);
    format!("/{}", collection["id"].as_str().unwrap())
}

async fn filled(mock: &Mock) -> String {
    let id = create(mock, json!({"name": "docs", "get_or_create": true})).await;
    let add = json!({
        "ids": ["a", "b", "c"],
        "embeddings": [[1, 0, 0, 0], [0, 1, 0, 0], [0.9, 0.1, 0, 0]],
        "documents": ["da", "db", "dc"],
        "metadatas": [{"k": 1}, null, {"k": 2}],
    });
    assert_eq!(
        post(mock, &format!("{id}/add"), add).await,
        (201, json!({}))
    );
    id
}

#[tokio::test]
async fn add_and_query() {
    let mock = Mock::start().await.unwrap();
    let id = filled(&mock).await;
    let query = json!({"query_embeddings": [[1, 0, 0, 0]], "n_results": 2});
    assert_eq!(
        post(&mock, &format!("{id}/query"), query).await,
        (
            200,
            json!({
                "ids": [["a", "c"]],
                "embeddings": null,
                "documents": [["da", "dc"]],
                "uris": null,
                "metadatas": [[{"k": 1}, {"k": 2}]],
                "distances": [[0.0, 0.020000005]],
                "include": ["documents", "metadatas", "distances"],
            })
        )
    );
    let query = json!({
        "query_embeddings": [[1, 0, 0, 0]],
        "n_results": 4,
        "where": {"k": 2},
        "include": ["embeddings", "documents", "metadatas", "distances", "uris"],
    });
    assert_eq!(
        post(&mock, &format!("{id}/query"), query).await.1,
        json!({
            "ids": [["c"]],
            "embeddings": [[[0.9, 0.1, 0.0, 0.0]]],
            "documents": [["dc"]],
            "uris": [[null]],
            "metadatas": [[{"k": 2}]],
            "distances": [[0.020000005]],
            "include": ["embeddings", "documents", "metadatas", "distances", "uris"],
        })
    );
    let two =
        json!({"query_embeddings": [[1, 0, 0, 0], [0, 1, 0, 0]], "n_results": 1, "include": []});
    assert_eq!(
        post(&mock, &format!("{id}/query"), two).await.1["ids"],
        json!([["a"], ["b"]])
    );
}

#[tokio::test]
async fn get_count_upsert_update_delete() {
    let mock = Mock::start().await.unwrap();
    let id = filled(&mock).await;
    let again = json!({"ids": ["a"], "embeddings": [[0, 0, 0, 1]], "documents": ["changed"]});
    assert_eq!(post(&mock, &format!("{id}/add"), again).await.0, 201);
    let upsert = json!({"ids": ["b", "d"], "embeddings": [[0, 1, 0, 0], "AAAAAAAAAAAAAAAAAACAPw=="], "documents": ["new", null]});
    assert_eq!(
        post(&mock, &format!("{id}/upsert"), upsert).await,
        (200, json!({}))
    );
    let update = json!({"ids": ["d", "none"], "metadatas": [{"k": 4}, {"k": 5}]});
    assert_eq!(post(&mock, &format!("{id}/update"), update).await.0, 200);
    assert_eq!(
        call(&mock, "GET", &format!("{id}/count"), "").await,
        (200, json!(4))
    );
    assert_eq!(
        post(&mock, &format!("{id}/get"), json!({"ids": ["a", "b", "d"]})).await,
        (
            200,
            json!({
                "ids": ["a", "b", "d"],
                "embeddings": null,
                "documents": ["da", "new", null],
                "uris": null,
                "metadatas": [{"k": 1}, null, {"k": 4}],
                "include": ["documents", "metadatas"],
            })
        )
    );
    let page = json!({"include": ["embeddings"], "limit": 1, "offset": 3});
    let page = post(&mock, &format!("{id}/get"), page).await.1;
    assert_eq!(
        (&page["ids"], &page["embeddings"]),
        (&json!(["d"]), &json!([[0.0, 0.0, 0.0, 1.0]]))
    );
    let deleted = post(&mock, &format!("{id}/delete"), json!({"ids": ["a"]})).await;
    assert_eq!(deleted, (200, json!({"deleted": 1})));
    let rest = post(&mock, &format!("{id}/get"), json!({"ids": ["d"]}))
        .await
        .1;
    assert_eq!(rest["ids"], json!(["d"]));
}

#[tokio::test]
async fn collections() {
    let mock = Mock::start().await.unwrap();
    let id = create(&mock, json!({"name": "docs"})).await;
    assert_eq!(
        create(&mock, json!({"name": "docs", "get_or_create": true})).await,
        id
    );
    let (_, docs) = call(&mock, "GET", "/docs", "").await;
    assert_eq!(
        (
            &docs["configuration_json"]["hnsw"]["space"],
            &docs["dimension"]
        ),
        (&json!("l2"), &Value::Null)
    );
    assert_eq!(call(&mock, "GET", "", "").await.1, json!([docs]));
    assert_eq!(call(&mock, "DELETE", "/docs", "").await, (200, json!({})));
    assert_eq!(call(&mock, "DELETE", "/docs", "").await.0, 404);
    assert_eq!(call(&mock, "GET", "/api/v2/heartbeat", "").await.0, 200);
}

#[tokio::test]
async fn refusals() {
    let mock = Mock::start().await.unwrap();
    let id = filled(&mock).await;
    let add = format!("{id}/add");
    let nowhere = "/00000000-0000-0000-0000-000000000000/count";
    for (method, path, body, status, name) in [
        ("POST", "", r#"{"name": "docs"}"#, 409, "ChromaError"),
        ("POST", "", r#"{"name": "x"}"#, 400, "InvalidArgumentError"),
        ("GET", "/none", "", 404, "NotFoundError"),
        ("GET", nowhere, "", 404, "NotFoundError"),
        ("GET", "/xyz/count", "", 400, "InvalidArgumentError"),
        ("POST", &add, r#"{"ids": ["q"]}"#, 422, "ChromaError"),
        ("POST", &add, "{bad", 400, "InvalidArgumentError"),
        (
            "POST",
            &add,
            r#"{"ids": ["q"], "embeddings": [[0, 0, 1]]}"#,
            400,
            "InvalidArgumentError",
        ),
        (
            "POST",
            &format!("{id}/get"),
            r#"{"include": ["foo"]}"#,
            422,
            "ChromaError",
        ),
        (
            "POST",
            &format!("{id}/query"),
            r#"{"query_embeddings": [[1]]}"#,
            400,
            "InvalidArgumentError",
        ),
    ] {
        let (got, error) = call(&mock, method, path, body).await;
        assert_eq!(
            (got, &error["error"]),
            (status, &json!(name)),
            "{method} {path} {body}"
        );
        assert!(error["message"].is_string());
    }
    assert_eq!(
        call(&mock, "PUT", "/api/v2/heartbeat", "").await,
        (405, Value::Null)
    );
    assert_eq!(
        call(&mock, "GET", "/api/v2/nope", "").await,
        (404, Value::Null)
    );
}

#[tokio::test]
async fn cosine_finds_what_a_text_is_about() {
    let mock = Mock::start().await.unwrap();
    let id = create(
        &mock,
        json!({"name": "kb.1", "metadata": {"hnsw:space": "cosine"}}),
    )
    .await;
    let texts = [
        "Resetting a forgotten password",
        "Opening hours of the museum",
        "Invoices and taxes",
    ];
    let vectors: Vec<_> = texts.iter().map(|text| embed(text)).collect();
    let add = json!({"ids": ["0", "1", "2"], "embeddings": vectors, "documents": texts});
    assert_eq!(post(&mock, &format!("{id}/add"), add).await.0, 201);
    let asked = embed("how can I reset my password");
    let query = json!({"query_embeddings": [asked], "n_results": 3});
    let found = post(&mock, &format!("{id}/query"), query).await.1;
    assert_eq!(found["ids"][0][0], "0");
    let distances: Vec<f64> = found["distances"][0]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_f64().unwrap())
        .collect();
    assert!(distances.is_sorted() && distances[0] < 0.8 && distances[2] <= 2.0);
}

#[tokio::test]
async fn faults_hold_for_the_store_too() {
    let mock = Mock::start().await.unwrap();
    let id = filled(&mock).await;
    mock.script_path("/query", Reply::status(503));
    let query = json!({"query_embeddings": [[1, 0, 0, 0]]});
    let (status, error) = post(&mock, &format!("{id}/query"), query).await;
    assert_eq!((status, &error["error"]), (503, &json!("ChromaError")));
    assert_eq!(call(&mock, "GET", &format!("{id}/count"), "").await.0, 200);
}
