//! What is asked of the vector store: Chroma's v2 REST interface.

use crate::{document::fetch, stack::Stack};
use backstay::{Body, BoxError, fallback::Idempotent};
use http::{Request, header};
use serde_json::{Value, json};

/// A collection, and the stack to reach it by. Cheap to clone: tasks take one along.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) name: &'static str,
    vectors: Stack,
    url: String,
}

const COLLECTIONS: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";
const NOTES_PER_SHELF: usize = 2;

// === impl Shelf ===

impl Shelf {
    /// The collection of this name; makes it if it is missing.
    pub(crate) async fn open(
        vectors: &Stack,
        root: &str,
        name: &'static str,
    ) -> Result<Self, BoxError> {
        let collections = format!("{}{COLLECTIONS}", root.trim_end_matches('/'));
        let mut shelf = Self {
            name,
            vectors: vectors.clone(),
            url: collections,
        };
        let made = shelf
            .post("", &json!({"name": name, "get_or_create": true}))
            .await?;
        let id = made["id"].as_str().ok_or("the collection has no id")?;
        shelf.url = format!("{}/{id}", shelf.url);
        Ok(shelf)
    }

    /// The path of its queries, for a mock's script.
    pub(crate) fn query_path(&self) -> String {
        let id = self.url.rsplit('/').next().unwrap_or_default();
        format!("/{id}/query")
    }

    /// Puts a text in, or another one in its place.
    pub(crate) async fn put(&self, id: &str, text: &str) -> Result<(), BoxError> {
        let document = json!({"ids": [id], "documents": [text], "embeddings": [embed(text)]});
        self.post("/upsert", &document).await?;
        Ok(())
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Option<String>, BoxError> {
        let document = json!({"ids": [id], "include": ["documents"]});
        let found = self.post("/get", &document).await?;
        Ok(found["documents"][0].as_str().map(str::to_owned))
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<(), BoxError> {
        self.post("/delete", &json!({"ids": [id]})).await?;
        Ok(())
    }

    /// The notes that are nearest to a question.
    pub(crate) async fn nearest(&self, question: &str) -> Result<Vec<String>, BoxError> {
        let document = json!({
            "query_embeddings": [embed(question)],
            "n_results": NOTES_PER_SHELF,
            "include": ["documents"],
        });
        let found = self.post("/query", &document).await?;
        let notes = found["documents"][0].as_array().into_iter().flatten();
        Ok(notes
            .filter_map(|note| note.as_str().map(str::to_owned))
            .collect())
    }

    /// Everything here may be sent twice without harm, although the method is POST. The layer cannot know
    /// that and is told.
    async fn post(&self, operation: &str, document: &Value) -> Result<Value, BoxError> {
        let request = Request::post(format!("{}{operation}", self.url))
            .header(header::CONTENT_TYPE, "application/json")
            .extension(Idempotent)
            .body(Body::from(document.to_string()))?;
        fetch(&self.vectors, request).await.result
    }
}

/// Hashed words, so that no embedding model is needed. A program in earnest asks one, as `agent` does.
fn embed(text: &str) -> Vec<f32> {
    backstay_mock::embed(text)
}
