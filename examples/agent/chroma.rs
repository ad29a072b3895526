//! What is asked of the vector store: Chroma's v2 REST interface.

use crate::{
    document::{Called, fetch},
    stack::Stack,
};
use backstay::{Body, BoxError, fallback::Idempotent};
use http::{Request, header};
use serde_json::{Value, json};

/// A collection of a Chroma server.
pub(crate) struct Collection {
    url: String,
}

/// A text that is near to a question.
pub(crate) struct Note {
    pub(crate) id: String,
    pub(crate) text: String,
}

const COLLECTIONS: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";

// === impl Collection ===

impl Collection {
    /// The collection of this name; makes it if it is missing.
    pub(crate) async fn open(vectors: &Stack, root: &str, name: &str) -> Result<Self, BoxError> {
        let collections = format!("{}{COLLECTIONS}", root.trim_end_matches('/'));
        let document = json!({"name": name, "get_or_create": true});
        let created = fetch(vectors, post(&collections, &document)?)
            .await
            .result?;
        let id = created["id"].as_str().ok_or("the collection has no id")?;
        Ok(Self {
            url: format!("{collections}/{id}"),
        })
    }

    pub(crate) async fn is_empty(&self, vectors: &Stack) -> Result<bool, BoxError> {
        let document = json!({"limit": 1, "include": []});
        let first = fetch(vectors, post(&format!("{}/get", self.url), &document)?)
            .await
            .result?;
        Ok(first["ids"].as_array().is_none_or(Vec::is_empty))
    }

    pub(crate) async fn add(
        &self,
        vectors: &Stack,
        notes: &[(&str, &str)],
        embeddings: &[Vec<f32>],
    ) -> Result<(), BoxError> {
        let (ids, texts): (Vec<_>, Vec<_>) = notes.iter().copied().unzip();
        let document = json!({"ids": ids, "documents": texts, "embeddings": embeddings});
        let request = post(&format!("{}/upsert", self.url), &document)?;
        fetch(vectors, request).await.result?;
        Ok(())
    }

    /// A request for the `most` nearest notes.
    pub(crate) fn query(&self, embedding: &[f32], most: usize) -> Result<Request<Body>, BoxError> {
        let document = json!({
            "query_embeddings": [embedding],
            "n_results": most,
            "include": ["documents", "distances"],
        });
        post(&format!("{}/query", self.url), &document)
    }
}

/// Reads the notes out of the answer to a query.
pub(crate) fn notes(called: Called<Value>) -> Called<Vec<Note>> {
    Called {
        trail: called.trail,
        result: called.result.map(|answer| {
            let texts = |column: &str| {
                let found = answer[column][0].as_array().cloned().unwrap_or_default();
                found
                    .into_iter()
                    .map(|text| text.as_str().unwrap_or_default().to_owned())
            };
            texts("ids")
                .zip(texts("documents"))
                .map(|(id, text)| Note { id, text })
                .collect()
        }),
    }
}

/// Everything here may be sent twice without harm, although the method is POST. The layer cannot know that
/// and is told.
fn post(url: &str, document: &Value) -> Result<Request<Body>, BoxError> {
    Ok(Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(Idempotent)
        .body(Body::from(document.to_string()))?)
}
